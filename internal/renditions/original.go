package renditions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"calotype/internal/images"
)

// An originalFile is an original in a file on this machine.
type originalFile struct {
	*os.File
	close func() error
}

func (f originalFile) Close() error { return f.close() }

// originalFile opens an original of an account; originals of a remote store are fetched to the
// spool.
func (s *Service) originalFile(ctx context.Context, account string, o *images.Original) (originalFile, error) {
	r, err := s.config.Blobs.Open(ctx, o.Blob, 0)
	if err != nil {
		return originalFile{}, err
	}
	if f, ok := r.(*os.File); ok {
		return originalFile{f, f.Close}, nil
	}
	return s.copyToSpool(r, o.Size, account)
}

// copyToSpool copies size bytes to a file in the spool of fetched originals, and closes r.
func (s *Service) copyToSpool(r io.ReadCloser, size int64, account string) (originalFile, error) {
	copied := s.fetched.File(size, account)
	err := copied.Reserve(size)
	if err == nil {
		_, err = io.Copy(copied, io.LimitReader(r, size+1))
	}
	if err == nil && copied.Written() != size {
		err = fmt.Errorf("the stored bytes are not the %d that they should be", size)
	}
	if err = errors.Join(err, r.Close()); err != nil {
		return originalFile{}, errors.Join(err, copied.Close())
	}
	return originalFile{copied.OS(), copied.Close}, nil
}

// input opens the bytes of which r's renditions are made.
func (s *Service) input(ctx context.Context, r Resolved) (originalFile, error) {
	if r.source != nil {
		return s.openSource(r)
	}
	return s.originalFile(ctx, r.Image.Account, r.Image.Original)
}
