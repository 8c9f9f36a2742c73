package images

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

	"calotype/internal/blob"
	"calotype/internal/text"
)

// installationKey is the only lasting object in the blob store that is neither an original nor a part. It
// holds the installation's id.
const installationKey = "calotype-installation"

// startPrefix is the prefix of the objects by which installations that start concurrently on an empty
// store detect each other.
const startPrefix = "calotype-claim/"

// Installation returns the id of the installation, and refuses a blob store of another one or without its mark.
func (s *Service) Installation(ctx context.Context) (id string, err error) {
	return s.checkInstallation(ctx, false)
}

// checkInstallation is Installation; mayMark lets it mark a new store. A store is marked once, and only
// while it is empty: a server with a new or wrong database must never treat the originals of another
// one as orphans.
func (s *Service) checkInstallation(ctx context.Context, mayMark bool) (id string, err error) {
	id, marked, err := s.Accounts.Installation(ctx)
	if err != nil {
		return "", err
	}
	found, err := s.storeID(ctx)
	if errors.Is(err, blob.ErrNotExist) && !marked && mayMark {
		if err := s.markStore(ctx, id); err != nil {
			return "", err
		}
		found, err = s.storeID(ctx)
	}
	if errors.Is(err, blob.ErrNotExist) {
		return "", errNoMark
	}
	if err != nil {
		return "", err
	}
	if found != id {
		return "", notOurs(found, id)
	}
	return id, s.Accounts.MarkInstallation(ctx)
}

var errNoMark = fmt.Errorf("the blob store is not the one this database was used with: it has no "+
	"object %s. Check -blobs and -db", installationKey)

// CheckMark returns the error with which a start would refuse a blob store, without a write. id and marked are
// those of accounts.Service.Installation; id is "" for a database without an installation. isNew reports that
// the start would mark the store.
func CheckMark(ctx context.Context, blobs blob.Store, id string, marked bool) (isNew bool, err error) {
	found, err := readMark(ctx, blobs)
	switch {
	case errors.Is(err, blob.ErrNotExist) && marked:
		return false, errNoMark
	case errors.Is(err, blob.ErrNotExist):
		// A start that was interrupted leaves its claim, and the next one accepts it.
		return true, checkEmpty(ctx, blobs, startPrefix+id)
	case err != nil:
		return false, err
	case id == "":
		return false, fmt.Errorf("the blob store belongs to the installation %s, and the database is new. "+
			"Check -blobs and -db", found)
	case found != id:
		return false, notOurs(found, id)
	}
	return false, nil
}

func notOurs(found, id string) error {
	return fmt.Errorf("the blob store belongs to the installation %s, the database to %s. Check "+
		"-blobs and -db; two installations cannot share a store: give each a folder, bucket or "+
		"separate prefix", found, id)
}

func (s *Service) storeID(ctx context.Context) (string, error) { return readMark(ctx, s.blobs) }

func readMark(ctx context.Context, blobs blob.Store) (string, error) {
	r, err := blobs.Open(ctx, installationKey, 0)
	if err != nil {
		return "", fmt.Errorf("reading the object %s: %w", installationKey, err)
	}
	id, err := io.ReadAll(io.LimitReader(r, 1024))
	return string(id), errors.Join(err, r.Close())
}

// markStore writes our id into an empty store. A store cannot put an object on the
// condition that it does not exist. So each of several installations that start concurrently first puts a
// separate object and then looks for others: at most one finds no other object. The object is deleted after the
// mark is written, so an installation that finds no other object looks for the mark last.
func (s *Service) markStore(ctx context.Context, id string) (err error) {
	start := startPrefix + id
	if err := s.putText(ctx, start, id); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.blobs.Delete(ctx, start)) }()
	if err := checkEmpty(ctx, s.blobs, start); err != nil {
		return err
	}
	found, err := s.storeID(ctx)
	if err == nil && found != id {
		return notOurs(found, id)
	}
	if err != nil && !errors.Is(err, blob.ErrNotExist) {
		return err
	}
	return s.putText(ctx, installationKey, id)
}

// checkEmpty refuses a blob store with objects other than the mark and ours.
func checkEmpty(ctx context.Context, blobs blob.Store, ours ...string) error {
	there, _, err := blobs.List(ctx, "", "")
	if err != nil {
		return fmt.Errorf("looking whether the blob store is empty: %w", err)
	}
	for _, object := range there {
		if object.Key != installationKey && !slices.Contains(ours, object.Key) {
			return fmt.Errorf("the blob store holds objects (%s is one), but no object %s that "+
				"says whose they are, and the database is new. Give -blobs an empty folder, bucket "+
				"or prefix, or -db the database that belongs to it", object.Key, installationKey)
		}
	}
	return nil
}

// putText puts a small object.
func (s *Service) putText(ctx context.Context, key, content string) error {
	// Without the limits of the spool, because a server also starts on a full disk.
	f, err := os.OpenFile(filepath.Join(s.spool.Dir, text.NewKey()),
		os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("marking the blob store: %w", err)
	}
	_, err = f.WriteString(content)
	if err == nil {
		err = s.blobs.Put(ctx, key, f, int64(len(content)))
	}
	if removing := os.Remove(f.Name()); !errors.Is(removing, fs.ErrNotExist) { // otherwise it was moved
		err = errors.Join(err, removing)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("marking the blob store: %w", err)
	}
	return nil
}

// MarkCopy marks copied, a folder with a copy of an installation's originals, with the installation's id.
func MarkCopy(ctx context.Context, copied *blob.Dir, id string) error {
	err := copied.Copy(ctx, installationKey, strings.NewReader(id), int64(len(id)))
	if err != nil {
		return fmt.Errorf("marking the copied originals: %w", err)
	}
	return nil
}
