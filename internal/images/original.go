package images

import (
	"cmp"
	"context"
	"fmt"

	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// An Original describes the stored bytes: those that were uploaded, or a copy without metadata.
type Original struct {
	Blob          string // key in the blob store
	Header        imagefile.Header
	Width, Height int // pixels, as shown
	Alpha         bool
	Size          int64  // bytes
	SHA256        string // hex
	Thumbhash     string // base64
	Phash         string // package phash; "" for none
	// Stripped are the names of what was removed before the bytes were stored; nil if nothing was looked for.
	Stripped []string
	received string // SHA-256 of the bytes as they came, hex; "" if these are stored
}

// ReceivedSHA256 returns the SHA-256 of the bytes as they came, in hex.
func (o *Original) ReceivedSHA256() string { return cmp.Or(o.received, o.SHA256) }

// RenditionPrefix is the prefix of the keys of all renditions of an original, by its key in the blob store.
func RenditionPrefix(original string) string { return text.Hash(original)[:32] + "-" }

// Animated reports whether the original is an animation.
func (o *Original) Animated() bool { return o.Header.Frames > 1 }

// OpenOriginal opens an image's stored bytes, which the caller closes. Error: ImageNotFound for a draft.
func (s *Service) OpenOriginal(
	ctx context.Context, account, id string,
) (Image, *blob.Reader, error) {
	img, err := s.Image(ctx, account, id)
	if err != nil {
		return img, nil, err
	}
	if img.Draft {
		return img, nil, errs.Errorf(errs.ImageNotFound, "Image not found: it is a draft, not uploaded yet")
	}
	r, err := blob.OpenReader(ctx, s.blobs, img.Original.Blob, img.Original.Size)
	if err != nil {
		return img, nil, fmt.Errorf("opening the original of image %s: %w", img.Key, err)
	}
	return img, r, nil
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
