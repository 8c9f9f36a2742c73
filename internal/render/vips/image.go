package vips

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"calotype/internal/render"
)

// A vipsImage is one node of a libvips pipeline. Its operations replace it in place.
type vipsImage struct{ c *C.VipsImage }

// become replaces the image by the result of an operation on it.
func (im *vipsImage) become(c *C.VipsImage) error {
	if c == nil {
		return takeError()
	}
	im.close()
	im.c = c
	return nil
}

func (im *vipsImage) close() {
	if im != nil && im.c != nil {
		C.shim_unref(unsafe.Pointer(im.c))
		im.c = nil
	}
}

func (im *vipsImage) width() int          { return int(C.shim_width(im.c)) }
func (im *vipsImage) height() int         { return int(C.shim_height(im.c)) }
func (im *vipsImage) bands() int          { return int(C.shim_count_bands(im.c)) }
func (im *vipsImage) format() C.int       { return C.shim_format(im.c) }
func (im *vipsImage) space() C.int        { return C.shim_space(im.c) }
func (im *vipsImage) alpha() bool         { return C.shim_has_alpha(im.c) != 0 }
func (im *vipsImage) premultiply() error  { return im.become(C.shim_premultiply(im.c)) }
func (im *vipsImage) addAlpha() error     { return im.become(C.shim_add_alpha(im.c)) }
func (im *vipsImage) copyToMemory() error { return im.become(C.shim_copy_memory(im.c)) }

// resize scales to w x h pixels: it makes sides shorter by a Lanczos filter and longer by bicubic interpolation.
func (im *vipsImage) resize(w, h int) error {
	if smallW, smallH := min(w, im.width()), min(h, im.height()); smallW < im.width() || smallH < im.height() {
		x, y := float64(smallW)/float64(im.width()), float64(smallH)/float64(im.height())
		if err := im.become(C.shim_resize(im.c, C.double(x), C.double(y))); err != nil {
			return err
		}
	}
	if w > im.width() || h > im.height() {
		return im.become(C.shim_enlarge(im.c, C.int(w), C.int(h)))
	}
	return nil
}

func (im *vipsImage) rotate(angle C.int) error {
	return im.become(C.shim_rotate(im.c, angle))
}

func (im *vipsImage) flip(d C.int) error {
	return im.become(C.shim_flip(im.c, d))
}

func (im *vipsImage) unpremultiply(f C.int) error {
	return im.become(C.shim_unpremultiply(im.c, f))
}

func (im *vipsImage) toSpace(space C.int) error {
	return im.become(C.shim_colourspace(im.c, space))
}

// iccToSRGB converts by the embedded profile, or by a built-in one of libvips if there is no profile.
func (im *vipsImage) iccToSRGB(fallback string, blackPoint bool) error {
	name := C.CString(fallback)
	defer C.free(unsafe.Pointer(name))
	return im.become(C.shim_icc_to_srgb(im.c, name, flag(blackPoint)))
}

// takeAlpha splits the alpha channel off, in 8 bits; nil if there is no alpha.
func (im *vipsImage) takeAlpha() (*vipsImage, error) {
	if !im.alpha() {
		return nil, nil
	}
	n := C.int(im.bands() - 1)
	alpha := &vipsImage{}
	if err := alpha.become(C.shim_bands(im.c, n, 1)); err != nil {
		return nil, err
	}
	var err error
	if alpha.format() == C.FORMAT_USHORT {
		err = alpha.become(C.shim_high_byte(alpha.c))
	}
	if err == nil {
		err = im.become(C.shim_bands(im.c, 0, n))
	}
	if err != nil {
		alpha.close()
		return nil, err
	}
	return alpha, nil
}

// putAlpha adds the alpha of takeAlpha, and closes it.
func (im *vipsImage) putAlpha(alpha *vipsImage) error {
	if alpha == nil {
		return nil
	}
	defer alpha.close()
	return im.become(C.shim_join_bands(im.c, alpha.c))
}

// mapValues replaces each value by its entry in a table of 256 or 65,536 entries of a format.
func mapValues[T byte | uint16 | float32](im *vipsImage, table []T, f C.int) error {
	return im.become(C.shim_table(im.c, unsafe.Pointer(&table[0]), C.int(len(table)), f))
}

// spread makes three bands of one.
func (im *vipsImage) spread() error {
	two := &vipsImage{}
	if err := two.become(C.shim_join_bands(im.c, im.c)); err != nil {
		return err
	}
	defer two.close()
	return im.become(C.shim_join_bands(two.c, im.c))
}

// tone dims linear light of high dynamic range to what a screen shows.
func (im *vipsImage) tone() error { return im.become(C.shim_tone(im.c)) }

