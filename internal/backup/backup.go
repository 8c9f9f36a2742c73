// Package backup copies an installation whose database is SQLite to a folder, while a server runs on it, and
// restores it.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/sqldb"
	"calotype/internal/terminal"
)

// Options are the source, the target and the parts of a backup.
type Options struct {
	DB    *sqldb.DB  // the database of the installation, which has the name DatabaseFile in Dir
	Blobs blob.Store // its originals
	Dir   string     // its data folder

	To      string   // the folder; it is created, its parent must exist
	Folders []string // of data and originals: the backup must be neither in one nor contain one
	Files   []string // small files in the data folder that are part of the state if they exist
	Reserve int64    // bytes of the data folder's disk that stay free; 0 for the default
	Verify  bool     // read earlier copies too, and copy damaged ones again

	Progress *terminal.Progress // counts originals; nil for none
}

// Report is the result of a backup.
type Report struct {
	Images int   `json:"images"`
	Bytes  int64 `json:"bytes"` // of their originals

	Copied      int   `json:"copied"` // originals
	CopiedBytes int64 `json:"copiedBytes"`
	Kept        int   `json:"kept"`    // from the previous backup
	Removed     int   `json:"removed"` // originals of deleted images
}

// Run creates or updates a backup, while a server may run on the installation. The backup has all uploads that
// were acknowledged before it began, and no image without its original.
//
// Rows first: Run snapshots the database. Then it copies the originals that the snapshot names and the
// backup lacks. Each of them existed at the time of the snapshot, because an original is stored before its
// row and never changes. An original can be missing later only because its image was deleted, and a deletion
// deletes the row first. So Run looks up the row of a missing original in the live database. If the row no
// longer exists, it deletes the row from the snapshot. If the row exists, the store has lost the original: Run
// fails, and names the image. (Originals first would lack those that are uploaded before the rows are read.)
//
// Run writes the manifest last, after all else is on the disk, and then deletes files that the manifest
// does not name. If it ends earlier, the previous backup is still complete, and the next run uses the
// originals that were copied.
func Run(ctx context.Context, o Options) (report Report, err error) {
	for _, folder := range o.Folders {
		if err := wantApart(o.To, folder); err != nil {
			return report, err
		}
	}
	if err := checkVersion(ctx, o.DB); err != nil {
		return report, err
	}
	live := images.New(images.Config{DB: o.DB, Blobs: o.Blobs, Dir: o.Dir})
	defer live.Close()
	installation, err := live.Installation(ctx)
	if err != nil {
		return report, err
	}
	to, err := openToWrite(o.To, installation)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	r := &run{Options: o, live: live, to: to}
	err = r.do(ctx, installation)
	return r.report, err
}

// checkVersion refuses a database whose schema is of another release.
func checkVersion(ctx context.Context, db *sqldb.DB) error {
	database, program, err := images.Schema(ctx, db)
	if err != nil {
		return err
	}
	if database > program {
		return &sqldb.NewerSchemaError{Database: database, Program: program}
	}
	if database < program {
		// Deleting a row from the snapshot needs this program's schema; and the snapshot is not
		// migrated, so that the previous release can use the backup.
		return fmt.Errorf("the database has schema %d, this program writes schema %d: back it up "+
			"with the program that its server runs, or start the server of this one first",
			database, program)
	}
	return nil
}

// wantApart refuses a folder that is within another one, or contains it.
func wantApart(dir, other string) error {
	for _, pair := range [][2]string{{dir, other}, {other, dir}} {
		within, err := isWithin(pair[0], pair[1])
		if err != nil {
			return err
		}
		if within {
			return fmt.Errorf("%s lies in %s: a backup lies apart from what is backed up, best on "+
				"another disk", pair[0], pair[1])
		}
	}
	return nil
}

// isWithin reports whether path is folder or is below it, after following links.
func isWithin(path, folder string) (bool, error) {
	outer, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking where the folders are: %w", err)
	}
	at, err := filepath.EvalSymlinks(path)
	for errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path) // it does not exist yet
		at, err = filepath.EvalSymlinks(path)
	}
	for ; err == nil; at = filepath.Dir(at) {
		var info os.FileInfo
		if info, err = os.Stat(at); err == nil && os.SameFile(info, outer) {
			return true, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	if err != nil {
		return false, fmt.Errorf("looking where the folders are: %w", err)
	}
	return false, nil
}
