package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
)

// A content is the bytes of a complete body that are examined and stored: those that came, or a copy without metadata.
type content struct {
	file   *os.File
	size   int64
	sha256 string // hex
}

// content returns the bytes that are examined and stored.
func (b *Body) content() content {
	if b.stripped != nil {
		return *b.stripped
	}
	return content{b.file.OS(), b.size, b.sha256()}
}

// strip makes a copy of the complete bytes without the metadata that b.privacy removes. The copy becomes the content of
// the body. strip returns the names of what is removed, nil if nothing was looked for. After an error the content is as
// it came: either it is refused for another reason, or for this one. Errors: Undecodable; Busy if the spool is full;
// NoSpace.
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
	// The copy counts for the account only, since a ticket may have no more than its file.
	copied, sum := b.s.spool.File(b.size, b.account), sha256.New()
	removed, err := b.stripTo(ctx, io.MultiWriter(copied, sum), header)
	if err != nil {
		return nil, errors.Join(notStripped(err), copied.Close())
	}
	before := b.file
	b.file = copied
	b.stripped = &content{copied.OS(), copied.Written(), hex.EncodeToString(sum.Sum(nil))}
	if b.stripped.sha256 == b.sha256() {
		removed = nil // such as of an SVG that is harmless as it came
	}
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
