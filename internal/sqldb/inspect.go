package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// OpenToRead opens the database of dsn for reading only: Tx, Exec and Migrate return an error. It creates, changes
// and deletes nothing, also beside a server that starts, runs or ends. Errors: of which errors.Is(err,
// fs.ErrNotExist), if SQLite's file does not exist; ErrUnfinished.
func OpenToRead(ctx context.Context, dsn string) (*DB, error) {
	if !isPostgres(dsn) {
		return openSQLiteToRead(ctx, dsn)
	}
	plain, err := openPostgres(dsn, false)
	if err != nil {
		return nil, err
	}
	// Also a statement that changes something by mistake is refused. A pooler in between cannot leave this setting to
	// other clients, because it is a parameter of the start of a session.
	db, err := openPostgres(dsn, true)
	if err != nil {
		return nil, errors.Join(err, plain.Close())
	}
	db.readOnly, db.settings = true, plain.reader
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// errReadOnly is the error of a write to a database of OpenToRead.
var errReadOnly = errors.New("sqldb: the database is open for reading only")

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

// CheckRights returns an error if PostgreSQL would refuse the writes of a server, or the migration of an older
// schema. It writes nothing. The rights to SQLite are those to its files: there it returns nil.
func (db *DB) CheckRights(ctx context.Context, migrates bool) error {
	if !db.postgres {
		return nil
	}
	readOnly, err := db.isReadOnlyByDefault(ctx)
	if err != nil {
		return err
	}
	var standby, creates, writes bool
	err = db.QueryRow(ctx, `SELECT pg_is_in_recovery(),
		COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false),
		COALESCE((SELECT bool_and(has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
				AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
			FROM pg_class
			WHERE relkind = 'r' AND relnamespace = to_regnamespace(quote_ident(current_schema()))), true)`).
		Scan(&standby, &creates, &writes)
	switch {
	case err != nil:
		return fmt.Errorf("sqldb: reading the rights: %w", err)
	case standby:
		return errors.New("sqldb: the server of PostgreSQL is a standby, which accepts no write")
	case readOnly:
		return errors.New("sqldb: default_transaction_read_only is on for this user or database")
	case !writes:
		return errors.New("sqldb: this user may not read and write all tables")
	case migrates && !creates:
		return errors.New("sqldb: this user may not create tables in the schema")
	}
	return nil
}

// isReadOnlyByDefault reports whether PostgreSQL makes the transactions of a server's sessions read-only.
func (db *DB) isReadOnlyByDefault(ctx context.Context) (readOnly bool, err error) {
	pool := db.reader
	if db.settings != nil {
		pool = db.settings
	}
	err = pool.QueryRowContext(ctx, `SELECT current_setting('default_transaction_read_only') = 'on'`).Scan(&readOnly)
	if err != nil {
		return false, fmt.Errorf("sqldb: reading the setting default_transaction_read_only: %w", err)
	}
	return readOnly, nil
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

// Password returns the password with which a connection of dsn authenticates: of the URL, the environment or a
// file. It returns "" for SQLite, for an invalid URL and without a password. A program that prints errors of a
// driver must not print it.
func Password(dsn string) string {
	if !isPostgres(dsn) {
		return ""
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return ""
	}
	return config.Password
}

// SQLState returns the code of an error of PostgreSQL, such as "28P01", or "".
func SQLState(err error) string {
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
