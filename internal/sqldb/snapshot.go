package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Snapshot writes a consistent copy of a SQLite database to a new file at path, and syncs the file but
// not its folder. PostgreSQL has its own tools, so there Snapshot returns an error. Writers continue, in
// this process and in others; the write-ahead log is not truncated until Snapshot returns.
//
// SQLite's backup API, which copies pages, restarts whenever another process has written between two
// steps, and so may never end; in one step it blocks the truncation of the log in the same way. Unlike
// it, Snapshot does not copy deleted rows in free pages, and fails at a damaged page.
func (db *DB) Snapshot(ctx context.Context, path string) (err error) {
	if db.postgres {
		return errors.New("sqldb: a snapshot is made of SQLite only")
	}
	// VACUUM INTO accepts an empty file, and does not change its mode.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("sqldb: making a snapshot: %w", err)
	}
	_, err = db.reader.ExecContext(ctx, `VACUUM INTO ?1`, path)
	if IsFull(err) {
		err = fmt.Errorf("%w: %w", ErrFull, err)
	}
	if err == nil {
		err = f.Sync() // SQLite does not
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sqldb: making a snapshot: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// Schema returns the schema that the database has, and the newest of the numbered files in fsys.
func (db *DB) Schema(ctx context.Context, fsys fs.FS) (database, newest int64, err error) {
	_, database, newest, err = db.schema(ctx, fsys)
	return database, newest, err
}
