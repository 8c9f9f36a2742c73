package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The times that SQLite waits for other connections, in milliseconds: the usual one, and Scrub's.
const (
	busyTimeout  = 10_000
	scrubTimeout = 500
)

// rebuildTime bounds Rebuild.
const rebuildTime = 30 * time.Minute

// RebuildSize returns the number of bytes that a Rebuild would write, without the log; 0 on PostgreSQL.
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

// Rebuild rewrites a SQLite database, so that the file holds no deleted rows. secure_delete overwrites a
// deleted row in place, but when SQLite splits a page, it copies the rows, and the old copies remain in
// the unused space of the page. Writers wait: a rebuild of 925 MB took 6 s. It needs twice the disk
// space of the database, for a copy and the log. The caller must call Scrub afterwards.
//
// On PostgreSQL Rebuild does nothing.
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

// Scrub removes deleted rows from the write-ahead log of a SQLite database. The database file already has
// zeros instead of them (but see Rebuild); Scrub checkpoints and truncates the log. done is false if a
// reader, such as a backup, prevented that: retry later. It waits for readers for half a second
// at most. Writers wait for that, and for the copy of the log.
//
// PostgreSQL stores deleted rows until it vacuums, and in its log until that is recycled. Scrub does
// nothing there, and done is true.
func (db *DB) Scrub(ctx context.Context) (done bool, err error) {
	if db.postgres {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, txTime)
	defer cancel()
	// On the writer, so that only readers can block the checkpoint.
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
