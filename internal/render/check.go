package render

import (
	"calotype/internal/imagefile"
	"calotype/internal/phash"
	"fmt"
	"os"
)

// maxThumbhash is the longest possible thumbhash, in bytes.
const maxThumbhash = 25

// maxSides are the maximal sides of the output formats, in pixels.
var maxSides = map[imagefile.Format]int{
	imagefile.JPEG: 65_535, imagefile.PNG: 65_535, imagefile.GIF: 65_535, imagefile.WebP: 16_383,
	imagefile.AVIF: 16_384, // of libvips
}

// maxPixels are the maximal pixels of a still rendition in a format, if they are below those of others.
var maxPixels = map[imagefile.Format]int64{imagefile.WebP: MaxWebPPixels, imagefile.AVIF: MaxAVIFPixels}

// expected returns the size of a rendition in pixels and its maximal number of frames. The size is zero if the
// Plan does not determine it.
func expected(j Job) (width, height, frames int) {
	frames = 1
	if moves(j) {
		frames = j.Header.Frames
	}
	if j.Options.Trim.Border {
		return 0, 0, frames
	}
	plan := j.Options.Plan(j.Header.Shown())
	return plan.CanvasW, plan.CanvasH, frames
}

// moves reports whether the rendition is an animation.
func moves(j Job) bool {
	return j.Header.Frames > 1 && !j.Options.Still && (j.Format == imagefile.GIF || j.Format == imagefile.WebP)
}

// checkDecoder refuses a format that no worker can decode.
func (p *Pool) checkDecoder(f imagefile.Format) error {
	if why, missing := p.missing[f]; missing {
		return &NoDecoderError{Format: f, Reason: why}
	}
	return nil
}

// checkEncoder refuses an output format that no worker can encode.
func (p *Pool) checkEncoder(f imagefile.Format) error {
	if why, missing := p.missingEncoders[f]; missing {
		return fmt.Errorf("%w: no encoder of %s: %s", ErrEncode, f.MIME(), why)
	}
	return nil
}

// checkJob refuses invalid and forbidden jobs before a worker gets them.
func checkJob(j Job) error {
	side, ok := maxSides[j.Format]
	if !ok {
		return fmt.Errorf("%w: %q is not an output format", ErrEncode, j.Format)
	}
	if j.Format == imagefile.AVIF && j.Header.Frames > 1 && !j.Options.Still {
		return fmt.Errorf("%w: an AVIF is a still, and the picture an animation", ErrEncode)
	}
	width, height, frames := expected(j)
	if longest := max(width, height); longest > side {
		return &imagefile.LimitError{What: "pixels a side of the rendition",
			Measured: int64(longest), Allowed: int64(side)}
	}
	if frames > 1 {
		return j.checkFrames(j.Options.Plan(j.Header.Shown()))
	}
	allowed := imagefile.DefaultLimits.Pixels
	if most, ok := maxPixels[j.Format]; ok {
		allowed = most
	}
	if made := j.mostPixels(); made > allowed {
		return &imagefile.LimitError{What: limitRendition, Measured: made, Allowed: allowed}
	}
	return nil
}

// limitRendition is the LimitError.What of a rendition with too many pixels, those of all frames together.
const limitRendition = "pixels of the rendition"

// CheckPlan returns a *LimitError if a Plan has too many pixels. After a trim of a border only the worker has the Plan;
// before, the Plan is that of the whole picture, and what is left of the picture may have other proportions.
func (j Job) CheckPlan(p Plan) error {
	if !moves(j) {
		return nil // Options.MostPixels has bounded it
	}
	return j.checkFrames(p)
}

// checkFrames is CheckPlan for an animation.
func (j Job) checkFrames(p Plan) error {
	made := int64(p.CanvasW) * int64(p.CanvasH) * int64(j.Header.Frames)
	if made = max(made, j.Header.Pixels()); made > imagefile.MaxTransformPixels {
		return &imagefile.LimitError{What: limitRendition, Measured: made, Allowed: imagefile.MaxTransformPixels}
	}
	return nil
}

// mostPixels returns a bound on the pixels of the rendition, or of each of its frames.
func (j Job) mostPixels() int64 {
	most := j.Options.MostPixels(j.Header.Shown())
	if moves(j) {
		most = min(most, imagefile.MaxTransformPixels/int64(j.Header.Frames))
	}
	return most
}

// checkProperties compares a worker's Properties with the header, which the server has read.
func checkProperties(f Properties, h imagefile.Header) error {
	width, height := h.Shown()
	switch {
	case f.Width != width || f.Height != height:
		return fmt.Errorf("%w: it found %dx%d pixels, the header says %dx%d",
			ErrWorker, f.Width, f.Height, width, height)
	case f.Frames < 1 || f.Frames > h.Frames:
		return fmt.Errorf("%w: it found %d frames, the header says %d",
			ErrWorker, f.Frames, h.Frames)
	case len(f.Thumbhash) < 5 || len(f.Thumbhash) > maxThumbhash:
		return fmt.Errorf("%w: it made a thumbhash of %d bytes", ErrWorker, len(f.Thumbhash))
	}
	if _, err := phash.Parse(f.Phash); f.Phash != "" && err != nil {
		return fmt.Errorf("%w: its perceptual hash: %w", ErrWorker, err)
	}
	return nil
}

// checkOutput reads the header of a finished rendition: its type, size and frames must match
// the job.
func checkOutput(out *os.File, size int64, j Job) (Output, error) {
	h, err := imagefile.ReadHeader(out, size)
	if err != nil {
		return Output{}, fmt.Errorf("%w: the output is not a picture: %w", ErrWorker, err)
	}
	width, height, frames := expected(j)
	switch {
	case h.Format != j.Format:
		return Output{}, fmt.Errorf("%w: the output is %s, not %s", ErrWorker, h.Format, j.Format)
	case h.Orientation != 1:
		return Output{}, fmt.Errorf("%w: the output has the orientation %d", ErrWorker, h.Orientation)
	case width > 0 && (h.Width != width || h.Height != height):
		return Output{}, fmt.Errorf("%w: the output is %dx%d, not %dx%d",
			ErrWorker, h.Width, h.Height, width, height)
	case max(h.Width, h.Height) > MaxOutputSide || h.Pixels() > j.mostPixels()*int64(h.Frames):
		return Output{}, fmt.Errorf("%w: the output has %dx%d pixels, which is too much", ErrWorker, h.Width, h.Height)
	case h.Frames > frames:
		return Output{}, fmt.Errorf("%w: the output has %d frames, not %d",
			ErrWorker, h.Frames, frames)
	}
	if err := checkGainMap(out, size, j, h); err != nil {
		return Output{}, err
	}
	return Output{Width: h.Width, Height: h.Height, Frames: h.Frames, Size: size}, nil
}
