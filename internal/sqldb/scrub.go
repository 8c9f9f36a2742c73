package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// How long SQLite waits for other connections, in milliseconds: mostly, and in Scrub.
const (
	busyTimeout  = 10_000
	scrubTimeout = 500
)

// rebuildTime bounds Rebuild.
const rebuildTime = 30 * time.Minute

// RebuildSize returns how many bytes a Rebuild would write, but for the log; 0 on PostgreSQL.
func (db *DB) RebuildSize(ctx context.Context) (bytes int64, err error) {
	if db.postgres {
		return 0, nil
	}
	err = db.reader.QueryRowContext(ctx, `SELECT p.page_count * s.page_size
		FROM pragma_page_count AS p, pragma_page_size AS s`).Scan(&bytes)
	if err != nil {
		return 0, fmt.Errorf("sqldb: reading the size of the database: %w", err)
	}
	return bytes, nil
}

// Rebuild writes all of a SQLite database anew, so that nothing is left in it of what was deleted:
// secure_delete overwrites what is deleted where it stands, but when a page is split, its rows are
// copied, and the old copies stay in the room between. Writers wait: for 925 MB it took 6 s.
// It takes twice as much disk as the database has, for a copy and the log. Scrub must follow.
//
// For PostgreSQL there is nothing to do here.
func (db *DB) Rebuild(ctx context.Context) error {
	if db.postgres {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, rebuildTime)
	defer cancel()
	if _, err := db.writer.ExecContext(ctx, "VACUUM"); err != nil {
		return fmt.Errorf("sqldb: rebuilding: %w", err)
	}
	return nil
}

// Scrub rids the write-ahead log of a SQLite database of what was deleted before: the database file
// has zeros in its place already, but see Rebuild, and the log, which still has it, is brought home
// and cut to nothing. done is false when a reader held the log back, as a backup does for some seconds: ask
// again later. Writers wait for half a second at most.
//
// PostgreSQL keeps what was deleted until it vacuums, and in its own log until that is recycled:
// there is nothing to do here, and done is true.
func (db *DB) Scrub(ctx context.Context) (done bool, err error) {
	if db.postgres {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, txTime)
	defer cancel()
	// On the writer, so that only readers can be in the way.
	conn, err := db.writer.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("sqldb: scrubbing: %w", err)
	}
	wait := func(ctx context.Context, milliseconds int) error {
		_, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = "+strconv.Itoa(milliseconds))
		return err
	}
	var busy, frames, moved int
	err = wait(ctx, scrubTimeout)
	if err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").
			Scan(&busy, &frames, &moved)
	}
	err = errors.Join(err, wait(context.WithoutCancel(ctx), busyTimeout), conn.Close())
	if err != nil {
		return false, fmt.Errorf("sqldb: scrubbing: %w", err)
	}
	return busy == 0, nil
}
