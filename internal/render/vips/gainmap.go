package vips

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// gainMap puts the part of the original's gain map that the rendition shows behind the finished rendition. A map that
// cannot be decoded is left out: the picture is complete without it.
func (r *rendering) gainMap() error {
	m := r.job.GainMap
	if m == nil || !r.plan.Filled() {
		return nil
	}
	r.ready = true
	r.im.close() // its pixels are in the rendition
	im, err := r.renderGainMap(m)
	if errors.Is(err, errNoGainMap) {
		return nil
	}
	if err != nil {
		return err
	}
	defer im.close()
	size, err := r.out.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("%w: finding the end of the output: %w", render.ErrEncode, err)
	}
	target := C.shim_target(C.int(r.out.Fd()))
	if target == nil {
		return fmt.Errorf("%w: %w", render.ErrEncode, takeError())
	}
	defer C.shim_unref(unsafe.Pointer(target))
	// Only the profile of OwnColours is left in the fields of the image.
	if C.shim_save_jpeg(im.c, target, C.int(r.quality(jpegQuality)), 0, 1, flag(!m.Gain.OwnColours)) != 0 {
		return takeError()
	}
	return r.rewrite(func(made []byte) ([]byte, error) {
		return imagefile.JoinGainMap(made[:size], made[size:], m.Gain)
	})
}

// errNoGainMap: the gain map cannot be decoded, or lacks what its gains refer to.
var errNoGainMap = errors.New("no usable gain map")

// renderGainMap returns the visible part of a gain map, scaled and turned.
func (r *rendering) renderGainMap(m *imagefile.GainMap) (*vipsImage, error) {
	plan := r.plan.GainMap(m.Header.Width, m.Header.Height, r.job.Header, r.orientation)
	shrunk := plan.Shrink()
	stored, err := r.loadGainMap(m, shrunk)
	if err != nil {
		return nil, err
	}
	defer stored.close()
	bands := stored.bands()
	whole := newPixels(stored.width() * stored.height() * bands)
	defer whole.free()
	if err := stored.writeTo(whole, 0); err != nil {
		return nil, notDecoded(err)
	}
	scaled := newPixels(plan.ScaleW * plan.ScaleH * bands)
	r.joined.free()
	r.joined = scaled // the image reads it later
	s := float64(shrunk)
	from := grid{bytesOf(whole), stored.width(), stored.height(), bands}
	from.scale(grid{bytesOf(scaled), plan.ScaleW, plan.ScaleH, bands}, plan.X/s, plan.Y/s, plan.W/s, plan.H/s)
	im, err := scaled.image(plan.ScaleW, plan.ScaleH, bands)
	if err == nil && m.Gain.OwnColours {
		if err = im.own(); err == nil {
			im.copyField(stored, iccField)
		}
	}
	if err == nil {
		turned := &rendering{im: im, orientation: r.orientation}
		err = turned.turn()
	}
	if err != nil {
		im.close()
		return nil, err
	}
	return im, nil
}

// maxMapProfile bounds the colour profile of a gain map, in bytes: each rendition has it. That of a matrix has some
// hundred bytes.
const maxMapProfile = 8 << 10

// loadGainMap opens the gain map of the original. The decoder reads a copy of it in memory, strictly.
func (r *rendering) loadGainMap(m *imagefile.GainMap, shrink int) (*vipsImage, error) {
	file := newPixels(int(m.Size))
	defer func() { r.patched.free(); r.patched = file }() // the image reads it later
	if _, err := r.in.ReadAt(bytesOf(file), m.Off); err != nil {
		return nil, fmt.Errorf("reading the gain map: %w", err)
	}
	src, err := openBytes(file)
	if err != nil {
		return nil, err
	}
	defer src.close()
	im, err := src.load(C.KIND_JPEG, loading{shrink: shrink, pages: 1, strict: true})
	if err != nil {
		return nil, notDecoded(err)
	}
	if m.Gain.OwnColours && (!im.has(iccField) || len(im.blob(iccField, maxMapProfile+1)) > maxMapProfile) {
		im.close()
		return nil, errNoGainMap
	}
	bands := im.bands()
	if bands != 1 && bands != 3 || im.format() != C.FORMAT_UCHAR ||
		!near(im.width(), m.Header.Width, shrink) || !near(im.height(), m.Header.Height, shrink) {
		im.close()
		return nil, errNoGainMap
	}
	return im, nil
}

// notDecoded makes a decoder's error errNoGainMap, unless memory was the reason.
func notDecoded(err error) error {
	if errors.Is(err, render.ErrOutOfMemory) {
		return err
	}
	return errNoGainMap
}

// bytesOf returns the bytes of p, which are valid until it is freed.
func bytesOf(p pixels) []byte { return unsafe.Slice((*byte)(p.data), p.size) }
