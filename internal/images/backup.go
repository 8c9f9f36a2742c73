package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"calotype/internal/sqldb"
)

// BackupOptions say where a backup goes and what belongs to it.
type BackupOptions struct {
	To      string   // the folder; it is made, but not those above it
	Folders []string // of data and originals: the backup lies neither in one nor around one
	Files   []string // small files in the data folder that belong to the state where they are there
	Reserve int64    // bytes of the data folder's disk that stay free; 0 for the default
	Verify  bool     // read again what is kept, and copy anew what is damaged
}

// BackupReport is what a backup found and did.
type BackupReport struct {
	Images int
	Bytes  int64 // of their originals

	Copied      int // originals
	CopiedBytes int64
	Kept        int // from the backup before
	Removed     int // of images that are no more
}

// BackUp makes or renews a copy of the installation, whose database is SQLite, while a server runs
// on it. The copy has all that was acknowledged before it began, and no image without its
// original.
//
// Rows go first: a snapshot of the database, at one moment. Then come the originals that it names
// and the backup lacks. Each of them was there at that moment, since an original is stored before
// its row, and never changes. It can be gone only because its image was deleted since; that takes
// the row first. So of an original that is not there the live database is asked: when no row names
// it any more, the snapshot loses that row too. When one does, the store has lost it: the backup
// fails, and names the image. (Originals first would lack those that were uploaded before the rows
// were read.)
//
// The manifest goes last, when all else is on the disk, and then what it does not name goes.
// Whenever it ends before, the backup that was there is as good as it was, and the next one uses
// the originals that were copied.
func (s *Service) BackUp(ctx context.Context, o BackupOptions) (report BackupReport, err error) {
	installation, err := s.checkBackUp(ctx, o)
	if err != nil {
		return report, err
	}
	to, err := openToWrite(o.To, installation)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	run := &backUp{live: s, to: to, options: o}
	err = run.do(ctx, installation)
	return run.report, err
}

// checkBackUp refuses what cannot be backed up, before anything is made, and returns the
// installation's id.
func (s *Service) checkBackUp(ctx context.Context, o BackupOptions) (string, error) {
	for _, folder := range o.Folders {
		if err := wantApart(o.To, folder); err != nil {
			return "", err
		}
	}
	database, program, err := schemaOf(ctx, s.DB)
	if err != nil {
		return "", err
	}
	if database > program {
		return "", &sqldb.NewerSchemaError{Database: database, Program: program}
	}
	if database < program {
		// To delete a row from the snapshot, its schema must be ours; and it is not migrated, so
		// that the program before can be gone back to.
		return "", fmt.Errorf("the database has schema %d, this program writes schema %d: back it up "+
			"with the program that its server runs, or start the server of this one first",
			database, program)
	}
	if err := s.checkInstallation(ctx, false); err != nil {
		return "", err
	}
	return s.storeID(ctx)
}

// wantApart refuses a folder that lies within another, or around it.
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

// isWithin reports whether path is a folder or lies below it, whatever links lead there.
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
		path = filepath.Dir(path) // it is still to be made
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
