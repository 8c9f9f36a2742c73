package imagefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// Strip copies the GIF or WebP in the first size bytes of r to out without its metadata; its pixels are unchanged.
// It is for animations that are too large to transform, because no original is delivered unchanged.
//
// The copy has only the parts that show the picture: the header, colour tables and profile, timing, loop count and
// frames. Comments, text, EXIF, XMP, unknown parts and bytes after the end are left out. An EXIF orientation other
// than 1 is copied, as the only entry of a new EXIF block. ReadHeader returns the same for the copy, and a copy of
// the copy is equal to the copy.
//
// r is read twice, in small pieces. An error wraps ErrMalformed if the structure is invalid, and ErrUnsupported if
// the format is not f; then the output is incomplete.
func Strip(out io.Writer, r io.ReaderAt, size int64, f Format) error {
	if f != GIF && f != WebP {
		return fmt.Errorf("%w: only GIF and WebP can be rewritten", ErrUnsupported)
	}
	h, err := ReadHeader(r, size)
	if err != nil {
		return err
	}
	if h.Format != f {
		return fmt.Errorf("%w: the file is not of the format that it was taken for", ErrUnsupported)
	}
	c := newCopier(out, newWindow(r, size), h)
	if f == GIF {
		err = stripGIF(c)
	} else {
		err = stripWebP(c)
	}
	return c.flush(err)
}

// A copier writes pieces of a file, and new pieces, in sequence. After an error it writes no bytes; the caller
// checks err at the end.
type copier struct {
	w       *window
	out     *bufio.Writer
	exif    []byte                // the EXIF block of the copy, without exifPrefix; nil for none
	added   func(at int64) []byte // further segments of the copy of a JPEG, from an offset on; nil for none
	written []byte                // what added has returned
	removed *removals             // nil if it is of no interest
	dry     bool                  // count only
	count   int64                 // bytes written so far
	err     error
}

// newCopier returns a copier whose EXIF block has only the orientation of h.
func newCopier(out io.Writer, w *window, h Header) *copier {
	c := &copier{w: w, out: bufio.NewWriter(out)}
	if h.Orientation != 1 {
		c.exif = orientationTIFF(h.Orientation)
	}
	return c
}

// flush ends the copy. err is the error of copying, or nil.
func (c *copier) flush(err error) error {
	if err = errors.Join(err, c.err); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return fmt.Errorf("writing the stripped picture: %w", err)
	}
	return nil
}

// put writes b.
func (c *copier) put(b ...byte) {
	c.count += int64(len(b))
	if c.dry || c.err != nil {
		return
	}
	if _, err := c.out.Write(b); err != nil {
		c.err = fmt.Errorf("writing the stripped picture: %w", err)
	}
}

// copy writes the bytes of the file at [off, end).
func (c *copier) copy(off, end int64) {
	if c.dry {
		c.count += max(0, end-off)
		return
	}
	for off < end && c.err == nil {
		n := min(end-off, windowBytes)
		b, err := c.w.at(off, int(n))
		if err != nil {
			c.err = err
			return
		}
		c.put(b...)
		off += n
	}
}
