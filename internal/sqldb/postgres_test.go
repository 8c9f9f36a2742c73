package sqldb_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// TestReadersThatLeave ends the contexts of queries that use all connections, which closes the connections, while
// other queries wait for one.
func TestReadersThatLeave(t *testing.T) {
	t.Parallel()
	dsn := sqldbtest.Postgres(t)
	db, other := sqldbtest.Open(t, dsn), sqldbtest.Open(t, dsn)
	conns := db.Stats()[0].Limit
	limited, end := context.WithTimeout(t.Context(), 5*time.Minute)
	defer end()
	for range 6 {
		ctx, leave := context.WithCancel(t.Context())
		var leaving, staying sync.WaitGroup
		for range conns {
			leaving.Go(func() {
				var n int
				if err := db.QueryRow(ctx, `SELECT 1 FROM pg_sleep(60)`).Scan(&n); !errors.Is(err, context.Canceled) {
					t.Errorf("a read whose context ended: %v", err)
				}
			})
		}
		for sleeping := 0; sleeping < conns; time.Sleep(time.Millisecond) {
			if err := other.QueryRow(limited, `SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()
				AND datname = current_database() AND wait_event = 'PgSleep'`).Scan(&sleeping); err != nil {
				t.Fatal(err)
			}
		}
		for range conns {
			staying.Go(func() {
				var n int
				if err := db.QueryRow(t.Context(), `SELECT 1`).Scan(&n); err != nil {
					t.Errorf("a read: %v", err)
				}
				if err := db.Tx(t.Context(), func(*sqldb.Tx) error { return nil }); err != nil {
					t.Errorf("a transaction: %v", err)
				}
			})
		}
		leave()
		leaving.Wait()
		staying.Wait()
	}
}
