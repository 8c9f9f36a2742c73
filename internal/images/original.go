package images

import (
	"context"
	"errors"
	"fmt"
	"io"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/sqldb"
)

// An Original describes the uploaded bytes.
type Original struct {
	Blob          string // key in the blob store
	Header        imagefile.Header
	Width, Height int // pixels, as shown
	Alpha         bool
	Size          int64  // bytes
	SHA256        string // hex
	Thumbhash     string // base64
}

// Animated reports whether the original is an animation.
func (o *Original) Animated() bool { return o.Header.Frames > 1 }

// OpenOriginal opens an image's stored bytes, which the caller closes. Error: ImageNotFound for a draft.
func (s *Service) OpenOriginal(
	ctx context.Context, account, id string,
) (Image, *OriginalReader, error) {
	img, err := s.Image(ctx, account, id)
	if err != nil {
		return img, nil, err
	}
	if img.Draft {
		return img, nil, errs.Errorf(errs.ImageNotFound, "Image not found: it is a draft, not uploaded yet")
	}
	r := &OriginalReader{size: img.Original.Size, open: func(from int64) (io.ReadCloser, error) {
		r, err := s.blobs.Open(ctx, img.Original.Blob, from)
		if err != nil {
			return nil, fmt.Errorf("opening the original of image %s: %w", img.Key, err)
		}
		return r, nil
	}}
	if r.content, err = r.open(0); err != nil {
		return img, nil, err
	}
	return img, r, nil
}

// An OriginalReader reads the stored bytes of one original, from any position. It is not safe for concurrent use.
// After a seek the next Read sends a new request to a remote store.
type OriginalReader struct {
	open    func(from int64) (io.ReadCloser, error)
	content io.ReadCloser // whose next byte is at opened; nil if closed
	opened  int64
	at      int64 // the position of the next Read
	size    int64
}

// Read implements io.Reader. Error: io.ErrUnexpectedEOF if the store has fewer bytes than the row states.
func (r *OriginalReader) Read(p []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.content == nil || r.opened != r.at {
		if err := r.Close(); err != nil {
			return 0, fmt.Errorf("closing an original that was read in part: %w", err)
		}
		content, err := r.open(r.at)
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
func (r *OriginalReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return r.at, errors.New("seeking before the first byte of an original")
	}
	r.at = offset
	return offset, nil
}

// Close implements io.Closer.
func (r *OriginalReader) Close() error {
	if r.content == nil {
		return nil
	}
	err := r.content.Close()
	r.content = nil
	return err
}

// originalsPage is the number of rows that a scan of all originals reads at a time.
const originalsPage = 1000

// An OriginalRow holds the columns of an image about its original.
type OriginalRow struct {
	Account, ID string // of the image
	Blob        string // key in the blob store
	Size        int64  // bytes
	SHA256      string // hex
}

// String names the image for an operator.
func (o OriginalRow) String() string {
	return fmt.Sprintf("image %q of account %s", o.ID, o.Account)
}

// originalsAfter returns the originals whose keys come after one, in the database's order of keys.
// Columns of the first schema are enough.
func (s *Service) originalsAfter(ctx context.Context, after string) ([]OriginalRow, error) {
	page, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (o OriginalRow, err error) {
		err = r.Scan(&o.Account, &o.ID, &o.Blob, &o.Size, &o.SHA256)
		return o, err
	}, `SELECT account, id, blob, size, sha256 FROM images
		WHERE blob > ?1 ORDER BY blob LIMIT ?2`, after, originalsPage)
	if err != nil {
		return nil, fmt.Errorf("reading originals: %w", err)
	}
	return page, nil
}

// CountOriginals returns the number of originals that rows name, and their bytes.
func (s *Service) CountOriginals(ctx context.Context) (n, bytes int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT count(*), coalesce(sum(size), 0) FROM images WHERE blob > ''`).Scan(&n, &bytes)
	if err != nil {
		err = fmt.Errorf("counting the originals: %w", err)
	}
	return n, bytes, err
}

// EachOriginal calls fn with the row of each original, by key, and returns fn's first error. fn may delete the
// row.
func (s *Service) EachOriginal(ctx context.Context, fn func(OriginalRow) error) error {
	for after := ""; ; {
		page, err := s.originalsAfter(ctx, after)
		if err != nil {
			return err
		}
		for _, o := range page {
			if err := fn(o); err != nil {
				return err
			}
		}
		if len(page) < originalsPage {
			return nil
		}
		after = page[len(page)-1].Blob
	}
}
