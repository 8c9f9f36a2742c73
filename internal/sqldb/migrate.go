package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
)

// Migrate migrates the schema to the newest of the numbered files in fsys. It refuses a newer schema
// with a NewerSchemaError, because an older program must not write to it.
func (db *DB) Migrate(ctx context.Context, fsys fs.FS) error {
	// Nodes may start concurrently: a node that loses the race to a migration fails and retries.
	const tries = 10
	if db.readOnly {
		return errReadOnly
	}
	var err error
	for range tries {
		if err = db.migrate(ctx, fsys); err == nil {
			return nil
		}
		if _, newer := err.(*NewerSchemaError); newer {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// NewerSchemaError says that the database was written by a newer program.
type NewerSchemaError struct{ Database, Program int64 }

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("the database has schema %d, this program knows schemas up to %d: "+
		"start the newer program, or restore a backup made before the upgrade",
		e.Database, e.Program)
}

func (db *DB) migrate(ctx context.Context, fsys fs.FS) error {
	provider, current, newest, err := db.schema(ctx, fsys)
	if err != nil {
		return err
	}
	if current > newest {
		return &NewerSchemaError{Database: current, Program: newest}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("sqldb: migrating the schema from %d to %d: %w", current, newest, err)
	}
	return nil
}

// schema returns the provider of migrations to the newest of fsys, and the present version.
func (db *DB) schema(ctx context.Context, fsys fs.FS) (
	provider *goose.Provider, current, newest int64, err error,
) {
	provider, newest, err = db.migrations(fsys)
	if err != nil {
		return nil, 0, 0, err
	}
	if current, err = provider.GetDBVersion(ctx); err != nil {
		return nil, 0, 0, fmt.Errorf("sqldb: reading the schema's version: %w", err)
	}
	return provider, current, newest, nil
}

// migrations returns the provider of migrations, and the newest of fsys. It does not use the database.
func (db *DB) migrations(fsys fs.FS) (provider *goose.Provider, newest int64, err error) {
	dialect := goose.DialectSQLite3
	if db.postgres {
		dialect = goose.DialectPostgres
		fsys = postgresFS{fsys}
	}
	provider, err = goose.NewProvider(dialect, db.writer, fsys)
	if err != nil {
		return nil, 0, fmt.Errorf("sqldb: reading the migrations: %w", err)
	}
	sources := provider.ListSources()
	return provider, sources[len(sources)-1].Version, nil
}

// A postgresFS is a folder of migrations, written for both databases, as PostgreSQL reads it.
type postgresFS struct{ fs.FS }

// Open opens a file, with PostgreSQL's name of the byte order.
func (f postgresFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil || info.IsDir() {
		return file, err
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return postgresFile{file, strings.NewReader(byteOrder(string(text)))}, nil
}

// A postgresFile is a file with a rewritten text.
type postgresFile struct {
	fs.File
	text io.Reader
}

func (f postgresFile) Read(p []byte) (int, error) { return f.text.Read(p) }
