//go:build !cgo

package sqldb

import (
	"errors"

	"modernc.org/sqlite"
)

// sqliteDriver is the driver without C of a client build: SQLite's source, translated to Go. It has the same locks,
// files and settings as the driver of a server, so it may be used beside one.
const sqliteDriver = "sqlite"

// sqliteCode returns the code of an error of SQLite, without the detail in its higher bits. The driver does not
// report why an input or output failed: on a full disk its code may be another than sqliteFull.
func sqliteCode(err error) (code int, isSQLite bool) {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return 0, false
	}
	return lite.Code() & 0xff, true
}
