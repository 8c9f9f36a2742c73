package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"calotype/internal/blob"
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

// An OriginalReader reads the stored bytes of one original, from any position. It is not
// safe for concurrent use. After a seek the next Read sends a new request to a remote store.
type OriginalReader struct {
	open    func(from int64) (io.ReadCloser, error)
	content io.ReadCloser // whose next byte is at opened; nil if closed
	opened  int64
	at      int64 // the position of the next Read
	size    int64
}

// Read implements io.Reader; io.ErrUnexpectedEOF if the store has fewer bytes than it should.
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

// firstFew is the number of images that a report names; it counts all of them.
const firstFew = 10

// An originalRow holds the columns of an image about its original.
type originalRow struct {
	account, id string // of the image
	blob        string // key in the blob store
	size        int64  // bytes
	sha256      string // hex
}

// String names the image for an operator.
func (o originalRow) String() string {
	return fmt.Sprintf("image %q of account %s", o.id, o.account)
}

// originalsAfter returns the originals whose keys come after one, in the database's order of keys.
// Columns of the first schema are enough.
func (s *Service) originalsAfter(ctx context.Context, after string) ([]originalRow, error) {
	rows, err := s.db.Query(ctx, `SELECT account, id, blob, size, sha256 FROM images
		WHERE blob > ?1 ORDER BY blob LIMIT ?2`, after, originalsPage)
	if err != nil {
		return nil, fmt.Errorf("reading originals: %w", err)
	}
	return sqldb.Collect(rows, func(r sqldb.Row) (o originalRow, err error) {
		err = r.Scan(&o.account, &o.id, &o.blob, &o.size, &o.sha256)
		return o, err
	})
}

// eachOriginal calls fn with each original in turn. fn may delete its row.
func (s *Service) eachOriginal(ctx context.Context, fn func(originalRow) error) error {
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
		after = page[len(page)-1].blob
	}
}

// errDamaged says that bytes differ from the size or SHA-256 in a row or a manifest.
var errDamaged = errors.New("damaged")

// A checkedReader reads bytes of a known size and SHA-256, and returns errDamaged at the end of other
// bytes. So a copy through it is complete and correct, or fails.
type checkedReader struct {
	r    io.Reader
	size int64
	want string // SHA-256, hex
	sum  hash.Hash
	read int64
}

func newCheckedReader(r io.Reader, size int64, sha256Hex string) *checkedReader {
	return &checkedReader{r: r, size: size, want: sha256Hex, sum: sha256.New()}
}

func (c *checkedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.read += int64(n)
	switch {
	case err != nil && err != io.EOF:
		return n, fmt.Errorf("%w: %w", errDamaged, err)
	case c.read > c.size, err == io.EOF && c.read < c.size:
		return n, fmt.Errorf("%w: it does not have its %d bytes", errDamaged, c.size)
	case err == io.EOF && hex.EncodeToString(c.sum.Sum(nil)) != c.want:
		return n, fmt.Errorf("%w: its SHA-256 is %x, not %s", errDamaged, c.sum.Sum(nil), c.want)
	}
	return n, err
}

// openChecked opens an original for comparison with its row. Errors: blob.ErrNotExist, errDamaged.
func openChecked(
	ctx context.Context, from blob.Store, o originalRow,
) (*checkedReader, io.Closer, error) {
	// Stat first, because Open of a special file could block.
	_, err := from.Stat(ctx, o.blob)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, nil, err
	}
	var r io.ReadCloser
	if err == nil {
		r, err = from.Open(ctx, o.blob, 0)
	}
	switch {
	case ctx.Err() != nil:
		return nil, nil, errors.Join(ctx.Err(), err)
	case errors.Is(err, blob.ErrNotExist):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return newCheckedReader(r, o.size, o.sha256), r, nil
}

// copyOriginal copies an original and compares it with its row. Errors: blob.ErrNotExist or errDamaged if the
// source is missing or damaged; then nothing is copied.
func copyOriginal(ctx context.Context, from blob.Store, to *blob.Dir, o originalRow) error {
	r, closer, err := openChecked(ctx, from, o)
	if err != nil {
		return err
	}
	return errors.Join(to.Copy(ctx, o.blob, r, o.size), closer.Close())
}

// verifyOriginal reports whether an original matches its row.
func verifyOriginal(ctx context.Context, store blob.Store, o originalRow) (bool, error) {
	r, closer, err := openChecked(ctx, store, o)
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		err = errors.Join(err, closer.Close())
	}
	if errors.Is(err, blob.ErrNotExist) || errors.Is(err, errDamaged) {
		return false, nil
	}
	return err == nil, err
}

// damages collects missing and damaged originals: it counts all, and names the first few.
type damages struct {
	count int
	first []string
}

func (d *damages) add(o originalRow, err error) {
	if d.count++; len(d.first) < firstFew {
		d.first = append(d.first, fmt.Sprintf("%v: %v", o, err))
	}
}

// String lists them, a line each.
func (d *damages) String() string {
	text := strings.Join(d.first, "\n")
	if more := d.count - len(d.first); more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}
