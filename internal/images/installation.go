package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"calotype/internal/blob"
)

// installationKey is the one object in the blob store that is not an original. It says whose
// store this is.
const installationKey = "calotype-installation"

// checkInstallation refuses a blob store that is not this database's. A store is marked once, and
// only while it is empty: a database that was lost, or pointed elsewhere, must never take the
// originals of another for orphans.
func (s *Service) checkInstallation(ctx context.Context) error {
	var id string
	var marked bool
	err := s.DB.QueryRow(ctx, `SELECT id, marked FROM installation`).Scan(&id, &marked)
	if err != nil {
		return fmt.Errorf("reading the installation's id: %w", err)
	}
	found, err := s.storeID(ctx)
	if errors.Is(err, blob.ErrNotExist) && !marked {
		if err := s.markStore(ctx, id); err != nil {
			return err
		}
		found, err = s.storeID(ctx)
	}
	if errors.Is(err, blob.ErrNotExist) {
		return fmt.Errorf("the blob store is not the one this database was used with: it has no "+
			"object %s. Check -blobs and -db", installationKey)
	}
	if err != nil {
		return err
	}
	if found != id {
		return fmt.Errorf("the blob store belongs to the installation %s, the database to %s. "+
			"Check -blobs and -db; two installations cannot share a store: give each a folder, "+
			"bucket or prefix of its own", found, id)
	}
	_, err = s.DB.Exec(ctx, `UPDATE installation SET marked = 1 WHERE marked = 0`)
	return err
}

func (s *Service) storeID(ctx context.Context) (string, error) {
	r, err := s.Blobs.Open(ctx, installationKey)
	if err != nil {
		return "", fmt.Errorf("reading the object %s: %w", installationKey, err)
	}
	id, err := io.ReadAll(io.LimitReader(r, 1024))
	return string(id), errors.Join(err, r.Close())
}

// markStore writes our id into an empty store.
func (s *Service) markStore(ctx context.Context, id string) (err error) {
	there, _, err := s.Blobs.List(ctx, "", "")
	if err != nil {
		return fmt.Errorf("looking whether the blob store is empty: %w", err)
	}
	if len(there) > 0 {
		return fmt.Errorf("the blob store holds objects (%s is one), but no object %s that says "+
			"whose they are, and the database is new. Give -blobs an empty folder, bucket or "+
			"prefix, or -db the database that belongs to it", there[0].Key, installationKey)
	}
	name := filepath.Join(s.Dir, "installation-"+newKey())
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("marking the blob store: %w", err)
	}
	defer func() {
		if gone := os.Remove(name); gone != nil && !errors.Is(gone, os.ErrNotExist) {
			err = errors.Join(err, gone)
		}
		err = errors.Join(err, f.Close())
	}()
	if _, err := f.WriteString(id); err != nil {
		return fmt.Errorf("marking the blob store: %w", err)
	}
	return s.Blobs.Put(ctx, installationKey, f, int64(len(id)))
}
