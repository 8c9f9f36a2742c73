package vips

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

var kinds = map[imagefile.Format]C.Kind{
	imagefile.JPEG: C.KIND_JPEG, imagefile.PNG: C.KIND_PNG, imagefile.GIF: C.KIND_GIF,
	imagefile.WebP: C.KIND_WEBP, imagefile.AVIF: C.KIND_HEIF,
}

// load opens the file, reduced by the decoder if it supports that.
func (r *rendering) load() error {
	if err := r.prepare(); err != nil {
		return err
	}
	if r.job.Header.Format == imagefile.HEIC {
		im, err := r.loadHEIC()
		if err != nil {
			return err
		}
		r.loaded, r.alpha = im, im.alpha()
		return nil
	}
	return r.loadByVips()
}

// loadByVips opens a file that libvips reads.
func (r *rendering) loadByVips() error {
	f := r.job.Header.Format
	kind, ok := kinds[f]
	if !ok {
		return fmt.Errorf("no loader for %q", f)
	}
	l := loading{strict: r.strict, scale: 1, pages: 1}
	if f == imagefile.JPEG {
		r.shrunk = r.shrink()
		l.shrink = r.shrunk
	}
	if r.wantsFrames() {
		l.pages = r.job.Header.Frames
	}
	im, err := r.source.load(kind, l)
	if err == nil && f == imagefile.WebP && l.pages == 1 && !im.alpha() {
		// libwebp mixes in the colours of transparent pixels, so it does not scale pictures with alpha.
		if r.shrunk = r.shrink(); r.shrunk > 1 {
			l.scale = 1 / float64(r.shrunk)
			im.close()
			im, err = r.source.load(kind, l)
		}
	}
	if err != nil {
		return err
	}
	r.loaded, r.alpha = im, im.alpha()
	if l.pages > 1 {
		return r.openFrames()
	}
	return nil
}

// prepare reads the properties that libvips does not report, and replaces the source by a modified copy of
// the file if libvips would decode it wrongly.
func (r *rendering) prepare() error {
	info, err := r.in.Stat()
	if err != nil {
		return fmt.Errorf("measuring the input: %w", err)
	}
	f := r.job.Header.Format
	if r.described, err = imagefile.ReadColour(r.in, info.Size(), f); err != nil {
		return fmt.Errorf("%w: reading the colours: %w", render.ErrUndecodable, err)
	}
	switch f {
	case imagefile.AVIF, imagefile.HEIC:
		return r.patchHEIF(info.Size())
	case imagefile.GIF:
		return r.patchGIF(info.Size())
	}
	return nil
}

// replace makes libvips read patched bytes instead of the file.
func (r *rendering) replace(file []byte) error {
	r.patched = newPixels(len(file))
	copy(unsafe.Slice((*byte)(r.patched.data), r.patched.size), file)
	src, err := openBytes(r.patched)
	if err != nil {
		return err
	}
	r.source.close()
	r.source = src
	return nil
}

// patchGIF makes libvips read the GIF in a form that it renders as browsers do.
func (r *rendering) patchGIF(size int64) error {
	file, changed, err := imagefile.PlainGIF(r.in, size)
	if err != nil {
		return fmt.Errorf("%w: reading the GIF: %w", render.ErrUndecodable, err)
	}
	if !changed {
		return nil
	}
	return r.replace(file)
}

// wantsFrames reports whether all frames are needed: for an examination, or for an output that moves.
func (r *rendering) wantsFrames() bool {
	if r.job.Header.Frames < 2 {
		return false
	}
	f := r.job.Format
	return r.out == nil || !r.job.Options.Still && (f == imagefile.GIF || f == imagefile.WebP)
}

// target returns the size to scale to, in the orientation of the stored pixels.
func (r *rendering) target() (width, height int) {
	if r.orientation >= 5 {
		return r.plan.ScaleH, r.plan.ScaleW
	}
	return r.plan.ScaleW, r.plan.ScaleH
}

// minShrink is the minimal factor that a decoder leaves to the resize step, which has a better filter.
const minShrink = 2

// shrink returns the factor by which a decoder may shrink: 1, 2, 4 or 8. A part of a picture must begin and end between
// pixels of the shrunk picture.
func (r *rendering) shrink() int {
	w, h := r.target()
	part, whole := r.cutPart(), render.Rect{W: r.job.Header.Width, H: r.job.Header.Height}
	for s := 8; s > 1; s /= 2 {
		if part != whole && (part.X|part.Y|part.W|part.H|whole.W|whole.H)%s != 0 {
			continue
		}
		if part.W/s >= minShrink*w && part.H/s >= minShrink*h {
			return s
		}
	}
	return 1
}

// openFrames prepares for reading an animation frame by frame.
func (r *rendering) openFrames() error {
	height := r.loaded.getInt("page-height", r.loaded.height())
	if height < 1 || height > r.loaded.height() {
		return fmt.Errorf("frames of %d rows in %d", height, r.loaded.height())
	}
	n := min(r.loaded.height()/height, r.job.Header.Frames)
	if r.loaded.format() != C.FORMAT_UCHAR || n < 1 {
		return fmt.Errorf("%d frames of band format %d", n, r.loaded.format())
	}
	r.frames = n
	r.rows = newFrames(r.loaded, height)
	return nil
}

// frames reads a tall image frame by frame, top to bottom, so that one frame at a time is in
// memory.
type frames struct {
	im     *vipsImage
	region *C.VipsRegion
	height int
	buffer pixels
}

func newFrames(im *vipsImage, height int) *frames {
	return &frames{
		im: im, height: height, region: C.shim_region(im.c),
		buffer: newPixels(im.width() * height * im.bands()),
	}
}

// read returns frame i. It is valid until the next read.
func (f *frames) read(i int) (*vipsImage, error) {
	bad := C.shim_read_rows(f.region, C.int(i*f.height), C.int(f.height), f.buffer.data)
	if bad != 0 {
		return nil, takeError()
	}
	im, err := f.buffer.image(f.im.width(), f.height, f.im.bands())
	if err != nil {
		return nil, err
	}
	im.copyField(f.im, iccField)
	return im, nil
}

func (f *frames) close() {
	if f != nil {
		C.shim_unref(unsafe.Pointer(f.region))
		f.buffer.free()
	}
}
