package render

import (
	"calotype/internal/imagefile"
	"time"
)

// The CPU time of jobs was measured in a worker (libvips 8.14, photographs and
// drawings, one core of a small virtual machine), in nanoseconds a pixel:
//
//	decoding a JPEG       baseline 2 to 6, and 1.7 for each scan of a progressive one
//	         a PNG        photographs 15 to 35, a single colour 2
//	         a WebP       animated 32 to 45 x frames
//	         a GIF        6 to 31 x frames
//	         HEIC, AVIF   76; 38 to 118
//	encoding a JPEG       45 to 60
//	         a PNG        120
//	         a WebP       75 to 105, animated 20 to 40 x frames
//	         an AVIF      500 to 1,000 (libvips 8.18)
//	a blur or sharpen     14 to 28, with alpha up to 40
//	the other effects     5 to 9, together
//
// The estimates need not be exact: they identify expensive jobs, and determine the length of an account's
// turn. For photographs in the corpus they are wrong by a factor of three at most. For pictures of a single
// colour they are too high.
var (
	decodeTime = map[imagefile.Format]float64{
		imagefile.JPEG: 5, imagefile.PNG: 25, imagefile.WebP: 30, imagefile.GIF: 12,
		imagefile.HEIC: 80, imagefile.AVIF: 75,
	}
	encodeTime = map[imagefile.Format]float64{
		imagefile.JPEG: 50, imagefile.PNG: 120, imagefile.WebP: 90, imagefile.GIF: 60,
		imagefile.AVIF: 800,
	}
)

// The times of effects, in nanoseconds a pixel.
const (
	meansTime  = 25 // a blur or a sharpen
	adjustTime = 7  // all the others together
)

// scanTime is what each scan of a progressive JPEG takes, in nanoseconds a pixel.
const scanTime = 1.7

// examineTime estimates the CPU time of an examination.
func examineTime(h imagefile.Header) time.Duration {
	pixels := float64(max(h.Pixels(), h.MaxPixels))
	each := decodeTime[h.Format]
	if h.Format == imagefile.JPEG && h.Scans > 1 {
		each += scanTime * float64(h.Scans)
	}
	return time.Duration(pixels * each)
}

// renderTime estimates the CPU time of a rendition.
func renderTime(j Job) time.Duration {
	made := float64(j.mostPixels())
	first := j.Header // the first frame, which is decoded once more for each look at it
	first.Frames = 1
	looks := examineTime(first) * time.Duration(j.Options.looks())
	if moves(j) {
		made *= float64(j.Header.Frames)
	} else {
		j.Header.Frames = 1
	}
	each := encodeTime[j.Format] + effectsTime(&j.Options)
	if j.Searches() {
		each += searchTime(j.Format)
	}
	return looks + examineTime(j.Header) + gainMapTime(j.GainMap, int64(made)) + time.Duration(made*each)
}

// looks returns the largest number of times that a picture is decoded before its Plan is known.
func (o Options) looks() (n int) {
	if o.Trim.Border {
		n += 2
	}
	if o.Gravity == GravityAuto {
		n++
	}
	return n
}

// effectsTime estimates the CPU time of the effects, in nanoseconds a pixel.
func effectsTime(o *Options) (each float64) {
	if o.Blur != 0 {
		each += meansTime
	}
	if o.Sharpen != 0 {
		each += meansTime
	}
	if o.Brightness != 0 || o.Contrast != 0 || o.Gamma != 0 || o.Saturation != 0 {
		each += adjustTime
	}
	return each
}
