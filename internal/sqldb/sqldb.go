// Package sqldb opens the database. It is the only package that depends on the engine.
//
// One SQL text serves SQLite and PostgreSQL. Statements number their parameters ?1, ?2, ...;
// for PostgreSQL they are rewritten to $1, $2, ... (SQLite reads $2 as a name, not a number).
// The semantics differ nevertheless: PostgreSQL runs transactions concurrently, and a failed
// statement aborts its transaction. So each rule that must hold under concurrency is one
// conditional statement or a unique index, and no statement may fail inside a transaction.
package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrCommitUnknown says that a commit failed, and that the transaction may have been committed.
var ErrCommitUnknown = errors.New("sqldb: whether the transaction was committed is not known")

// ErrFull says that the disk of the database is full, and that nothing was written.
var ErrFull = errors.New("sqldb: the disk is full")

// txTime bounds a transaction, waiting for its connection included.
const txTime = 30 * time.Second

// DB is an open database.
type DB struct {
	postgres bool
	writer   *sql.DB // SQLite: one connection, BEGIN IMMEDIATE
	reader   *sql.DB // PostgreSQL: the same pool as writer

	readOnly bool           // of OpenToRead
	settings *sql.DB        // of OpenToRead on PostgreSQL: a pool whose sessions have the settings of a server's
	unlocked *unlockedFiles // nil if the engine locks what it reads

	deadlocks atomic.Int64 // PoolStats.Deadlocks
}

// Open opens the database that dsn names: a postgres:// URL, or the path of a SQLite file. The file is
// created if it does not exist.
func Open(ctx context.Context, dsn string) (*DB, error) {
	db, err := open(dsn)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, txTime)
	defer cancel()
	if err := db.Ping(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func open(dsn string) (*DB, error) {
	if isPostgres(dsn) {
		return openPostgres(dsn, false)
	}
	return openSQLite(dsn)
}

func isPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// CheckAddress returns an error for a flag -db that is no URL of PostgreSQL; it may be empty, for SQLite.
func CheckAddress(db string) error {
	// Any other text would be used as the name of a file, perhaps with a password in it.
	if db != "" && !isPostgres(db) {
		return errors.New("-db is not valid: it should be a URL like " +
			"postgres://user:password@host:5432/database; without it, SQLite in -data is used")
	}
	return nil
}

func openSQLite(path string) (*DB, error) {
	// synchronous=FULL: an acknowledged upload must survive a power loss. secure_delete: deleted
	// rows are overwritten with zeros; see Scrub. Preparing a statement takes longer than running it.
	options := url.Values{
		"_journal_mode":    {"WAL"},
		"_synchronous":     {"FULL"},
		"_busy_timeout":    {strconv.Itoa(busyTimeout)},
		"_foreign_keys":    {"on"},
		"_secure_delete":   {"on"},                // of the driver with cgo
		"_pragma":          {"secure_delete(on)"}, // of the driver without it
		"_stmt_cache_size": {"50"},                // of each connection; the driver without cgo has no cache
	}
	// VACUUM writes a copy to a temporary file, as large as the database: /tmp may be small, and
	// erased data must not be copied elsewhere. SQLite reads this variable once, at its first use.
	if os.Getenv("SQLITE_TMPDIR") == "" {
		if err := os.Setenv("SQLITE_TMPDIR", filepath.Dir(path)); err != nil {
			return nil, fmt.Errorf("sqldb: naming the folder of temporary files: %w", err)
		}
	}
	reader, err := sql.Open(sqliteDriver, sqliteURL(path, options))
	if err != nil {
		return nil, fmt.Errorf("sqldb: opening the readers of %s: %w", path, err)
	}
	reader.SetMaxOpenConns(8)
	reader.SetMaxIdleConns(8)
	options.Set("_txlock", "immediate")
	writer, err := sql.Open(sqliteDriver, sqliteURL(path, options))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqldb: opening the writer of %s: %w", path, err),
			reader.Close())
	}
	writer.SetMaxOpenConns(1)
	return &DB{writer: writer, reader: reader}, nil
}

func sqliteURL(path string, options url.Values) string {
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: options.Encode()}
	return file.String()
}

// Ping reports whether the database answers. The writer goes first: it makes a new SQLite file.
func (db *DB) Ping(ctx context.Context) error {
	for _, pool := range []*sql.DB{db.writer, db.reader} {
		if err := pool.PingContext(ctx); err != nil {
			return fmt.Errorf("sqldb: reaching the database: %w", err)
		}
	}
	return nil
}

// Close closes all connections.
func (db *DB) Close() error {
	if db.settings != nil {
		return errors.Join(db.settings.Close(), db.writer.Close())
	}
	if db.reader == db.writer {
		return db.writer.Close()
	}
	return errors.Join(db.reader.Close(), db.writer.Close())
}

// Query runs a read outside of a transaction.
func (db *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return db.reader.QueryContext(ctx, db.placeholders(query), args...)
}

// QueryRow runs a read of one row outside of a transaction.
func (db *DB) QueryRow(ctx context.Context, query string, args ...any) *sql.Row {
	return db.reader.QueryRowContext(ctx, db.placeholders(query), args...)
}

