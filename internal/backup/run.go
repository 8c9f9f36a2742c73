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

	"golang.org/x/sys/unix"

	"calotype/internal/blob"
	"calotype/internal/disk"
	"calotype/internal/images"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A run is one call of Run.
type run struct {
	Options
	live     *images.Service
	to       *Folder
	snapshot *images.Service // on the copy of the rows
	reserve  int64           // of the backup's disk
	damaged  damages
	report   Report
}

func (r *run) do(ctx context.Context, installation string) (err error) {
	if err := r.findReserve(); err != nil {
		return err
	}
	m := manifest{
		Format: manifestFormat, Installation: installation,
		State: "state-" + text.NewKey(), Taken: time.Now().UTC(),
	}
	if err := r.to.root.Mkdir(m.State, 0o700); err != nil {
		return fmt.Errorf("making the backup's state: %w", err)
	}
	defer func() {
		if r.to.manifest.State != m.State {
			err = errors.Join(err, r.to.root.RemoveAll(m.State))
		}
	}()
	if err := r.takeSnapshot(ctx, m.State); err != nil {
		return err
	}
	err = r.withSnapshot(ctx, m.State, func(db *sqldb.DB) error { return r.copyOriginals(ctx, db, m) })
	if err != nil {
		return err
	}
	m.Images, m.Bytes = r.report.Images, r.report.Bytes
	if m.Files, err = r.finishState(m.State); err != nil {
		return err
	}
	if err := r.to.writeManifest(m); err != nil {
		return err
	}
	if err := r.to.removeStates(); err != nil {
		return fmt.Errorf("the backup is complete, but: %w", err)
	}
	err = r.withSnapshot(ctx, m.State, func(*sqldb.DB) error { return r.removeOriginals(ctx) })
	if err != nil {
		return fmt.Errorf("the backup is complete, but: %w", err)
	}
	return nil
}

// sameDisk reports whether two folders are on one file system.
func sameDisk(dir, other string) (bool, error) {
	var here, there unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &here), unix.Stat(other, &there)); err != nil {
		return false, fmt.Errorf("asking for the disks of %s and %s: %w", dir, other, err)
	}
	return here.Dev == there.Dev, nil
}

// findReserve returns the space that must stay free if the backup is on the disk of the live database, so
// that the database can still write. Another disk may be filled completely.
func (r *run) findReserve() error {
	same, err := sameDisk(r.Dir, r.to.dir)
	if err != nil || !same {
		return err
	}
	if r.reserve = r.Reserve; r.reserve == 0 {
		r.reserve, err = disk.DefaultReserve(r.Dir)
	}
	return err
}

// checkSpace returns an error if a write would use the reserve.
func (r *run) checkSpace(size int64) error {
	if r.reserve == 0 {
		return nil
	}
	free, _, err := disk.Space(r.to.dir)
	if err == nil && free < size+r.reserve {
		err = fmt.Errorf("the disk is full except for the %d bytes that the server needs beside its "+
			"database: back up to another disk, or lower -disk-reserve", r.reserve)
	}
	return err
}

// takeSnapshot copies the rows at one point in time.
func (r *run) takeSnapshot(ctx context.Context, state string) error {
	info, err := os.Stat(filepath.Join(r.Dir, DatabaseFile))
	if err == nil {
		err = r.checkSpace(info.Size())
	}
	if err == nil {
		err = r.DB.Snapshot(ctx, filepath.Join(r.to.dir, state, DatabaseFile))
	}
	if err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	return nil
}

// withSnapshot runs fn with the open copy of the rows. After the close it is one file again.
func (r *run) withSnapshot(ctx context.Context, state string, fn func(*sqldb.DB) error) error {
	db, err := sqldb.Open(ctx, filepath.Join(r.to.dir, state, DatabaseFile))
	if err != nil {
		return fmt.Errorf("opening the copy of the database: %w", err)
	}
	r.snapshot = images.New(images.Config{DB: db, Blobs: r.to.blobs})
	defer r.snapshot.Close()
	return errors.Join(fn(db), db.Close())
}

