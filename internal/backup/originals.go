package backup

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
	"calotype/internal/images"
)

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
	ctx context.Context, from blob.Store, o images.OriginalRow,
) (*checkedReader, io.Closer, error) {
	// Stat first, because Open of a special file could block.
	_, err := from.Stat(ctx, o.Blob)
	if errors.Is(err, blob.ErrNotExist) {
		return nil, nil, err
	}
	var r io.ReadCloser
	if err == nil {
		r, err = from.Open(ctx, o.Blob, 0)
	}
	switch {
	case ctx.Err() != nil:
		return nil, nil, errors.Join(ctx.Err(), err)
	case errors.Is(err, blob.ErrNotExist):
		return nil, nil, err
	case err != nil:
		return nil, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	return newCheckedReader(r, o.Size, o.SHA256), r, nil
}

// copyOriginal copies an original and compares it with its row. Errors: blob.ErrNotExist or errDamaged if the
// source is missing or damaged; then nothing is copied.
func copyOriginal(ctx context.Context, from blob.Store, to *blob.Dir, o images.OriginalRow) error {
	r, closer, err := openChecked(ctx, from, o)
	if err != nil {
		return err
	}
	return errors.Join(to.Copy(ctx, o.Blob, r, o.Size), closer.Close())
}

// verifyOriginal reports whether an original matches its row.
func verifyOriginal(ctx context.Context, store blob.Store, o images.OriginalRow) (bool, error) {
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

// firstFew is the number of images that damages names; it counts all of them.
const firstFew = 10

// damages collects missing and damaged originals: it counts all, and names the first few.
type damages struct {
	count int
	first []string
}

func (d *damages) add(o images.OriginalRow, err error) {
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
