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

	"golang.org/x/sys/unix"
)

// ErrUnfinished says that SQLite's files have a write that the next start of a server completes. A reader that
// creates and changes no file cannot read them.
var ErrUnfinished = errors.New("the database has an unfinished write, which the next start of a server completes")

const (
	// readBusyTimeout is the time for which a reader waits for a lock, in milliseconds.
	readBusyTimeout = 2_000
	// readTries bounds the attempts to open files that a server changes at its start and its end.
	readTries = 5
	readPause = 200 * time.Millisecond
)

// openSQLiteToRead opens SQLite's file without a write.
func openSQLiteToRead(ctx context.Context, path string) (*DB, error) {
	for try := 1; ; try++ {
		db, err := tryToRead(ctx, path)
		if err == nil || try == readTries || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return db, err
		}
		// A server that starts or ends creates and deletes files between a look at them and their use.
		select {
		case <-time.After(readPause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

func tryToRead(ctx context.Context, path string) (*DB, error) {
	files, err := statSQLite(path)
	if err != nil {
		return nil, fmt.Errorf("sqldb: opening the database: %w", err)
	}
	locked, err := files.hasIndex()
	if err != nil {
		return nil, fmt.Errorf("sqldb: opening the database: %w", err)
	}
	options := url.Values{"mode": {"ro"}, "_busy_timeout": {strconv.Itoa(readBusyTimeout)}}
	if locked {
		options.Set("readonly_shm", "1") // otherwise SQLite may rebuild the index
	} else {
		options.Set("immutable", "1") // otherwise SQLite creates the files of its write-ahead log
	}
	reader, err := sql.Open(sqliteDriver, sqliteURL(path, options))
	if err != nil {
		return nil, fmt.Errorf("sqldb: opening %s: %w", path, err)
	}
	reader.SetMaxOpenConns(1)
	db := &DB{writer: reader, reader: reader, readOnly: true}
	if !locked {
		db.unlocked = &unlockedFiles{path, files}
	}
	var version int64 // the first statement that reads the file
	err = db.QueryRow(ctx, `PRAGMA schema_version`).Scan(&version)
	if err == nil && db.Changed() {
		err = errors.New("a server changed the files: try again")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqldb: reading %s: %w", path, err), reader.Close())
	}
	return db, nil
}

// sqliteFiles describe the files of a database; nil for a file that does not exist.
type sqliteFiles struct{ main, log, index, journal os.FileInfo }

// statSQLite opens no file: closing it would unlock the database for other connections of this process.
func statSQLite(path string) (f sqliteFiles, err error) {
	if err := unix.Access(path, unix.R_OK); err != nil {
		return f, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	for suffix, info := range map[string]*os.FileInfo{
		"": &f.main, "-wal": &f.log, "-shm": &f.index, "-journal": &f.journal,
	} {
		*info, err = os.Stat(path + suffix)
		if err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return f, err
		}
		if err != nil {
			*info = nil
		}
	}
	return f, nil
}

// hasIndex reports whether the write-ahead log has an index, over which a reader and a server share the database.
// Otherwise the main file is all of the database, and a reader needs no lock. Errors: of files that SQLite would
// change, also for a reader.
func (f sqliteFiles) hasIndex() (bool, error) {
	switch {
	case f.main.Size() == 0 && sizeOf(f.log) > 0:
		// SQLite deletes such a log.
		return false, fmt.Errorf("%s is empty, but its write-ahead log %s-wal is not", f.main.Name(), f.main.Name())
	case f.main.Size() == 0 || f.log == nil && sizeOf(f.journal) == 0:
		return false, nil
	case sizeOf(f.journal) > 0:
		return false, fmt.Errorf("%w: %s-journal is not empty", ErrUnfinished, f.main.Name())
	case f.index == nil && f.log.Size() > 0:
		return false, fmt.Errorf("%w: %s-wal has no index", ErrUnfinished, f.main.Name())
	}
	return f.index != nil, nil
}

func sizeOf(f os.FileInfo) int64 {
	if f == nil {
		return 0
	}
	return f.Size()
}

// unlockedFiles are the files of a database that is read without a lock, at the time of its opening.
type unlockedFiles struct {
	path   string
	opened sqliteFiles
}

// Changed reports whether another program may have written while db, of OpenToRead, was read without a lock. What
// was read since then may be wrong: open the database again.
func (db *DB) Changed() bool {
	if db.unlocked == nil {
		return false
	}
	was := db.unlocked.opened
	now, err := statSQLite(db.unlocked.path)
	return err != nil || !os.SameFile(now.main, was.main) || now.main.Size() != was.main.Size() ||
		!now.main.ModTime().Equal(was.main.ModTime()) || sizeOf(now.log) != sizeOf(was.log) ||
		(now.log == nil) != (was.log == nil) || sizeOf(now.journal) != sizeOf(was.journal)
}
