package vips

// #include "shim.h"
import "C"

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"unsafe"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// The default qualities, 1 to 100.
const (
	jpegQuality = 85
	webpQuality = 80
)

const (
	// Progressive coding does not help a small JPEG, and costs memory in viewers of a large one.
	progressiveFrom = 100_000 // pixels
	progressiveSide = 3_000   // pixels

	pngLevel     = 6
	pngFastLevel = 1
	webpEffort   = 4
	fastEffort   = 2 // of a WebP that must be made fast: animations, large, lossless and fast ones
	// losslessQuality is the effort to compress a lossless WebP, from 0 to 100.
	losslessQuality = 20
	// A larger WebP is encoded with the effort of an animation: at full effort 50 megapixels would take
	// most of a worker's time limit.
	webpLarge = 8_000_000 // pixels
	gifEffort = 1
)

func (r *rendering) encode() error {
	if _, err := r.out.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("%w: rewinding the output: %w", render.ErrEncode, err)
	}
	if err := r.write(); err != nil {
		return err
	}
	switch {
	case r.job.Format == imagefile.WebP:
		return r.rewrite(func(made []byte) ([]byte, error) {
			// libvips 8.14 puts an EXIF block with the resolution into every WebP.
			var clean bytes.Buffer
			err := imagefile.Strip(&clean, bytes.NewReader(made), int64(len(made)), imagefile.WebP)
			return clean.Bytes(), err
		})
	case r.job.Format == imagefile.AVIF:
		return r.rewrite(stateSRGB)
	case r.credits != nil:
		return r.rewrite(func(made []byte) ([]byte, error) {
			return withEXIF(made, r.credits)
		})
	}
	return nil
}

// write writes the encoded picture to the output, in the quality of the options or in the one that it finds.
func (r *rendering) write() error {
	if r.job.Searches() {
		best, err := r.search()
		defer best.close()
		if err != nil {
			return fmt.Errorf("%w: searching a quality: %w", render.ErrEncode, err)
		}
		r.found, r.job.Options.Quality = best.quality, best.quality
		if best.target != nil {
			if _, err := r.out.Write(best.bytes()); err != nil {
				return fmt.Errorf("%w: writing the output: %w", render.ErrEncode, err)
			}
			return nil
		}
	}
	target := C.shim_target(C.int(r.out.Fd()))
	if target == nil {
		return fmt.Errorf("%w: %w", render.ErrEncode, takeError())
	}
	defer C.shim_unref(unsafe.Pointer(target))
	if r.save(target) != 0 {
		return takeError()
	}
	return nil
}

func (r *rendering) rewrite(change func([]byte) ([]byte, error)) error {
	info, err := r.out.Stat()
	if err != nil {
		return fmt.Errorf("%w: measuring the output: %w", render.ErrEncode, err)
	}
	made := make([]byte, info.Size())
	if _, err := io.ReadFull(io.NewSectionReader(r.out, 0, info.Size()), made); err != nil {
		return fmt.Errorf("%w: reading the output: %w", render.ErrEncode, err)
	}
	changed, err := change(made)
	if err != nil {
		return fmt.Errorf("%w: changing the output: %w", render.ErrEncode, err)
	}
	if _, err := r.out.WriteAt(changed, 0); err != nil {
		return fmt.Errorf("%w: writing the output: %w", render.ErrEncode, err)
	}
	if err := r.out.Truncate(int64(len(changed))); err != nil {
		return fmt.Errorf("%w: cutting the output: %w", render.ErrEncode, err)
	}
	return nil
}

// withEXIF inserts an EXIF segment into a JPEG, after SOI and an optional JFIF segment.
func withEXIF(jpeg, content []byte) ([]byte, error) {
	if len(jpeg) < 6 || string(jpeg[:2]) != "\xff\xd8" {
		return nil, errors.New("the output is not a JPEG")
	}
	at := 2
	if string(jpeg[2:4]) == "\xff\xe0" {
		at += 2 + int(jpeg[4])<<8 + int(jpeg[5])
	}
	if at > len(jpeg) {
		return nil, errors.New("the JFIF segment is cut short")
	}
	length := len(content) + 2
	head := []byte{0xff, 0xe1, byte(length >> 8), byte(length)}
	return slices.Concat(jpeg[:at], head, content, jpeg[at:]), nil
}

func (r *rendering) save(target *C.VipsTarget) C.int {
	pixels, fast := r.im.width()*r.im.height(), r.job.Options.Fast
	switch r.job.Format {
	case imagefile.JPEG:
		return C.shim_save_jpeg(r.im.c, target, C.int(r.quality(jpegQuality)), flag(r.progressive()), flag(!fast),
			flag(r.rule() != render.MetadataKeep))
	case imagefile.PNG:
		level := pngLevel
		if fast {
			level = pngFastLevel
		}
		return C.shim_save_png(r.im.c, target, C.int(level))
	case imagefile.WebP:
		effort := webpEffort
		if r.rows != nil || pixels >= webpLarge || fast {
			effort = fastEffort
		}
		if r.job.Lossless() {
			return C.shim_save_webp(r.im.c, target, losslessQuality, C.int(fastEffort), 1)
		}
		return C.shim_save_webp(r.im.c, target, C.int(r.quality(webpQuality)), C.int(effort), 0)
	case imagefile.AVIF:
		quality := r.quality(jpegQuality)
		return C.shim_save_avif(r.im.c, target, C.int(avifQuality(quality)), avifEffort,
			flag(quality < subsampledBelow))
	default:
		return C.shim_save_gif(r.im.c, target, gifEffort, flag(!r.changed))
	}
}

// progressive reports whether a JPEG is made progressive.
func (r *rendering) progressive() bool {
	w, h, o := r.im.width(), r.im.height(), r.job.Options
	return w*h >= progressiveFrom && max(w, h) <= progressiveSide && o.Format != render.FormatBaseline && !o.Fast
}

// quality returns the quality of the options, else the normal one.
func (r *rendering) quality(normal int) int { return cmp.Or(max(r.job.Options.Quality, 0), normal) }

func flag(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
