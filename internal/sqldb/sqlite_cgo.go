//go:build cgo

package sqldb

import (
	"errors"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// sqliteDriver is the driver of SQLite's C library, which a server has.
const sqliteDriver = "sqlite3"

// sqliteCode returns the code of an error of SQLite, without the detail in its higher bits. An input or output error
// because of a full disk has the code sqliteFull.
func sqliteCode(err error) (code int, isSQLite bool) {
	var lite sqlite3.Error
	if !errors.As(err, &lite) {
		return 0, false
	}
	if lite.SystemErrno == syscall.ENOSPC {
		return sqliteFull, true
	}
	return int(lite.Code), true
}
