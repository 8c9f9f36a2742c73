package render

import "calotype/internal/imagefile"

// A memory is an estimate of a job's memory in addition to an idle worker's, in bytes, or in bytes a pixel.
//
// Jobs were measured in workers without limits (libvips 8.14, glibc), on pictures at the limits of
// size: transparent and opaque, interlaced, in 16 bits, CMYK, lossless, and animations of 2 and of 18
// frames. The figures are the maxima, in bytes a pixel in addition to an idle worker, rounded up:
// resident by VmHWM, mapped by VmPeak. libvips maps the canvas of a WebP three times and writes to
// two of them, so the two figures differ.
//
// The pixels are those of the canvas, of the largest picture in the file if that is larger, and of
// one frame of an animation.
type memory struct{ resident, mapped int64 }

func (m memory) times(pixels int64) memory {
	return memory{m.resident * pixels, m.mapped * pixels}
}

func (m memory) plus(n memory) memory {
	return memory{m.resident + n.resident, m.mapped + n.mapped}
}

// larger returns the larger one of each number: of two steps that do not have memory at the same time.
func (m memory) larger(n memory) memory {
	return memory{max(m.resident, n.resident), max(m.mapped, n.mapped)}
}

// written returns an estimate of n bytes that are mapped and resident.
func written(n int64) memory { return memory{n, n} }

// The memory of decoding and of encoding. A Header does not say whether a PNG is interlaced or a WebP
// lossless, so the worst case counts.
var (
	decodeCost = map[imagefile.Format]memory{
		imagefile.JPEG: {9, 9}, imagefile.PNG: {9, 9}, imagefile.WebP: {10, 21}, imagefile.GIF: {9, 10},
		imagefile.HEIC: {16, 16}, imagefile.AVIF: {16, 16},
	}
	encodeCost = map[imagefile.Format]memory{
		imagefile.JPEG: {4, 4}, imagefile.PNG: {2, 2}, imagefile.WebP: {7, 7}, imagefile.GIF: {13, 14},
		imagefile.AVIF: {45, 49},
	}

	baselineCost     = memory{1, 1}   // decoding a JPEG of one scan
	progressiveCost  = memory{6, 6}   // encoding a progressive JPEG, which is never large
	transparentCost  = memory{14, 19} // encoding a WebP with an alpha channel
	losslessCost     = memory{36, 40} // encoding a lossless WebP
	movingGIFCost    = memory{18, 33} // decoding all frames
	animatedWebPCost = memory{34, 35} // encoding an animation
	animatedGIFCost  = memory{30, 30}
	turnCost         = memory{4, 4} // a flip or a rotation of a still, also by its EXIF: a copy in memory

	// A blur has the sums of boxes of 3 x 3 pixels in memory, 16 bytes each, and the alpha channel.
	blurCost = memory{3, 3}
)

// progressivePixels is the size up to which a JPEG is made progressive, in pixels.
const progressivePixels = 9_000_000

// pixelsCost is the memory of a finished animation, whose frames are all in memory, in bytes a pixel.
const pixelsCost = 5

// jobCost is a constant for every job, and framesCost one for reading an animation, in bytes.
const (
	jobCost    = 16 * mib
	framesCost = 36 * mib
)

// fileCost is the number of copies of a file in memory: by libvips, and by decoders that need another
// form of it.
const fileCost = 2

// examineCost estimates the memory of an examination in addition to an idle worker's: the decoder's.
func examineCost(h imagefile.Header) memory {
	cost := decodeCost[h.Format]
	switch {
	case h.Format == imagefile.JPEG && h.Scans == 1:
		cost = baselineCost
	case h.Format == imagefile.GIF && h.Frames > 1:
		cost = movingGIFCost
	}
	need := cost.times(largestPicture(h)).plus(written(jobCost))
	if h.Frames > 1 {
		need = need.plus(written(framesCost))
	}
	if h.Frames > 1 && h.Format == imagefile.WebP {
		need = need.plus(written(h.Pixels() * pixelsCost))
	}
	return need
}

