package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"calotype/internal/blob"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A backUp is one run of BackUp.
type backUp struct {
	live     *Service
	to       *Backup
	options  BackupOptions
	snapshot *Service // on the copy of the rows
	reserve  int64    // of the backup's disk
	damaged  damages
	report   BackupReport
}

func (b *backUp) do(ctx context.Context, installation string) (err error) {
	if err := b.findReserve(); err != nil {
		return err
	}
	m := manifest{
		Format: manifestFormat, Installation: installation,
		State: "state-" + text.NewKey(), Taken: b.live.now().UTC(),
	}
	if err := b.to.root.Mkdir(m.State, 0o700); err != nil {
		return fmt.Errorf("making the backup's state: %w", err)
	}
	defer func() {
		if b.to.manifest.State != m.State {
			err = errors.Join(err, b.to.root.RemoveAll(m.State))
		}
	}()
	if err := b.takeSnapshot(ctx, m.State); err != nil {
		return err
	}
	err = b.withSnapshot(ctx, m.State, func() error { return b.copyOriginals(ctx, m) })
	if err != nil {
		return err
	}
	m.Images, m.Bytes = b.report.Images, b.report.Bytes
	if m.Files, err = b.finishState(m.State); err != nil {
		return err
	}
	if err := b.to.writeManifest(m); err != nil {
		return err
	}
	if err := b.to.removeStates(); err != nil {
		return fmt.Errorf("the backup is complete, but: %w", err)
	}
	err = b.withSnapshot(ctx, m.State, func() error { return b.removeOriginals(ctx) })
	if err != nil {
		return fmt.Errorf("the backup is complete, but: %w", err)
	}
	return nil
}

// findReserve returns the space that must stay free if the backup is on the disk of the live database, so
// that the database can still write. Another disk may be filled completely.
func (b *backUp) findReserve() error {
	same, err := sameDisk(b.live.config.Dir, b.to.dir)
	if err != nil || !same {
		return err
	}
	if b.reserve = b.options.Reserve; b.reserve == 0 {
		b.reserve, err = defaultDiskReserve(b.live.config.Dir)
	}
	return err
}

// room returns an error if a write would use the reserve.
func (b *backUp) room(size int64) error {
	if b.reserve == 0 {
		return nil
	}
	free, _, err := diskSpace(b.to.dir)
	if err == nil && free < size+b.reserve {
		err = fmt.Errorf("the disk is full except for the %d bytes that the server needs beside its "+
			"database: back up to another disk, or lower -disk-reserve", b.reserve)
	}
	return err
}

// takeSnapshot copies the rows at one point in time.
func (b *backUp) takeSnapshot(ctx context.Context, state string) error {
	info, err := os.Stat(filepath.Join(b.live.config.Dir, DatabaseFile))
	if err == nil {
		err = b.room(info.Size())
	}
	if err == nil {
		err = b.live.db.Snapshot(ctx, filepath.Join(b.to.dir, state, DatabaseFile))
	}
	if err != nil {
		return fmt.Errorf("copying the database: %w", err)
	}
	return nil
}

// withSnapshot runs fn with the open copy of the rows. After the close it is one file again.
func (b *backUp) withSnapshot(ctx context.Context, state string, fn func() error) error {
	db, err := sqldb.Open(ctx, filepath.Join(b.to.dir, state, DatabaseFile))
	if err != nil {
		return fmt.Errorf("opening the copy of the database: %w", err)
	}
	b.snapshot = New(Config{DB: db, Blobs: b.to.blobs})
	defer b.snapshot.Close()
	return errors.Join(fn(), db.Close())
}

// copyOriginals copies the originals of the snapshot that the backup lacks.
func (b *backUp) copyOriginals(ctx context.Context, m manifest) error {
	state := filepath.Join(b.to.dir, m.State)
	if err := checkSchema(ctx, b.snapshot.db, state); err != nil {
		return fmt.Errorf("it could not be restored, drop from the database what is not its own: %w",
			err)
	}
	if err := mark(ctx, b.to.blobs, m.Installation); err != nil {
		return err
	}
	err := b.snapshot.eachOriginal(ctx, func(o originalRow) error { return b.copy(ctx, o) })
	if err != nil {
		return err
	}
	if b.damaged.count > 0 {
		return fmt.Errorf("the backup was not completed, the one before it is as it was: %d originals "+
			"are missing or damaged. Put them back, from an older backup perhaps, or delete their "+
			"images:\n%v", b.damaged.count, &b.damaged)
	}
	return nil
}

