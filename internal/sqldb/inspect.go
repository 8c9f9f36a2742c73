package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"time"
)

// OpenToRead opens the database of dsn for reading only: it creates no file, also if a server uses the file
// of SQLite. Error: of which errors.Is(err, fs.ErrNotExist), if there is no such file.
func OpenToRead(ctx context.Context, dsn string) (*DB, error) {
	var db *DB
	var err error
	if isPostgres(dsn) {
		db, err = openPostgres(dsn)
	} else {
		db, err = openSQLiteToRead(dsn)
	}
	if err != nil {
		return nil, err
	}
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func openSQLiteToRead(path string) (*DB, error) {
	file, err := os.Open(path)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("sqldb: opening the database: %w", err)
	}
	options := url.Values{"mode": {"ro"}, "_busy_timeout": {strconv.Itoa(busyTimeout)}}
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		options.Set("immutable", "1") // otherwise SQLite creates the files of its write-ahead log
	}
	reader, err := sql.Open("sqlite3", sqliteURL(path, options))
	if err != nil {
		return nil, fmt.Errorf("sqldb: opening %s: %w", path, err)
	}
	return &DB{writer: reader, reader: reader}, nil
}

// Engine returns the name and the version of the engine, such as "PostgreSQL 15.8".
func (db *DB) Engine(ctx context.Context) (string, error) {
	name, query := "SQLite", `SELECT sqlite_version()`
	if db.postgres {
		name, query = "PostgreSQL", `SHOW server_version`
	}
	var version string
	if err := db.QueryRow(ctx, query).Scan(&version); err != nil {
		return "", fmt.Errorf("sqldb: reading the version of %s: %w", name, err)
	}
	return name + " " + version, nil
}

// Clock returns the time of the server of PostgreSQL. SQLite has no separate clock: it returns the zero time.
func (db *DB) Clock(ctx context.Context) (now time.Time, err error) {
	if !db.postgres {
		return now, nil
	}
	if err := db.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return now, fmt.Errorf("sqldb: reading the clock: %w", err)
	}
	return now, nil
}

// QuickCheck searches SQLite's file for damaged pages. PostgreSQL has its own tools: there it returns nil.
func (db *DB) QuickCheck(ctx context.Context) error {
	if db.postgres {
		return nil
	}
	var result string
	if err := db.QueryRow(ctx, `PRAGMA quick_check(1)`).Scan(&result); err != nil {
		return fmt.Errorf("sqldb: checking the pages: %w", err)
	}
	if result != "ok" {
		return fmt.Errorf("sqldb: the database is damaged: %s", result)
	}
	return nil
}

// ReadSchema is Schema without a write: the version of a new database is 0.
func (db *DB) ReadSchema(ctx context.Context, fsys fs.FS) (database, newest int64, err error) {
	_, newest, err = db.migrations(fsys)
	if err != nil {
		return 0, 0, err
	}
	query := `SELECT COUNT(*) FROM sqlite_master WHERE name = 'goose_db_version'`
	if db.postgres {
		query = `SELECT COUNT(*) FROM pg_class WHERE oid = to_regclass('goose_db_version')`
	}
	var tables int
	if err = db.QueryRow(ctx, query).Scan(&tables); err == nil && tables > 0 {
		err = db.QueryRow(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).
			Scan(&database)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("sqldb: reading the schema's version: %w", err)
	}
	return database, newest, nil
}
