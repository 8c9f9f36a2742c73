package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"calotype/internal/errs"
)

// The ballast is a file without data that occupies some of the disk. If other programs have filled the disk
// completely, a start, which opens the database, and deletions, which first need some space, delete it.
// It is written again when there is space.
const (
	ballastFile = "ballast"
	maxBallast  = 16 << 20 // bytes; a quarter of a small reserve
	minSpace    = 1 << 20  // free bytes that a start needs
)

// MakeBallast writes the ballast, if it does not exist and fits beside the reserve.
func (d *Disk) MakeBallast() error {
	path := filepath.Join(d.Dir, ballastFile)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	size := min(maxBallast, d.Reserve/4)
	free, _, err := Space(d.Dir)
	if err != nil || free < d.Reserve+size || size == 0 {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = allocate(f, size)
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}
	if err != nil && !errs.IsNoSpace(err) {
		return fmt.Errorf("making the ballast: %w", err)
	}
	return nil
}

// allocate reserves the disk space of an empty file.
func allocate(f *os.File, size int64) error {
	err := fallocate(f, size)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	zeros := make([]byte, 64<<10)
	for ; size > 0; size -= int64(len(zeros)) {
		if _, err := f.Write(zeros[:min(size, int64(len(zeros)))]); err != nil {
			return err
		}
	}
	return nil
}

// dropBallast removes the ballast of a data folder, and reports whether it existed.
func dropBallast(dir string) (bool, error) {
	err := os.Remove(filepath.Join(dir, ballastFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("removing the ballast: %w", err)
	}
	return true, nil
}

// MakeSpaceToStart frees the space that a start needs on a full disk: it deletes renditions, which can
// be rendered again, in the folder cache of dir, and then the ballast. No other process may use dir.
func MakeSpaceToStart(dir, cache string, log *slog.Logger) error {
	lacking := func() (bool, error) {
		free, _, err := Space(dir)
		return free < minSpace, err
	}
	lacks, err := lacking()
	if err != nil || !lacks {
		return err
	}
	log.Error("out of disk: freeing space to start", "dir", dir)
	err = filepath.WalkDir(filepath.Join(dir, cache),
		func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			if lacks, err = lacking(); err != nil || lacks {
				return errors.Join(err, os.Remove(path))
			}
			return fs.SkipAll
		})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing renditions: %w", err)
	}
	if lacks, err = lacking(); err == nil && lacks {
		_, err = dropBallast(dir)
	}
	return err
}
