package vips

// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"

	"calotype/internal/render"
)

var kinds = map[render.Format]C.Kind{
	render.JPEG: C.KIND_JPEG, render.PNG: C.KIND_PNG, render.GIF: C.KIND_GIF,
	render.WebP: C.KIND_WEBP, render.AVIF: C.KIND_HEIF, render.HEIC: C.KIND_HEIF,
}

// load opens the file, already small where the decoder can.
func (r *rendering) load() error {
	kind, ok := kinds[r.job.Header.Format]
	if !ok {
		return fmt.Errorf("no loader for %q", r.job.Header.Format)
	}
	l := loading{strict: r.strict, scale: 1, all: r.wantsFrames()}
	shrink := r.shrink()
	if r.job.Header.Format == render.JPEG {
		l.shrink = shrink
	}
	if r.job.Header.Format == render.WebP && !l.all {
		l.scale = 1 / float64(shrink)
	}
	if kind == C.KIND_HEIF {
		if err := r.reorder(); err != nil {
			return err
		}
	}
	im, err := r.source.load(kind, l)
	if err != nil {
		return err
	}
	r.loaded, r.alpha = im, im.alpha()
	if l.all {
		return r.openFrames()
	}
	return nil
}

// wantsFrames tells whether all frames are needed: for an examination, or for an output that moves.
func (r *rendering) wantsFrames() bool {
	if r.job.Header.Frames < 2 {
		return false
	}
	f := r.job.Format
	return r.out == nil || !r.job.Options.Still && (f == render.GIF || f == render.WebP)
}

// target is the size to scale to, in the orientation in which the pixels are stored.
func (r *rendering) target() (width, height int) {
	if r.job.Header.Orientation >= 5 {
		return r.plan.ScaleH, r.plan.ScaleW
	}
	return r.plan.ScaleW, r.plan.ScaleH
}

// shrink is by how much a decoder may shrink, so that there is still something left to scale down:
// 1, 2, 4 or 8.
func (r *rendering) shrink() int {
	w, h := r.target()
	for s := 8; s > 1; s /= 2 {
		if r.job.Header.Width/s >= w && r.job.Header.Height/s >= h {
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
	if r.loaded.format() != C.VIPS_FORMAT_UCHAR || n < 1 {
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
		im: im, height: height, region: C.vips_region_new(im.c),
		buffer: newPixels(im.width() * height * im.bands()),
	}
}

// read returns frame i. It is good until the next read.
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

// canvas brings a frame to the size that the header promises. libvips sizes a GIF by the extent of
// its frames instead of its canvas.
func (r *rendering) canvas() error {
	h, w, hh := r.job.Header, r.im.width(), r.im.height()
	if w == h.Width && hh == h.Height {
		return nil
	}
	switch h.Format {
	case render.GIF:
		r.alpha = true
		if !r.im.alpha() {
			if err := r.im.addAlpha(); err != nil {
				return err
			}
		}
		return r.im.embed(0, 0, h.Width, h.Height, make([]float64, r.im.bands()))
	case render.JPEG, render.WebP:
		// Shrunk by the decoder, which may round either way.
		s := r.shrink()
		if s > 1 && near(w, h.Width, s) && near(hh, h.Height, s) {
			return nil
		}
	}
	return fmt.Errorf("%w: the decoder found %dx%d pixels where the header says %dx%d",
		render.ErrUndecodable, w, hh, h.Width, h.Height)
}

func near(got, full, shrink int) bool {
	return got >= full/shrink && got <= (full+shrink-1)/shrink
}