// linearToSRGB converts linear light to 8-bit sRGB, by a matrix from its primaries to those of sRGB.
func (im *vipsImage) linearToSRGB(matrix [9]float64) error {
	return im.become(C.shim_linear_to_srgb(im.c, (*C.double)(&matrix[0])))
}

func (im *vipsImage) crop(x, y, w, h int) error {
	return im.become(C.shim_crop(im.c, C.int(x), C.int(y), C.int(w), C.int(h)))
}

// An inside is the smallest part of an image that has all pixels which differ from a colour, its reference.
type inside struct {
	part      render.Rect // empty if there are no such pixels
	reference [4]float64
	corner    [4]float64 // the pixel of a corner
}

// findInside returns the inside of an 8-bit image, with a tolerance for each value. The reference is a colour, or the
// first pixel on a side if no colour is given. The image is read from the top, a few rows at a time.
func (im *vipsImage) findInside(colour []float64, tolerance int, right, bottom bool) (in inside, err error) {
	if n := copy(in.corner[:], colour); n > 0 && n < im.bands() {
		return in, fmt.Errorf("a colour of %d values for %d bands", n, im.bands())
	}
	var edges [4]C.int // left, top, right, bottom; right and bottom are not inside
	if C.shim_find_inside(im.c, (*C.double)(&in.corner[0]), flag(len(colour) > 0), C.int(tolerance), flag(right),
		flag(bottom), (*C.double)(&in.reference[0]), &edges[0]) != 0 {
		return in, takeError()
	}
	in.part = render.Rect{X: int(edges[0]), Y: int(edges[1]), W: int(edges[2] - edges[0]), H: int(edges[3] - edges[1])}
	return in, nil
}

// embed draws the image at (x, y) on a canvas of w x h pixels of one colour.
func (im *vipsImage) embed(x, y, w, h int, fill []float64) error {
	return im.become(C.shim_embed(im.c, C.int(x), C.int(y), C.int(w), C.int(h),
		(*C.double)(&fill[0]), C.int(len(fill))))
}

func (im *vipsImage) flatten(background []float64) error {
	return im.become(C.shim_flatten(im.c, (*C.double)(&background[0]), C.int(len(background))))
}

// pixels is memory outside Go's heap, to which libvips may keep pointers.
type pixels struct {
	data unsafe.Pointer
	size int
}

func newPixels(size int) pixels {
	return pixels{C.malloc(C.size_t(size)), size}
}

func (p *pixels) free() {
	C.free(p.data)
	p.data, p.size = nil, 0
}

// image returns p as an image of 8-bit pixels. p must outlive the image.
func (p *pixels) image(width, height, bands int) (*vipsImage, error) {
	im := &vipsImage{}
	return im, im.become(C.shim_from_memory(p.data, C.size_t(p.size), C.int(width),
		C.int(height), C.int(bands)))
}

// writeTo computes all pixels of the image into p at an offset.
func (im *vipsImage) writeTo(p pixels, offset int) error {
	size := im.width() * im.height() * im.bands()
	if im.format() != C.FORMAT_UCHAR {
		return errors.New("pixels are not of 8 bits")
	}
	if offset+size > p.size {
		return fmt.Errorf("%d bytes of pixels at %d do not fit into %d", size, offset, p.size)
	}
	if C.shim_write_all(im.c, unsafe.Add(p.data, offset), C.size_t(size)) != 0 {
		return takeError()
	}
	return nil
}

// A source is a file that libvips reads.
type source struct{ c *C.VipsSource }

// openSource returns a source of f from its start, for any offset of f. The caller closes f.
func openSource(f *os.File) (source, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil && !isPipe(f) {
		return source{}, fmt.Errorf("rewinding the input: %w", err)
	}
	c := C.shim_source(C.int(f.Fd()))
	if c == nil {
		return source{}, takeError()
	}
	return source{c}, nil
}

// openBytes reads from memory, which must outlive the source.
func openBytes(p pixels) (source, error) {
	c := C.shim_source_memory(p.data, C.size_t(p.size))
	if c == nil {
		return source{}, takeError()
	}
	return source{c}, nil
}

func isPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

func (s source) close() { C.shim_unref(unsafe.Pointer(s.c)) }

// loading holds the options of opening a file.
type loading struct {
	shrink int     // JPEG: 1, 2, 4 or 8
	scale  float64 // WebP: at most 1
	pages  int     // frames, one below the other
	strict bool    // fail at errors that a decoder could ignore
}

func (s source) load(kind C.Kind, l loading) (*vipsImage, error) {
	im := &vipsImage{}
	return im, im.become(C.shim_load(s.c, kind, C.int(max(1, l.shrink)), C.double(l.scale),
		C.int(l.pages), flag(l.strict)))
}
