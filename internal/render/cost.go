package render

import "time"

// What jobs take of a CPU, measured on one core of 3 GHz (libvips 8.14), in nanoseconds a pixel.
// They need not be right: they tell dear jobs from the others, and how much of its turn a job costs
// an account.
//
//	decoding a JPEG    baseline 4 to 6, and 0.5 to 0.8 for each scan of a progressive one
//	         a PNG     8 to 15
//	         a WebP    12 to 20
//	         a GIF     8 to 12
//	         HEIC      60 to 100
//	         AVIF      40 to 90
//	encoding a JPEG    10 to 20
//	         a PNG     30 to 60
//	         a WebP    70 to 120
//	         a GIF     40 to 80
var (
	decodeTime = map[Format]float64{JPEG: 5, PNG: 12, WebP: 15, GIF: 10, HEIC: 80, AVIF: 70}
	encodeTime = map[Format]float64{JPEG: 15, PNG: 45, WebP: 90, GIF: 60}
)

// scanTime is what each scan of a progressive JPEG takes, in nanoseconds a pixel.
const scanTime = 0.7

// examineTime estimates the CPU time of an examination.
func examineTime(h Header) time.Duration {
	pixels := float64(max(h.Pixels(), h.MaxPixels))
	each := decodeTime[h.Format]
	if h.Format == JPEG && h.Scans > 1 {
		each += scanTime * float64(h.Scans)
	}
	return time.Duration(pixels * each)
}

// renderTime estimates the CPU time of a rendition.
func renderTime(j Job) time.Duration {
	plan := j.Options.Plan(j.Header.Shown())
	made := float64(plan.CanvasW) * float64(plan.CanvasH)
	if moves(j) {
		made *= float64(j.Header.Frames)
	} else {
		j.Header.Frames = 1
	}
	return examineTime(j.Header) + time.Duration(made*encodeTime[j.Format])
}
