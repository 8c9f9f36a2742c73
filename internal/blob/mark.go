package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"calotype/internal/text"
)

// MarkKey is the key of a store's mark, which holds the id of the installation whose objects the store has. No other
// lasting object is neither an original nor a part.
const MarkKey = "calotype-installation"

// startPrefix is the prefix of the objects by which installations that start concurrently on an empty
// store detect each other.
const startPrefix = "calotype-claim/"

var errNoMark = fmt.Errorf("the blob store is not the one this database was used with: it has no "+
	"object %s. Check -blobs and -db", MarkKey)

// VerifyMark returns an error if the mark of the store is missing, or is not the id of the installation.
func VerifyMark(ctx context.Context, s Store, id string) error {
	found, err := readMark(ctx, s)
	switch {
	case errors.Is(err, ErrNotExist):
		return errNoMark
	case err != nil:
		return err
	case found != id:
		return errForeignMark(found, id)
	}
	return nil
}

// CheckMark returns the error with which a start would refuse a store, without a write. id is that of the
// installation, "" for a database without one; marked says that the store was marked. isNew reports that the start
// would mark the store.
func CheckMark(ctx context.Context, s Store, id string, marked bool) (isNew bool, err error) {
	found, err := readMark(ctx, s)
	switch {
	case errors.Is(err, ErrNotExist) && marked:
		return false, errNoMark
	case errors.Is(err, ErrNotExist):
		// A start that was interrupted leaves its claim, and the next one accepts it.
		return true, checkEmpty(ctx, s, startPrefix+id)
	case err != nil:
		return false, err
	case id == "":
		return false, fmt.Errorf("the blob store belongs to the installation %s, and the database is new. "+
			"Check -blobs and -db", found)
	case found != id:
		return false, errForeignMark(found, id)
	}
	return false, nil
}

func errForeignMark(found, id string) error {
	return fmt.Errorf("the blob store belongs to the installation %s, the database to %s. Check "+
		"-blobs and -db; two installations cannot share a store: give each a folder, bucket or "+
		"separate prefix", found, id)
}

// readMark returns the id in the mark. Error: ErrNotExist.
func readMark(ctx context.Context, s Store) (string, error) {
	r, err := s.Open(ctx, MarkKey, 0)
	if err != nil {
		return "", fmt.Errorf("reading the object %s: %w", MarkKey, err)
	}
	id, err := io.ReadAll(io.LimitReader(r, 1024))
	return string(id), errors.Join(err, r.Close())
}

// MarkNew marks a store without a mark with the id of an installation. It refuses a store with objects. dir is the
// folder of its temporary files.
//
// A store cannot put an object on the condition that it does not exist. So each of several installations that start
// concurrently first puts a separate object and then looks for others: at most one finds no other object. The object
// is deleted after the mark is written, so an installation that finds no other object looks for the mark last.
func MarkNew(ctx context.Context, s Store, id, dir string) (err error) {
	if _, err := readMark(ctx, s); !errors.Is(err, ErrNotExist) {
		return err
	}
	start := startPrefix + id
	if err := putText(ctx, s, start, id, dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Delete(ctx, start)) }()
	if err := checkEmpty(ctx, s, start); err != nil {
		return err
	}
	found, err := readMark(ctx, s)
	if err == nil && found != id {
		return errForeignMark(found, id)
	}
	if err != nil && !errors.Is(err, ErrNotExist) {
		return err
	}
	return putText(ctx, s, MarkKey, id, dir)
}

// checkEmpty refuses a store with objects other than the mark and ours.
func checkEmpty(ctx context.Context, s Store, ours ...string) error {
	there, _, err := s.List(ctx, "", "")
	if err != nil {
		return fmt.Errorf("looking whether the blob store is empty: %w", err)
	}
	for _, object := range there {
		if object.Key != MarkKey && !slices.Contains(ours, object.Key) {
			return fmt.Errorf("the blob store holds objects (%s is one), but no object %s that "+
				"says whose they are, and the database is new. Give -blobs an empty folder, bucket "+
				"or prefix, or -db the database that belongs to it", object.Key, MarkKey)
		}
	}
	return nil
}

// putText puts a small object.
func putText(ctx context.Context, s Store, key, content, dir string) error {
	// Without the limits of a spool, because a server also starts on a full disk.
	f, err := os.OpenFile(filepath.Join(dir, text.NewKey()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("marking the blob store: %w", err)
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = s.Put(ctx, key, f, int64(len(content)))
	}
	if removing := os.Remove(f.Name()); !errors.Is(removing, fs.ErrNotExist) { // otherwise it was moved
		err = errors.Join(err, removing)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("marking the blob store: %w", err)
	}
	return nil
}

// Mark marks d, a folder with a copy of an installation's originals, with the id of the installation.
func (d *Dir) Mark(ctx context.Context, id string) error {
	if err := d.Copy(ctx, MarkKey, strings.NewReader(id), int64(len(id))); err != nil {
		return fmt.Errorf("marking the copied originals: %w", err)
	}
	return nil
}
