package images

import (
	"context"
	"errors"
	"io"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/limit"
)

// An SVG has no pixels before a browser draws it: no worker sees it. It is stored as it came, and its only rendition
// is its sanitised form, whatever the options and the format of the request.

// IsVector reports whether the original is an SVG.
func (o *Original) IsVector() bool { return o.Header.Format == imagefile.SVG }

// examineSVG checks the whole SVG, and returns the Original, which has no thumbhash.
func (b *Body) examineSVG(ctx context.Context, c content, header imagefile.Header) (*Original, error) {
	if err := b.s.SanitiseSVG(ctx, b.account, io.Discard, c.file, c.size); err != nil {
		return nil, RenderError("examining an upload", err)
	}
	return &Original{Header: header, Width: header.Width, Height: header.Height, Alpha: true, Size: c.size,
		SHA256: c.sha256}, nil
}

// SanitiseSVG writes a sanitised SVG to out. Few run at once, because each may need some 100 MiB of memory for an
// instant. Errors: those of imagefile.SanitiseSVG; Busy, Aborted.
func (s *Service) SanitiseSVG(ctx context.Context, account string, out io.Writer, in io.ReaderAt, size int64) error {
	lease, err := s.shares.vectors.Acquire(ctx, limit.Request{Keys: []string{account}, N: 1})
	switch {
	case errors.Is(err, limit.ErrFull), errors.Is(err, limit.ErrTimeout):
		return errs.AtCapacity("The server is busy with other pictures", err)
	case err != nil:
		return errs.ClientAborted(err)
	}
	defer lease.Release()
	return imagefile.SanitiseSVG(out, in, size)
}