// largestPicture is the size of the largest picture that a decoder has in memory, in pixels.
func largestPicture(h imagefile.Header) int64 {
	return max(int64(h.Width)*int64(h.Height), h.MaxPixels)
}

// renderCost estimates the memory of a rendition in addition to an idle worker's.
func renderCost(j Job) memory {
	h := j.Header
	made := j.mostPixels()
	effects := memory{}
	if j.Options.Blur != 0 {
		effects = blurCost.times(made)
	}
	if moves(j) {
		cost := animatedGIFCost
		if j.Format == imagefile.WebP {
			cost = animatedWebPCost
		}
		return examineCost(h).plus(cost.times(made)).plus(written(made * pixelsCost * int64(h.Frames))).plus(effects)
	}
	h.Frames = 1
	cost := encodeCost[j.Format]
	switch {
	case j.Lossless():
		cost = losslessCost
	case j.Format == imagefile.WebP && (j.Alpha || j.Options.PadsWithAlpha()):
		cost = transparentCost
	}
	need := examineCost(h).plus(cost.times(made)).plus(effects)
	if j.Options.Orientation(h.Orientation) > 2 {
		need = need.plus(turnCost.times(made))
	}
	if j.Format == imagefile.JPEG {
		need = need.plus(progressiveCost.times(min(made, progressivePixels)))
	}
	// The gain map is rendered after the search has returned its memory. So if a search fits, and a rendition with the
	// map, a search with the map fits too: both have the same bytes.
	extra := gainMapCost(j.GainMap, made)
	if j.Searches() {
		extra = extra.larger(searchCost(j.Format).times(made))
	}
	return need.plus(extra)
}

// withFile adds the memory of the file itself to an estimate; size is in bytes.
func (m memory) withFile(size int64) memory { return m.plus(written(fileCost * size)) }

// Makes reports whether a rendition of a file of size bytes is within the limits of its format and the memory of
// this server. A large WebP may need too much memory where JPEG, PNG or GIF do not.
func (p *Pool) Makes(j Job, size int64) bool {
	return checkJob(j) == nil && p.checkEncoder(j.Format) == nil && renderCost(j).withFile(size).mapped <= p.jobMemory
}

// usualJobMemory is the estimate that is accepted for any -memory, in bytes. Estimates are for the worst case of a
// format: a phone's pictures of 12 megapixels need less, and small servers accept them too. The limit of a
// worker follows -memory nevertheless.
const usualJobMemory = 512 * mib

// maxJobMemory returns the largest accepted estimate of mapped memory, in bytes. memory is the Pool's.
func maxJobMemory(memory int64) int64 { return max(min(memory, maxJob), usualJobMemory) }

// checkMemory refuses an original of which no rendition could be made at its full size in the format
// that all clients get, or that could not be examined. So accepted originals can be delivered. Options that need more
// memory, such as a blur, may be refused at full size.
func (p *Pool) checkMemory(h imagefile.Header, size int64) error {
	need := examineCost(h).mapped
	for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.PNG, imagefile.GIF} {
		j := Job{Header: h, Format: f, Options: Options{Fit: ScaleDown}}
		if f == imagefile.GIF && (!moves(j) || h.Pixels() > imagefile.MaxTransformPixels) {
			continue
		}
		need = max(need, renderCost(j).mapped)
	}
	return p.checkJobMemory(written(need).withFile(size))
}

// checkJobMemory returns a *LimitError if the estimate is above the server's memory for a job.
func (p *Pool) checkJobMemory(need memory) error {
	if need.mapped > p.jobMemory {
		return &imagefile.LimitError{What: imagefile.LimitMemory,
			Measured: (need.mapped + mib - 1) / mib, Allowed: p.jobMemory / mib}
	}
	return nil
}
