package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Snapshot writes the database as it is at one moment to a new file at path, durably but for the
// file's name, and only a SQLite database: PostgreSQL has tools of its own. Writers go on
// meanwhile, in this process and in others, though the write-ahead log is not shortened until it is
// done.
//
// The copying of pages, SQLite's other way, begins anew whenever another process has written
// between two steps, and so need not end; in one step it holds the log as this does. This leaves
// out what deleted rows have left in free pages, and fails where it meets a page that is damaged.
func (db *DB) Snapshot(ctx context.Context, path string) (err error) {
	if db.postgres {
		return errors.New("sqldb: a snapshot is made of SQLite only")
	}
	// An empty file is taken, and so is its mode.
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
