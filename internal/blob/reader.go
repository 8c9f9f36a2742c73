package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// A Reader reads one object from any position. It is not safe for concurrent use.
// After a seek the next Read sends a new request to a remote store.
type Reader struct {
	ctx     context.Context
	store   Store
	key     string
	content io.ReadCloser // whose next byte is at opened; nil if closed
	opened  int64
	at      int64 // the position of the next Read
	size    int64
}

// OpenReader opens an object of size bytes, which the caller closes. Reads end with ctx. Error: ErrNotExist.
func OpenReader(ctx context.Context, s Store, key string, size int64) (*Reader, error) {
	content, err := s.Open(ctx, key, 0)
	if err != nil {
		return nil, err
	}
	return &Reader{ctx: ctx, store: s, key: key, size: size, content: content}, nil
}

// Read implements io.Reader. Error: io.ErrUnexpectedEOF if the store has fewer bytes than size.
func (r *Reader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.content == nil || r.opened != r.at {
		if err := r.Close(); err != nil {
			return 0, fmt.Errorf("closing an object that was read in part: %w", err)
		}
		content, err := r.store.Open(r.ctx, r.key, r.at)
		if err != nil {
			return 0, err
		}
		r.content, r.opened = content, r.at
	}
	n, err := r.content.Read(p[:min(int64(len(p)), r.size-r.at)])
	r.at += int64(n)
	r.opened = r.at
	if err == io.EOF && r.at < r.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Seek implements io.Seeker.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.at, errors.New("seeking before the first byte of an object")
	}
	r.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *Reader) Close() error {
	if r.content == nil {
		return nil
	}
	err := r.content.Close()
	r.content = nil
	return err
}
