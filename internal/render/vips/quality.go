package vips

// #cgo LDFLAGS: -lm
// #include "score.h"
// #include "shim.h"
import "C"

import (
	"cmp"
	"math"
	"os"
	"unsafe"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// The search of quality=auto. The errors of encoded pictures, 100 less their score, fall by nearly the same factor with
// each step of the quality, so two scores give a third quality. docs/decisions/0046-quality-by-target.md has the
// figures.

const (
	// targetScore is the score that a rendition reaches.
	targetScore = 98.9
	// nearScore ends a search: a score between it and the target.
	nearScore = 99.05
	// Below minQuality flat areas show blocks, which the score counts little. Above maxQuality files grow faster than
	// their score.
	minQuality, maxQuality = 45, 95
)

// A finder finds the quality of a picture.
type finder struct {
	usual int     // the quality that is tried first: that of photographs at targetScore
	slope float64 // the change of the error's logarithm with a step of the quality
	again bool    // the rendition is another encoding after those that are scored
}

var curves = map[imagefile.Format]finder{
	imagefile.JPEG: {usual: 69, slope: -0.033}, imagefile.WebP: {usual: 79, slope: -0.042},
	imagefile.AVIF: {usual: 75, slope: -0.028},
}

// An attempt is an encoding in memory.
type attempt struct {
	quality int
	target  *C.VipsTarget // nil if the file is not the rendition
}

func (a attempt) close() {
	if a.target != nil {
		C.shim_unref(unsafe.Pointer(a.target))
	}
}

// bytes returns the encoded file. It is valid until close.
func (a attempt) bytes() []byte {
	var size C.size_t
	data := C.shim_target_bytes(a.target, &size)
	return unsafe.Slice((*byte)(data), int(size))
}

// search finds the quality of the picture, by at most render.MaxEncodes encodings. The caller closes the attempt, which
// has the encoded file, except a JPEG.
func (r *rendering) search() (best attempt, err error) {
	score := C.score_new(r.im.c)
	if score == nil {
		return best, takeError()
	}
	defer C.score_free(score)
	find := curves[r.job.Format]
	find.usual = cmp.Or(r.job.FirstQuality, find.usual)
	// The JPEG itself, which may be progressive, is an encoding after those that are scored.
	find.again = r.job.Format == imagefile.JPEG
	var made []attempt
	quality, err := find.quality(func(quality int) (float64, error) {
		a, s, err := r.try(score, quality)
		made = append(made, a)
		return s, err
	})
	best.quality = quality
	for _, a := range made {
		if err == nil && a.quality == quality {
			best = a
		} else {
			a.close()
		}
	}
	return best, err
}

// try encodes the picture in a quality, and returns its score. The caller closes the attempt, also after an error.
func (r *rendering) try(score *C.Score, quality int) (a attempt, s float64, err error) {
	a = attempt{quality: quality, target: C.shim_target_memory()}
	if a.target == nil {
		return a, 0, takeError()
	}
	r.job.Options.Quality = quality
	jpeg := r.job.Format == imagefile.JPEG
	if jpeg && C.shim_save_jpeg(r.im.c, a.target, C.int(quality), 0, 0, 1) != 0 || !jpeg && r.save(a.target) != 0 {
		return a, 0, takeError()
	}
	var size C.size_t
	data := C.shim_target_bytes(a.target, &size)
	src := source{C.shim_source_memory(unsafe.Pointer(data), size)}
	if src.c == nil {
		return a, 0, takeError()
	}
	defer src.close()
	im, err := src.load(kinds[r.job.Format], loading{scale: 1, pages: 1})
	if err != nil {
		return a, 0, err
	}
	defer im.close()
	if s = float64(C.score_of(score, im.c)); s < 0 {
		return a, 0, takeError()
	}
	if jpeg { // one scan and usual tables take less time, and have the same pixels
		a.close()
		a.target = nil
	}
	return a, s, nil
}

// quality returns the lowest quality that it finds to reach targetScore, within render.MaxEncodes encodings. score
// encodes in a quality and returns the score. If no tried quality reaches the target, it returns one that does so by
// the scores, or the highest tried one if there is no encoding left.
func (f finder) quality(score func(quality int) (float64, error)) (int, error) {
	var good, bad point // the nearest ones to the target; quality 0 for none
	next, tries := min(max(f.usual, minQuality), maxQuality), render.MaxEncodes
	if f.again {
		tries--
	}
	for ; ; tries-- {
		s, err := score(next)
		if err != nil {
			return 0, err
		}
		p, before := point{next, math.Log(max(100-s, 1e-3))}, bad
		if s >= targetScore {
			good = p
		} else {
			bad = p
		}
		next = between(good, bad, f.slope)
		end := tries == 1 || next == p.quality || next == good.quality || s >= targetScore && s < nearScore
		switch {
		case end && good.quality != 0:
			return good.quality, nil
		case end && f.again:
			return beyond(before, bad, f.slope), nil
		case end:
			return bad.quality, nil
		}
	}
}

// A point is a quality and the logarithm of its error.
type point struct {
	quality int
	error   float64
}

// between returns the quality that should reach the target: from good, which does, and bad, which does not, or from one
// of them and the slope.
func between(good, bad point, slope float64) int {
	// A part of the way from the target to a score that is near enough.
	const part = 0.25
	target := math.Log(100 - targetScore - part*(nearScore-targetScore))
	from := good
	switch {
	case good.quality != 0 && bad.quality != 0:
		slope = (good.error - bad.error) / float64(good.quality-bad.quality)
	case good.quality == 0:
		from = bad
	}
	quality := from.quality + int(math.Ceil((target-from.error)/min(slope, -0.005)))
	if good.quality != 0 {
		quality = min(max(quality, bad.quality+1), good.quality)
	} else {
		quality = max(quality, bad.quality+1)
	}
	return min(max(quality, minQuality), maxQuality)
}

// beyond returns a quality that is not scored and should reach the target, from two that do not: above what the errors
// say, and with colours of the full resolution if that is high, because the resolution may be the reason of the errors.
func beyond(first, second point, slope float64) int {
	const (
		margin = 2
		high   = 84
	)
	if first.quality != 0 && first.quality != second.quality {
		slope = max(slope, (second.error-first.error)/float64(second.quality-first.quality))
	}
	quality := between(point{}, second, slope) + margin
	if quality >= high {
		quality = min(max((quality+maxQuality+1)/2, subsampledBelow), maxQuality)
	}
	return quality
}

// Score returns the score of an encoded picture, as a search computes it: 100 if it has the pixels of a lossless one of
// the same size, less if it differs. Both are renditions. A measurement calls it; New has started libvips.
func Score(lossless, encoded *os.File, from, to imagefile.Header) (float64, error) {
	a, err := openRendition(lossless, from.Format)
	if err != nil {
		return 0, err
	}
	defer a.close()
	b, err := openRendition(encoded, to.Format)
	if err != nil {
		return 0, err
	}
	defer b.close()
	score := C.score_new(a.c)
	if score == nil {
		return 0, takeError()
	}
	defer C.score_free(score)
	s := float64(C.score_of(score, b.c))
	if s < 0 {
		return 0, takeError()
	}
	return s, nil
}

// openRendition opens the pixels of a still rendition.
func openRendition(f *os.File, format imagefile.Format) (*vipsImage, error) {
	src, err := openSource(f)
	if err != nil {
		return nil, err
	}
	defer src.close()
	return src.load(kinds[format], loading{scale: 1, pages: 1})
}