// Exec runs one writing statement in a separate transaction and returns the number of changed rows.
func (db *DB) Exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	err = db.Tx(ctx, func(tx *Tx) error {
		changed, err = tx.Exec(query, args...)
		return err
	})
	return changed, err
}

// Tx runs fn in a transaction, and commits it if fn returns nil. A cancelled ctx does not abort the
// transaction once it has begun, so that a client that disconnects does not make the result unknown. fn
// must run SQL only, because on SQLite all writers wait for it. Errors: ErrFull, ErrCommitUnknown, and
// errors of which IsUnavailable is true.
func (db *DB) Tx(ctx context.Context, fn func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if db.readOnly {
		return errReadOnly
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), txTime)
	defer cancel()
	begun, err := db.writer.BeginTx(ctx, nil)
	if errors.Is(err, context.DeadlineExceeded) {
		return errTooManyWaiting
	}
	if err != nil {
		return fmt.Errorf("sqldb: beginning a transaction: %w", err)
	}
	if err := fn(&Tx{ctx: ctx, tx: begun, db: db}); err != nil {
		if IsFull(err) {
			err = fmt.Errorf("%w: %w", ErrFull, err)
		}
		if rollback := begun.Rollback(); rollback != nil && !rolledBack(rollback) {
			return errors.Join(err, fmt.Errorf("sqldb: rolling back: %w", rollback))
		}
		return err
	}
	if err := begun.Commit(); IsFull(err) {
		return fmt.Errorf("%w: %w", ErrFull, err) // SQLite has rolled back
	} else if err != nil {
		return fmt.Errorf("%w: %w", ErrCommitUnknown, err)
	}
	return nil
}

// Codes of SQLite's errors.
const (
	sqliteGeneric = 1
	sqliteFull    = 13
)

// rolledBack reports whether a rollback failed because SQLite had already rolled back, as it does
// on a full disk.
func rolledBack(err error) bool {
	code, isSQLite := sqliteCode(err)
	return isSQLite && code == sqliteGeneric && strings.Contains(err.Error(), "no transaction is active")
}

// errTooManyWaiting says that the wait for the writer, or for a connection, took all of txTime.
var errTooManyWaiting = errors.New("sqldb: too many transactions wait to write")

// txTimes is the maximal number of attempts of RetryTx.
const txTimes = 10

// RetryTx is Tx for statements that lock many rows, in an order that the engine chooses: if
// PostgreSQL aborts the transaction because of a deadlock, RetryTx runs fn again. fn must not keep
// results of an earlier run.
func (db *DB) RetryTx(ctx context.Context, fn func(*Tx) error) error {
	for times := 1; ; times++ {
		err := db.Tx(ctx, fn)
		if pg := new(pgconn.PgError); !errors.As(err, &pg) || pg.Code != "40P01" {
			return err
		}
		if db.deadlocks.Add(1); times == txTimes {
			return err
		}
	}
}

// IsFull reports whether err says that the disk of the database is full.
func IsFull(err error) bool {
	var pg *pgconn.PgError
	code, isSQLite := sqliteCode(err)
	return errors.Is(err, ErrFull) || isSQLite && code == sqliteFull ||
		errors.As(err, &pg) && pg.Code == "53100"
}

// IsUnavailable reports whether err says that the database cannot be reached or accepts no work now,
// and that nothing was written: a retry may succeed.
func IsUnavailable(err error) bool {
	if err == nil || errors.Is(err, ErrCommitUnknown) {
		return false
	}
	if connect := new(pgconn.ConnectError); errors.As(err, &connect) {
		return true
	}
	if pg := new(pgconn.PgError); errors.As(err, &pg) {
		// Connection exceptions, shutdown and start of the server, too many connections.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "57P0") ||
			pg.Code == "53300"
	}
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, errTooManyWaiting)
}

// A Tx is an open transaction.
type Tx struct {
	ctx context.Context
	tx  *sql.Tx
	db  *DB
}

// Exec runs a writing statement and returns the number of rows it changed.
func (tx *Tx) Exec(query string, args ...any) (changed int64, err error) {
	result, err := tx.tx.ExecContext(tx.ctx, tx.db.placeholders(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// QueryRow runs a statement that returns at most one row.
func (tx *Tx) QueryRow(query string, args ...any) *sql.Row {
	return tx.tx.QueryRowContext(tx.ctx, tx.db.placeholders(query), args...)
}

// Query runs a statement that returns rows. The caller closes the rows before the next statement of tx.
func (tx *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return tx.tx.QueryContext(tx.ctx, tx.db.placeholders(query), args...)
}

// placeholders rewrites ?1 to $1 for PostgreSQL, outside of quoted text, and the name of the byte
// order.
func (db *DB) placeholders(query string) string {
	if !db.postgres {
		return query
	}
	return byteOrder(dollars(query))
}

// byteOrder rewrites COLLATE BINARY, SQLite's name of the byte order, for PostgreSQL, whose default
// order is that of a language.
func byteOrder(query string) string {
	return strings.ReplaceAll(query, "COLLATE BINARY", `COLLATE "C"`)
}

func dollars(query string) string {
	out := []byte(query)
	var quote byte
	for i, c := range out {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?':
			out[i] = '$'
		}
	}
	return string(out)
}
