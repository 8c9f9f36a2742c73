package blob

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
)

// Copy stores all bytes of r, which must be size bytes, under key, as durably as Put. It moves no
// file, and replaces an existing object atomically. If r fails, the store is unchanged.
func (d *Dir) Copy(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := d.copy(ctx, key, r, size); err != nil {
		return fmt.Errorf("storing blob %s: %w", key, err)
	}
	return nil
}

func (d *Dir) copy(ctx context.Context, key string, r io.Reader, size int64) (err error) {
	name := path.Join(unfinished, rand.Text())
	to, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.removeTemporary(name))
		}
	}()
	n, err := io.Copy(to, ctxReader{ctx, r})
	if err == nil && n != size {
		err = fmt.Errorf("the file has %d bytes, not %d", n, size)
	}
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	return d.place(ctx, key, filepath.Join(d.root.Name(), filepath.FromSlash(name)))
}
