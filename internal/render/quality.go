package render

import (
	"fmt"
	"math/bits"
	"strconv"

	"calotype/internal/imagefile"
	"calotype/internal/text"
)

// This file has what the server knows of quality=auto. A worker searches the quality: package vips.
// docs/decisions/0046-quality-by-target.md has the measurements.

// AutoQuality is the value of Options.Quality for the option quality=auto: the lowest quality whose rendition looks
// like the pixels that are encoded. A job with it is a search, if Searches reports so; otherwise it is the default of
// the format.
const AutoQuality = -1

// MaxEncodes bounds the encodings of a search.
const MaxEncodes = 3

// MaxSearchPixels bounds the pixels of a rendition whose quality is searched: a search takes the time of several
// encodings.
const MaxSearchPixels = 10_000_000

// Searches reports whether a job finds the quality of its rendition: a still JPEG, WebP or AVIF of a size within
// MaxSearchPixels, whose quality is AutoQuality.
func (j Job) Searches() bool {
	switch j.Format {
	case imagefile.JPEG, imagefile.WebP, imagefile.AVIF:
		return j.Options.Quality == AutoQuality && !moves(j) && j.mostPixels() <= MaxSearchPixels
	}
	return false
}

// QualityClass returns the name of the job's class: a quality that was found for a rendition of an original is used for
// all its renditions in the format and the class. Renditions in a class have the same options, except those that choose
// the size or do not change how well the pixels compress, and their numbers of pixels differ by a factor of 4 at most.
func (j Job) QualityClass() string {
	o := j.Options
	switch o.Fit {
	case ScaleUp, Contain, Squeeze, "":
		o.Fit = DefaultFit
	}
	o.Metadata = DefaultMetadata
	o.Width, o.Height, o.DPR, o.Quality, o.SlowQuality = 0, 0, 0, 0, 0
	o.Format, o.Flip, o.Rotate = "", "", 0
	class := strconv.Itoa((bits.Len64(uint64(j.mostPixels())) - 1) / 2)
	if rest := o.String(); rest != "" {
		const digits = 16
		class += "-" + text.Hash(rest)[:digits]
	}
	return class
}

// scoreTime is the time of a score, in nanoseconds a pixel, besides the decoding of the encoded picture.
const scoreTime = 15

// searchTime estimates the CPU time of a search in addition to a rendition, in nanoseconds a pixel.
func searchTime(f imagefile.Format) float64 {
	return (MaxEncodes-1)*encodeTime[f] + MaxEncodes*(decodeTime[f]+scoreTime)
}

// The memory of a search in addition to a rendition: the planes of the score and the encoded files.
var (
	scoreCost   = memory{5, 5}
	encodedCost = memory{12, 12} // three files of up to 4 bytes a pixel
	// Memory of one encoding by libwebp that is not returned before the next one.
	keptByWebPCost = memory{34, 34}
)

// searchCost estimates the memory of a search in addition to a rendition, in bytes a pixel.
func searchCost(f imagefile.Format) memory {
	cost := decodeCost[f].plus(scoreCost).plus(encodedCost)
	if f == imagefile.WebP {
		cost = cost.plus(keptByWebPCost)
	}
	return cost
}

// checkQuality checks the quality that a worker found.
func checkQuality(found int, j Job) (int, error) {
	if !j.Searches() {
		return 0, nil
	}
	if found < 1 || found > maxQuality {
		return 0, fmt.Errorf("%w: it found the quality %d", ErrWorker, found)
	}
	return found, nil
}
