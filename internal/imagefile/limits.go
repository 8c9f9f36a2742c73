package imagefile

import "fmt"

// Limits bound the accepted pictures. A picture at a limit is accepted.
type Limits struct {
	Side            int   // pixels a side
	Pixels          int64 // Width x Height of a still picture
	HEIFPixels      int64 // the same for HEIC and AVIF, whose decoders need far more memory
	AnimationPixels int64 // canvas x frames
	Frames          int
	ScanPixels      int64 // pixels x scans of a JPEG
	VectorSide      int   // pixels a side that an SVG states; package svg has its other limits
}

// DefaultLimits are the documented limits of the service.
var DefaultLimits = Limits{
	Side: 12_000, Pixels: 100_000_000,
	HEIFPixels:      50_400_000,                // phones make 8192 x 6144 and call it 50 megapixels
	AnimationPixels: 100_000_000, Frames: 4096, // the limit of libvips for a GIF
	// About 2 seconds. A camera's picture has 14 scans at most: 100 megapixels of them pass. A
	// crafted one has hundreds.
	ScanPixels: 2_000_000_000,
	VectorSide: 1_000_000, // it is never drawn here, and browsers scale it
}

// MaxTransformPixels is the largest number of pixels, over all frames, of an animation that is transformed. Strip
// copies a larger one.
const MaxTransformPixels = 50_000_000

// The values of LimitError.What.
const (
	LimitWidth           = "width"
	LimitHeight          = "height"
	LimitPixels          = "pixels"
	LimitHiddenPixels    = "hidden pixels" // of the largest picture in the file, if it is not shown
	LimitFrames          = "frames"
	LimitAnimationPixels = "animation pixels" // canvas x frames
	LimitScans           = "scans"
	LimitMemory          = "memory" // of this server, in MiB
)

// limitSentences have the text of each limit, for the measured and the allowed number.
var limitSentences = map[string]string{
	LimitWidth:        "the picture is %d pixels wide; at most %d are allowed",
	LimitHeight:       "the picture is %d pixels high; at most %d are allowed",
	LimitPixels:       "the picture has %d pixels; at most %d are allowed",
	LimitHiddenPixels: "the file holds a picture of %d pixels; at most %d are allowed",
	LimitFrames:       "the animation has %d frames; at most %d are allowed",
	LimitAnimationPixels: "the animation has %d pixels, all frames together;" +
		" at most %d are allowed",
	LimitMemory: "the picture may need %d MiB of memory, and this server gives one picture %d MiB" +
		" (-memory)",
	LimitEmbeddedPixels: "the SVG holds pictures of %d pixels together; at most %d are allowed",
	LimitScans:          "the picture is refined in %d scans; at most %d are allowed for its size",
}

// A LimitError names the limit that a picture exceeds, with the measured and the allowed number. Its text is a
// sentence for the client.
type LimitError struct {
	What              string // one of the Limit constants
	Measured, Allowed int64
}

func (e *LimitError) Error() string {
	sentence, ok := limitSentences[e.What]
	if !ok {
		return fmt.Sprintf("too many %s: %d; at most %d are allowed", e.What, e.Measured, e.Allowed)
	}
	return fmt.Sprintf(sentence, e.Measured, e.Allowed)
}

// Check returns nil if h is within all limits, a *LimitError for the first limit that it exceeds, and an
// ErrMalformed if a side is zero or there is no frame. All Limits must be set: a zero allows no picture.
func (l Limits) Check(h Header) error {
	if h.Width < 1 || h.Height < 1 || h.Frames < 1 {
		return malformed("the picture is empty")
	}
	if h.Format == SVG {
		return firstOver([]LimitError{
			{LimitWidth, int64(h.Width), int64(l.VectorSide)}, {LimitHeight, int64(h.Height), int64(l.VectorSide)},
		})
	}
	pixels := l.Pixels
	if h.Format == HEIC || h.Format == AVIF {
		pixels = min(pixels, l.HEIFPixels)
	}
	canvas := int64(h.Width) * int64(h.Height)
	checks := []LimitError{
		{LimitWidth, int64(h.Width), int64(l.Side)},
		{LimitHeight, int64(h.Height), int64(l.Side)},
		{LimitPixels, canvas, pixels},
		{LimitHiddenPixels, h.MaxPixels, pixels},
	}
	if h.Scans > 1 {
		checks = append(checks, LimitError{LimitScans, int64(h.Scans), l.ScanPixels / canvas})
	}
	if h.Frames > 1 {
		checks = append(checks,
			LimitError{LimitFrames, int64(h.Frames), int64(l.Frames)},
			LimitError{LimitAnimationPixels, max(canvas, h.MaxPixels) * int64(h.Frames),
				l.AnimationPixels})
	}
	return firstOver(checks)
}

// firstOver returns the first limit that is exceeded, or nil.
func firstOver(checks []LimitError) error {
	for _, c := range checks {
		if c.Measured > c.Allowed {
			return &c
		}
	}
	return nil
}
