package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"calotype/internal/blob"
	"calotype/internal/disk"
	"calotype/internal/images"
	"calotype/internal/sqldb"
	"calotype/internal/terminal"
)

// restoringFile is the database of a data folder during a restore. A server does not use it, and does
// not create an installation beside it, because the originals are marked as another installation's.
const restoringFile = "restoring.db"

// RestoreOptions are the targets of a restore.
type RestoreOptions struct {
	Dir         string // data folder, empty except its lock
	Blobs       string // folder of the originals, empty or missing
	DropDamaged bool   // leave out images whose original is damaged, instead of an error

	Progress *terminal.Progress // counts originals; nil for none
}

// RestoreReport is the result of a restore.
type RestoreReport struct {
	Taken   time.Time `json:"taken"` // time of the backup's snapshot
	Images  int       `json:"images"`
	Bytes   int64     `json:"bytes"`   // of their originals
	Dropped string    `json:"dropped"` // the images left out, a line each; "" for none
}

// CheckTarget refuses targets that are not empty.
func (b *Folder) CheckTarget(o RestoreOptions) error {
	const why = "a backup is restored to an empty folder or a new one"
	for _, dir := range []string{o.Dir, o.Blobs} {
		if err := wantApart(dir, b.dir); err != nil {
			return err
		}
	}
	if err := wantEmpty(o.Dir, why, disk.LockFile); err != nil {
		return err
	}
	return wantEmpty(o.Blobs, why)
}

// Restore writes the backup to a data folder. It compares each copied file with its size and SHA-256. It renames the
// database last, so a server can start on the folder only when it is complete. The caller has the folder's lock.
func (b *Folder) Restore(
	ctx context.Context, o RestoreOptions,
) (report RestoreReport, err error) {
	if err := b.CheckTarget(o); err != nil {
		return report, err
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return report, fmt.Errorf("opening the data folder: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, f := range b.manifest.Files {
		if err := b.restoreFile(f, root); err != nil {
			return report, fmt.Errorf("restoring %s: %w", f.Name, err)
		}
	}
	report.Taken = b.manifest.Taken
	if err := b.restoreOriginals(ctx, o, &report); err != nil {
		return report, err
	}
	// After a clean close the database is one file.
	if _, err := root.Lstat(restoringFile + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("the restored database was not closed: it has a log still (%w)", err)
	}
	if err := root.Rename(restoringFile, DatabaseFile); err != nil {
		return report, fmt.Errorf("putting the database in place: %w", err)
	}
	return report, syncPath(o.Dir)
}

// restoreFile restores a file of the state.
func (b *Folder) restoreFile(f stateFile, to *os.Root) error {
	from, err := b.openFile(path.Join(b.manifest.State, f.Name))
	if err != nil {
		return err
	}
	name := f.Name
	if name == DatabaseFile {
		name = restoringFile
	}
	_, err = writeFile(to, name, newCheckedReader(from, f.Size, f.SHA256))
	return errors.Join(err, from.Close())
}

// restoreOriginals restores the originals in the rows.
func (b *Folder) restoreOriginals(
	ctx context.Context, o RestoreOptions, report *RestoreReport,
) (err error) {
	db, err := sqldb.Open(ctx, filepath.Join(o.Dir, restoringFile))
	if err != nil {
		return fmt.Errorf("opening the restored database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// Before any statement writes, because the backup may contain a malicious trigger.
	if err := images.CheckSchema(ctx, db, o.Dir); err != nil {
		return fmt.Errorf("the backup is not trusted: %w", err)
	}
	if err := images.Migrate(ctx, db); err != nil {
		return err
	}
	rows := images.New(images.Config{DB: db, Blobs: b.blobs})
	defer rows.Close()
	// A backup has no parts. One of another program must not name originals as parts.
	if err := rows.Partials.Forget(ctx); err != nil {
		return err
	}
	id, err := rows.Installation(ctx)
	if err != nil {
		return fmt.Errorf("the database and the originals of the backup do not belong together: %w", err)
	}
	to, err := blob.OpenDir(o.Blobs)
	if err != nil {
		return err
	}
	// First, so that a server refuses a new database beside an incomplete restore.
	if err := to.Mark(ctx, id); err != nil {
		return err
	}
	return b.copyTo(ctx, to, rows, o, report)
}

// copyTo copies the originals of the backup to a folder. rows is on the restored database.
func (b *Folder) copyTo(
	ctx context.Context, to *blob.Dir, rows *images.Service, o RestoreOptions, report *RestoreReport,
) error {
	var damaged damages
	n, bytes, err := rows.CountOriginals(ctx)
	if err != nil {
		return err
	}
	o.Progress.Expect(n, bytes)
	err = rows.EachOriginal(ctx, func(original images.OriginalRow) error {
		defer o.Progress.Add(1, original.Size)
		err := copyOriginal(ctx, b.blobs, to, original)
		switch {
		case errors.Is(err, blob.ErrNotExist), errors.Is(err, errDamaged):
			damaged.add(original, err)
			if !o.DropDamaged {
				return nil // to name all of them
			}
			err = rows.DropImage(ctx, original)
		case err == nil:
			report.Images++
			report.Bytes += original.Size
		}
		if err != nil {
			return fmt.Errorf("restoring the original of %v: %w", original, err)
		}
		return nil
	})
	report.Dropped = damaged.String()
	if err == nil && damaged.count > 0 && !o.DropDamaged {
		err = fmt.Errorf("%d originals in the backup are missing or damaged, so no server will start "+
			"on %s. Remove it, and restore again with -drop-damaged, which leaves their images out, "+
			"or from another backup:\n%v", damaged.count, o.Dir, &damaged)
	}
	return err
}
