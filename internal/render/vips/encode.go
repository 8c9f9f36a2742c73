package vips

// #include "shim.h"
import "C"

import (
	"bytes"
	"fmt"
	"io"
	"unsafe"

	"calotype/internal/render"
)

// The qualities when none is asked for, 1 to 100.
const (
	jpegQuality = 85
	webpQuality = 80
)

const (
	// A small JPEG gains nothing by being progressive, and a large one costs memory where it is
	// shown.
	progressiveFrom = 100_000 // pixels
	progressiveSide = 3_000   // pixels

	pngLevel        = 6
	webpEffort      = 4
	animationEffort = 2 // of WebP
	// From here on a WebP is made with the effort of an animation: at full effort 50 megapixels
	// would take most of a worker's time limit.
	webpLarge = 8_000_000 // pixels
	gifEffort = 1
)

// encode writes the rendition.
func (r *rendering) encode() error {
	if _, err := r.out.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w: rewinding the output: %w", render.ErrEncode, err)
	}
	target := C.shim_target(C.int(r.out.Fd()))
	if target == nil {
		return fmt.Errorf("%w: %w", render.ErrEncode, takeError())
	}
	defer C.shim_unref(unsafe.Pointer(target))
	if r.save(target) != 0 {
		return takeError()
	}
	if r.job.Format == render.WebP {
		return r.stripAgain()
	}
	return nil
}

// stripAgain takes out the EXIF block with the resolution in it that libvips 8.14 puts into every
// WebP, asked or not.
func (r *rendering) stripAgain() error {
	info, err := r.out.Stat()
	if err != nil {
		return fmt.Errorf("%w: measuring the output: %w", render.ErrEncode, err)
	}
	var clean bytes.Buffer
	if err := render.Strip(&clean, r.out, info.Size(), render.WebP); err != nil {
		return fmt.Errorf("%w: stripping the output: %w", render.ErrEncode, err)
	}
	if _, err := r.out.WriteAt(clean.Bytes(), 0); err != nil {
		return fmt.Errorf("%w: writing the output: %w", render.ErrEncode, err)
	}
	if err := r.out.Truncate(int64(clean.Len())); err != nil {
		return fmt.Errorf("%w: cutting the output: %w", render.ErrEncode, err)
	}
	return nil
}

func (r *rendering) save(target *C.VipsTarget) C.int {
	w, h := r.im.width(), r.im.height()
	switch r.job.Format {
	case render.JPEG:
		progressive := w*h >= progressiveFrom && max(w, h) <= progressiveSide
		return C.shim_save_jpeg(r.im.c, target, r.quality(jpegQuality), flag(progressive),
			flag(!r.keepsExif()))
	case render.PNG:
		return C.shim_save_png(r.im.c, target, pngLevel)
	case render.WebP:
		effort := webpEffort
		if r.rows != nil || w*h >= webpLarge {
			effort = animationEffort
		}
		return C.shim_save_webp(r.im.c, target, r.quality(webpQuality), C.int(effort))
	default:
		return C.shim_save_gif(r.im.c, target, gifEffort, 1)
	}
}

func (r *rendering) quality(normal int) C.int {
	if q := r.job.Options.Quality; q > 0 {
		return C.int(q)
	}
	return C.int(normal)
}

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
