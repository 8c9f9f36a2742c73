package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Row is a *sql.Row or the current one of *sql.Rows.
type Row interface{ Scan(dest ...any) error }

// ScanOne scans a row of one value.
func ScanOne[T any](r Row) (value T, err error) {
	err = r.Scan(&value)
	return value, err
}

// A Reader runs queries: a Tx, or a DB outside of a transaction, as DB.Reader returns it.
type Reader interface {
	Query(query string, args ...any) (*sql.Rows, error)
	QueryRow(query string, args ...any) *sql.Row
}

// Reader returns a Reader of the database until ctx ends.
func (db *DB) Reader(ctx context.Context) Reader { return dbReader{ctx, db} }

type dbReader struct {
	ctx context.Context
	db  *DB
}

func (r dbReader) Query(query string, args ...any) (*sql.Rows, error) {
	return r.db.Query(r.ctx, query, args...)
}

func (r dbReader) QueryRow(query string, args ...any) *sql.Row {
	return r.db.QueryRow(r.ctx, query, args...)
}

// Select runs a statement and scans all rows that it returns.
func Select[T any](from Reader, scan func(Row) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := from.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// SelectMap runs a statement that returns rows of a key and a value.
func SelectMap[K comparable, V any](from Reader, query string, args ...any) (map[K]V, error) {
	values := map[K]V{}
	_, err := Select(from, func(r Row) (key K, err error) {
		var value V
		err = r.Scan(&key, &value)
		values[key] = value
		return key, err
	}, query, args...)
	return values, err
}

// Exists reports whether there is a row of rows: a table with its WHERE.
func Exists(from Reader, rows string, args ...any) (exists bool, err error) {
	err = from.QueryRow(`SELECT EXISTS (SELECT 1 FROM `+rows+`)`, args...).Scan(&exists)
	return exists, err
}

// RowError returns the error of a read of one row: missing if there is no row, else err with what the read was for.
func RowError(doing string, err, missing error) error {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return missing
	case err != nil:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// Micros returns a time as the database stores it: microseconds since 1970, UTC.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the reverse of Micros.
func FromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// BoolInt returns a bool as the database stores it: 0 or 1.
func BoolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Nullable returns a text, or NULL for nil.
func Nullable(text []byte) any {
	if text == nil {
		return nil
	}
	return string(text)
}

// NullText returns a text, or NULL for "".
func NullText(text string) sql.NullString { return sql.NullString{String: text, Valid: text != ""} }

// Placeholders returns n placeholders from ?first on, with commas between.
func Placeholders(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",?%d", first+i)
	}
	return strings.TrimPrefix(b.String(), ",")
}

// NullMicros is Micros, or NULL for the zero time.
func NullMicros(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: Micros(t), Valid: !t.IsZero()}
}

// OptionalTime is the reverse of NullMicros: the zero time for NULL.
func OptionalTime(us sql.NullInt64) time.Time {
	if !us.Valid {
		return time.Time{}
	}
	return FromMicros(us.Int64)
}

// Args returns texts as the arguments of a statement.
func Args(texts []string) []any {
	all := make([]any, len(texts))
	for i, text := range texts {
		all[i] = text
	}
	return all
}