// copyOriginals copies the originals of the snapshot that the backup lacks.
func (r *run) copyOriginals(ctx context.Context, db *sqldb.DB, m manifest) error {
	state := filepath.Join(r.to.dir, m.State)
	if err := images.CheckSchema(ctx, db, state); err != nil {
		return fmt.Errorf("it could not be restored, drop from the database what is not its own: %w",
			err)
	}
	if err := r.to.blobs.Mark(ctx, m.Installation); err != nil {
		return err
	}
	if err := r.snapshot.Partials.Forget(ctx); err != nil { // the backup copies no parts
		return err
	}
	n, bytes, err := r.snapshot.CountOriginals(ctx)
	if err != nil {
		return err
	}
	r.Progress.Expect(n, bytes)
	err = r.snapshot.EachOriginal(ctx, func(o images.OriginalRow) error {
		defer r.Progress.Add(1, o.Size)
		return r.copy(ctx, o)
	})
	if err != nil {
		return err
	}
	if r.damaged.count > 0 {
		return fmt.Errorf("the backup was not completed, the one before it is as it was: %d originals "+
			"are missing or damaged. Put them back, from an older backup perhaps, or delete their "+
			"images:\n%v", r.damaged.count, &r.damaged)
	}
	return nil
}

// copy copies one original if needed. A missing or damaged original does not stop the others.
func (r *run) copy(ctx context.Context, o images.OriginalRow) error {
	kept, err := r.keeps(ctx, o)
	if err != nil {
		return err
	}
	if kept {
		r.report.Kept++
	} else {
		if err := r.checkSpace(o.Size); err != nil {
			return err
		}
		err := copyOriginal(ctx, r.Blobs, r.to.blobs, o)
		switch {
		case errors.Is(err, blob.ErrNotExist):
			return r.dropDeleted(ctx, o, err)
		case errors.Is(err, errDamaged):
			r.damaged.add(o, err)
			return nil
		case err != nil:
			return fmt.Errorf("copying the original of %v: %w", o, err)
		}
		r.report.Copied++
		r.report.CopiedBytes += o.Size
	}
	r.report.Images++
	r.report.Bytes += o.Size
	return nil
}

// dropDeleted deletes the row of a missing original from the snapshot, if its image was deleted
// concurrently; otherwise the original is lost.
func (r *run) dropDeleted(ctx context.Context, o images.OriginalRow, gone error) error {
	deleted, err := r.live.Orphans(ctx, []string{o.Blob})
	if err != nil {
		return err
	}
	if len(deleted) == 0 {
		r.damaged.add(o, gone)
		return nil
	}
	if err := r.snapshot.DropImage(ctx, o); err != nil {
		return fmt.Errorf("leaving out a deleted image: %w", err)
	}
	return nil
}

// keeps reports whether the backup already has an original, which was verified when it was copied.
func (r *run) keeps(ctx context.Context, o images.OriginalRow) (bool, error) {
	if r.Verify {
		return verifyOriginal(ctx, r.to.blobs, o)
	}
	info, err := r.to.blobs.Stat(ctx, o.Blob)
	if errors.Is(err, blob.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for an original in the backup: %w", err)
	}
	return info.Size == o.Size, nil
}

// finishState adds the small files to the state and makes it durable.
func (r *run) finishState(state string) ([]stateFile, error) {
	rows, err := r.to.openFile(path.Join(state, DatabaseFile))
	if err != nil {
		return nil, fmt.Errorf("reading the copy of the database: %w", err)
	}
	database, err := describe(rows)
	if err = errors.Join(err, rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the copy of the database: %w", err)
	}
	database.Name = DatabaseFile
	files := []stateFile{database}
	for _, name := range r.Files {
		from, err := os.Open(filepath.Join(r.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("copying a file of the state: %w", err)
		}
		file, err := writeFile(r.to.root, path.Join(state, name), from)
		if err = errors.Join(err, from.Close()); err != nil {
			return nil, fmt.Errorf("copying %s: %w", name, err)
		}
		file.Name = name
		files = append(files, file)
	}
	if err := syncPath(filepath.Join(r.to.dir, state)); err != nil {
		return nil, err
	}
	return files, syncPath(r.to.dir)
}

// removeOriginals deletes originals from the backup that the new snapshot does not name: a deleted
// picture must not stay in it.
func (r *run) removeOriginals(ctx context.Context) error {
	for cursor := ""; ; {
		page, next, err := r.to.blobs.List(ctx, "", cursor)
		if err != nil {
			return fmt.Errorf("listing the originals of the backup: %w", err)
		}
		keys := make([]string, len(page))
		for i, info := range page {
			keys[i] = info.Key
		}
		orphans, err := r.snapshot.Orphans(ctx, keys)
		if err != nil {
			return err
		}
		for _, key := range orphans {
			if err := r.to.blobs.Delete(ctx, key); err != nil {
				return fmt.Errorf("removing an original from the backup: %w", err)
			}
			r.report.Removed++
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}
