package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Row is a *sql.Row or the current one of *sql.Rows.
type Row interface{ Scan(dest ...any) error }

// ScanText scans a row of one text.
func ScanText(r Row) (text string, err error) {
	err = r.Scan(&text)
	return text, err
}

// Collect scans all rows into values and closes them.
func Collect[T any](rows *sql.Rows, scan func(Row) (T, error)) (all []T, err error) {
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
