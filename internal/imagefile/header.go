// Package imagefile reads and rewrites picture files in Go without decoding a pixel.
//
// ReadHeader returns the header of a file, ReadColour its colour space. Limits.Check refuses a
// header. Strip copies an animation without its metadata. PlainGIF and WholePNG prepare files that a
// decoder would misread. Each reads a file of any size through a buffer of 4 KiB, and fuzz tests run
// over each parser. SanitiseSVG rewrites an SVG, which is text, with what is harmless in a browser.
package imagefile

import (
	"errors"
	"fmt"
	"io"
)

// A Header holds the properties of a picture file that are known before a pixel is decoded.
type Header struct {
	Format Format
	// Width and Height are the stored size in pixels: of the canvas for GIF and WebP, after irot,
	// imir and clap for HEIC and AVIF, before EXIF orientation for the rest. The canvas of a GIF
	// includes frames that extend beyond it. An SVG is drawn in any size; this is the one that it states.
	Width, Height int
	// Orientation is the EXIF orientation, 1 to 8; 1 if it is absent or not valid.
	// Always 1 for HEIC and AVIF, because decoders apply the rotation of their container.
	Orientation int
	// Frames is 1 for a still picture. An animated PNG counts as a still.
	Frames int
	// MaxPixels is the size of the largest picture in the file, at least Width x Height. It is
	// more than that in HEIC and AVIF files whose tiles, thumbnails, alpha planes or other items
	// are larger than the shown picture, or if clap crops a large picture to a small one.
	MaxPixels int64
	// Scans is the number of passes of a JPEG decoder over the pixels: 1 unless the picture is coded in
	// several scans or is progressive. 0 for all other formats.
	Scans int
}

// ErrUnsupported: the bytes have no listed format.
var ErrUnsupported = errors.New("imagefile: not a supported picture format")

// ErrMalformed: a file begins like a listed format, but its structure is broken.
var ErrMalformed = errors.New("imagefile: malformed picture")

// errCutShort is the most frequent error.
var errCutShort = malformed("the file is cut short")

func isMalformed(err error) bool { return errors.Is(err, ErrMalformed) }

// malformed returns an ErrMalformed with a reason. Reasons are shown to clients: they hold
// figures and fixed words, never text from the file.
func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}

// Shown returns the size after orientation, in pixels.
func (h Header) Shown() (width, height int) {
	if h.Orientation >= 5 {
		return h.Height, h.Width
	}
	return h.Width, h.Height
}

// Pixels returns the pixels of all frames together.
func (h Header) Pixels() int64 { return int64(h.Width) * int64(h.Height) * int64(h.Frames) }

// ReadHeader reads the header of the picture in the first size bytes of r. The content alone determines the
// format.
//
// It refuses only files that are certainly invalid; a decoder finds whether the pixels can be decoded.
// It inflates and decodes nothing, and reads through one small buffer, in time linear in size at worst. Of an SVG it
// reads the first 64 KiB; SanitiseSVG finds whether the rest is valid.
// The error wraps ErrUnsupported or ErrMalformed with a reason that may be shown to the client, unless
// r itself failed.
func ReadHeader(r io.ReaderAt, size int64) (Header, error) { return headerOf(newWindow(r, size)) }

func headerOf(w *window) (Header, error) {
	head, err := w.at(0, int(min(SniffBytes, max(w.size, 0))))
	if err != nil {
		return Header{}, err
	}
	read := headerReader(head)
	if read == nil {
		return Header{}, fmt.Errorf("%w: the file is not a JPEG, PNG, GIF, WebP, AVIF, HEIC or SVG",
			ErrUnsupported)
	}
	h, err := read(w)
	if err != nil {
		return Header{}, err
	}
	if h.Width < 1 || h.Height < 1 {
		return Header{}, malformed("a side of the picture is zero")
	}
	h.MaxPixels = max(h.MaxPixels, int64(h.Width)*int64(h.Height))
	return h, nil
}