// copy copies one original if needed. A missing or damaged original does not stop the others.
func (b *backUp) copy(ctx context.Context, o originalRow) error {
	kept, err := b.keeps(ctx, o)
	if err != nil {
		return err
	}
	if kept {
		b.report.Kept++
	} else {
		if err := b.room(o.size); err != nil {
			return err
		}
		err := copyOriginal(ctx, b.live.blobs, b.to.blobs, o)
		switch {
		case errors.Is(err, blob.ErrNotExist):
			return b.dropDeleted(ctx, o, err)
		case errors.Is(err, errDamaged):
			b.damaged.add(o, err)
			return nil
		case err != nil:
			return fmt.Errorf("copying the original of %v: %w", o, err)
		}
		b.report.Copied++
		b.report.CopiedBytes += o.size
	}
	b.report.Images++
	b.report.Bytes += o.size
	return nil
}

// dropDeleted deletes the row of a missing original from the snapshot, if its image was deleted
// concurrently; otherwise the original is lost.
func (b *backUp) dropDeleted(ctx context.Context, o originalRow, gone error) error {
	named, err := b.live.namedBlobs(ctx, []string{o.blob})
	if err != nil {
		return err
	}
	if named[o.blob] {
		b.damaged.add(o, gone)
		return nil
	}
	if err := b.snapshot.dropImage(ctx, o); err != nil {
		return fmt.Errorf("leaving out a deleted image: %w", err)
	}
	return nil
}

// keeps reports whether the backup already has an original, which was verified when it was copied.
func (b *backUp) keeps(ctx context.Context, o originalRow) (bool, error) {
	if b.options.Verify {
		return verifyOriginal(ctx, b.to.blobs, o)
	}
	info, err := b.to.blobs.Stat(ctx, o.blob)
	if errors.Is(err, blob.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for an original in the backup: %w", err)
	}
	return info.Size == o.size, nil
}

// finishState adds the small files to the state and makes it durable.
func (b *backUp) finishState(state string) ([]stateFile, error) {
	rows, err := b.to.openFile(path.Join(state, DatabaseFile))
	if err != nil {
		return nil, fmt.Errorf("reading the copy of the database: %w", err)
	}
	database, err := describe(rows)
	if err = errors.Join(err, rows.Close()); err != nil {
		return nil, fmt.Errorf("reading the copy of the database: %w", err)
	}
	database.Name = DatabaseFile
	files := []stateFile{database}
	for _, name := range b.options.Files {
		from, err := os.Open(filepath.Join(b.live.config.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("copying a file of the state: %w", err)
		}
		file, err := writeFile(b.to.root, path.Join(state, name), from)
		if err = errors.Join(err, from.Close()); err != nil {
			return nil, fmt.Errorf("copying %s: %w", name, err)
		}
		file.Name = name
		files = append(files, file)
	}
	if err := syncPath(filepath.Join(b.to.dir, state)); err != nil {
		return nil, err
	}
	return files, syncPath(b.to.dir)
}

// removeOriginals deletes originals from the backup that the new snapshot does not name: a deleted
// picture must not stay in it.
func (b *backUp) removeOriginals(ctx context.Context) error {
	for cursor := ""; ; {
		page, next, err := b.to.blobs.List(ctx, "", cursor)
		if err != nil {
			return fmt.Errorf("listing the originals of the backup: %w", err)
		}
		var keys []string
		for _, info := range page {
			if _, ok := blobDayOf(info.Key); ok {
				keys = append(keys, info.Key)
			}
		}
		named, err := b.snapshot.namedBlobs(ctx, keys)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if named[key] {
				continue
			}
			if err := b.to.blobs.Delete(ctx, key); err != nil {
				return fmt.Errorf("removing an original from the backup: %w", err)
			}
			b.report.Removed++
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}
