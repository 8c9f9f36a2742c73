package vips

// #include "shim.h"
import "C"

import (
	"encoding/binary"
	"unsafe"

	"calotype/internal/imagefile"
)

const (
	// avifEffort is 9 minus the speed of libheif and of aom. docs/decisions/0028-avif.md has the measurements.
	avifEffort = 2
	// subsampledBelow is the quality, on the scale of JPEG, below which colours have half the resolution. The
	// encoder of libvips for JPEG has the same rule.
	subsampledBelow = 90
)

// avifQualities map a quality on the scale of JPEG to that of the AVIF encoder, with the same SSIM of 8 photographs
// at a width of 800 pixels. They are in order, and the qualities between them are interpolated.
var avifQualities = [...]struct{ jpeg, avif int }{
	{1, 10}, {20, 34}, {35, 43}, {50, 47}, {75, 57}, {85, 66}, {90, 75}, {95, 88}, {100, 95},
}

// avifQuality returns the quality for the AVIF encoder, 1 to 100, of one on the scale of JPEG.
func avifQuality(jpeg int) int {
	last := avifQualities[0]
	for _, next := range avifQualities[1:] {
		if jpeg <= next.jpeg {
			span := next.jpeg - last.jpeg
			return last.avif + ((jpeg-last.jpeg)*(next.avif-last.avif)+span/2)/span
		}
		last = next
	}
	return last.avif
}

// tryAVIF encodes a small picture, and returns the reason if that is not possible, else "". libheif opens a plug-in
// then, if its encoder is one, while files can still be opened.
func tryAVIF() (why string) {
	const side, bands = 8, 3
	p := newPixels(side * side * bands)
	defer p.free()
	clear(unsafe.Slice((*byte)(p.data), p.size))
	im, err := p.image(side, side, bands)
	if err != nil {
		return err.Error()
	}
	defer im.close()
	target := C.shim_target_memory()
	if target == nil {
		return takeError().Error()
	}
	defer C.shim_unref(unsafe.Pointer(target))
	if C.shim_save_avif(im.c, target, 50, avifEffort, 1) != 0 {
		return takeError().Error()
	}
	return ""
}

// MissingEncoders returns the output formats that cannot be encoded, with the reasons.
func (e *engine) MissingEncoders() map[imagefile.Format]string { return e.missingEncoders }

// The numbers of ITU-T H.273 for the colours of a rendition.
const (
	unspecified   = 2
	primariesSRGB = 1
	transferSRGB  = 13
)

// stateSRGB makes an AVIF that states colours state those of sRGB: libvips 8.14 writes that they are unspecified, which
// clients take for sRGB too, as they do if nothing is stated. It changes the file in place.
func stateSRGB(file []byte) ([]byte, error) {
	inside := func(kind string, do func(content []byte)) func(string, []byte) {
		return func(k string, content []byte) {
			if k == kind {
				do(content)
			}
		}
	}
	boxes(file, inside("meta", func(meta []byte) {
		const head = 4 // version and flags
		boxes(meta[min(head, len(meta)):], inside("iprp", func(iprp []byte) {
			boxes(iprp, inside("ipco", func(ipco []byte) {
				boxes(ipco, inside("colr", func(colr []byte) {
					stateColour(colr)
				}))
			}))
		}))
	}))
	return file, nil
}

// stateColour changes the content of a colr box: its kind, primaries, transfer function, matrix and range.
func stateColour(colr []byte) {
	const primaries, transfer, end = 4, 6, 11
	if len(colr) < end || string(colr[:primaries]) != "nclx" {
		return
	}
	for _, field := range []struct {
		at    int
		value uint16
	}{{primaries, primariesSRGB}, {transfer, transferSRGB}} {
		if b := colr[field.at:]; binary.BigEndian.Uint16(b) == unspecified {
			binary.BigEndian.PutUint16(b, field.value)
		}
	}
}
