package imagefile

import (
	"errors"
	"fmt"
	"io"

	"calotype/internal/svg"
)

// SanitiserVersion is the version of the rules of SanitiseSVG.
const SanitiserVersion = svg.Version

// LimitEmbeddedPixels is the LimitError.What of the pictures that are embedded in an SVG, all together.
const LimitEmbeddedPixels = "embedded pixels"

// readSVG reads the size of an SVG from its root element.
func readSVG(w *window) (Header, error) {
	head := make([]byte, min(w.size, svg.HeadBytes))
	if _, err := w.r.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return Header{}, fmt.Errorf("reading the picture: %w", err)
	}
	width, height, err := svg.Head(head)
	if err != nil {
		return Header{}, svgError(err)
	}
	return Header{Format: SVG, Width: width, Height: height, Orientation: 1, Frames: 1}, nil
}

// SanitiseSVG writes the SVG in the first size bytes of r to out with only the parts that are harmless in a browser:
// see svg.Sanitise. Embedded pictures lose their metadata. The error wraps ErrUnsupported or ErrMalformed with an
// *svg.Error, or is a *LimitError; then the output is incomplete.
func SanitiseSVG(out io.Writer, r io.ReaderAt, size int64) error {
	var pixels int64
	check := func(picture []byte) (mime string, clean []byte, ok bool, err error) {
		h, clean, ok, err := embedded(picture)
		if err != nil || !ok {
			return "", nil, false, err
		}
		if pixels += h.Pixels(); pixels > DefaultLimits.Pixels {
			return "", nil, false, &LimitError{LimitEmbeddedPixels, pixels, DefaultLimits.Pixels}
		}
		return h.Format.MIME(), clean, true, nil
	}
	return svgError(svg.Sanitise(out, io.NewSectionReader(r, 0, size), size, check))
}

// svgError converts an error of package svg.
func svgError(err error) error {
	broken, limit := new(svg.Error), new(svg.LimitError)
	switch {
	case errors.Is(err, svg.ErrNotSVG):
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.As(err, &broken) && broken.Unsupported:
		return fmt.Errorf("%w: %w", ErrUnsupported, err)
	case errors.As(err, &broken):
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	case errors.As(err, &limit):
		return &LimitError{limit.What, limit.Allowed + 1, limit.Allowed}
	}
	return err
}
