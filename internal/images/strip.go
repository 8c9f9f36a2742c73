package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
)

// strip replaces the complete bytes of the body by a copy without the metadata that b.privacy removes, and returns
// the names of what is removed, nil if nothing was looked for. Only the copy is examined and stored. After an error
// the bytes are as they came: either they are refused for another reason, or for this one. Errors: Undecodable; Busy
// if the spool is full; NoSpace.
func (b *Body) strip(ctx context.Context) ([]string, error) {
	if b.privacy == "" || b.privacy == imagefile.PrivacyNone || b.size == 0 {
		return nil, nil
	}
	header, err := imagefile.ReadHeader(b.file.OS(), b.size)
	if err == nil {
		err = imagefile.DefaultLimits.Check(header)
	}
	if err != nil {
		return nil, RenderError("removing metadata", err)
	}
	copied, sum := b.s.spool.File(b.size, b.keys...), sha256.New()
	removed, err := b.stripTo(ctx, io.MultiWriter(copied, sum), header)
	if err != nil {
		return nil, errors.Join(notStripped(err), copied.Close())
	}
	before := b.file
	b.file, b.size, b.sum = copied, copied.Written(), sum
	if err := before.Close(); err != nil {
		return nil, fmt.Errorf("closing the spool file of an upload: %w", err)
	}
	return append([]string{}, removed...), nil
}

func (b *Body) stripTo(ctx context.Context, out io.Writer, h imagefile.Header) (removed []string, err error) {
	if h.Format == imagefile.SVG {
		return []string{imagefile.RemovedOther}, b.s.SanitiseSVG(ctx, b.account, out, b.file.OS(), b.size)
	}
	return imagefile.StripOriginal(out, b.file.OS(), b.size, h, b.privacy)
}

// notStripped refuses a picture whose structure does not show where its metadata is.
func notStripped(err error) error {
	if errors.Is(err, imagefile.ErrMalformed) || errors.Is(err, imagefile.ErrUnsupported) {
		return &errs.Error{Kind: errs.Undecodable, Err: fmt.Errorf("removing metadata: %w", err),
			Msg: "The metadata of this picture cannot be removed: its structure is damaged. Save it again as a JPEG " +
				"or PNG"}
	}
	return RenderError("removing metadata", err)
}

// strippedText returns the column stripped.
func (o *Original) strippedText() any {
	if o.Stripped == nil {
		return nil
	}
	return strings.Join(o.Stripped, " ")
}
