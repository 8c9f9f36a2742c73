package sqldb

import (
	"database/sql"
	"time"
)

// A PoolStats is the state of a pool of connections to the database.
type PoolStats struct {
	Name               string // "writer" and "reader" of SQLite, "all" of PostgreSQL
	Limit, InUse, Idle int    // connections
	Waits              int64  // transactions and queries that waited for a connection
	Waited             time.Duration
	Deadlocks          int64 // attempts of RetryTx that PostgreSQL aborted because of a deadlock
}

// Stats returns the state of all pools.
func (db *DB) Stats() []PoolStats {
	pools := map[string]*sql.DB{"writer": db.writer, "reader": db.reader}
	if db.postgres {
		pools = map[string]*sql.DB{"all": db.writer}
	}
	var all []PoolStats
	for name, pool := range pools {
		if pool != nil {
			s := pool.Stats()
			stats := PoolStats{Name: name, Limit: s.MaxOpenConnections, InUse: s.InUse, Idle: s.Idle,
				Waits: s.WaitCount, Waited: s.WaitDuration}
			if pool == db.writer {
				stats.Deadlocks = db.deadlocks.Load()
			}
			all = append(all, stats)
		}
	}
	return all
}
