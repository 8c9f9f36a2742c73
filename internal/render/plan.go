package render

import "math"

// The bounds of renditions, for all Options.
const (
	// MaxOutputSide and MaxOutputPixels bound a rendition. A fit that would exceed them produces a smaller rendition
	// of the same proportions: a large square picture with Contain in 12000 x 12000 has 10000 x 10000 pixels.
	MaxOutputSide   = 12_000
	MaxOutputPixels = 100_000_000

	// MaxWebPPixels bounds a still WebP, because its encoder needs five times the memory of other encoders. Instead
	// of a larger WebP, clients get a JPEG or PNG.
	MaxWebPPixels = 40_000_000

	// MaxAVIFPixels bounds an AVIF, because its encoder needs four times the time of that of WebP: 1.5 seconds. Instead
	// of a larger AVIF, clients get a WebP.
	MaxAVIFPixels = 2_600_000

	// MaxEnlargedPixels bounds a rendition that has more pixels than its original, in the same way: the pixels that
	// an enlargement adds cost as much as others.
	MaxEnlargedPixels = 25_000_000

	// maxScaledSide bounds the side of a scaled picture before its crop. The engine never has the scaled picture in
	// memory, but must be able to count its coordinates. Only lines of a few pixels that cover a box across them
	// reach this size; cut has removed most of such a line before.
	maxScaledSide = 1_000_000

	// cutMargin is the number of pixels that a cut leaves beyond the visible ones at each end. A resize reads 3.
	cutMargin = 4
)

// A Plan is the geometry of one rendition, in pixels of the upright picture. The steps: cut the middle of CutW x
// CutH (the whole picture if both are zero); scale it to ScaleW x ScaleH; crop CropW x CropH at (CropX, CropY); draw
// the result at (PadX, PadY) on a canvas of CanvasW x CanvasH, which is the size of the rendition.
//
// The crop is inside the scaled picture and fits into the canvas. No side of the canvas is zero. The canvas is
// within MaxOutputSide and MaxOutputPixels.
type Plan struct {
	CutW, CutH                 int
	ScaleW, ScaleH             int
	CropX, CropY, CropW, CropH int
	PadX, PadY                 int
	CanvasW, CanvasH           int
}

// Plan returns the geometry for an upright picture of w x h pixels, both at least 1.
//
// With one dimension, the other one follows the picture's proportions, and Cover and Pad mean Contain. Without
// dimensions the size does not change. Crop means Cover if neither side of the picture is shorter than the box, else
// ScaleDown. Crops and pads are centred.
func (o Options) Plan(w, h int) Plan {
	const most = 1 << 30 // keeps products within 64 bits
	src := area{int64(min(max(w, 1), most)), int64(min(max(h, 1), most))}
	box := area{int64(max(o.Width, 0)), int64(max(o.Height, 0))}
	fit := o.Fit
	if box.w == 0 || box.h == 0 {
		fit = withoutBox(fit, box)
		// The side that is not asked for is as long as it can be.
		if box.w == 0 {
			box.w = MaxOutputSide
		}
		if box.h == 0 {
			box.h = MaxOutputSide
		}
	}
	switch {
	case fit == Cover, fit == Crop && src.w >= box.w && src.h >= box.h:
		return planCover(src, box.bounded(src))
	case fit == Contain:
		return planWhole(src.into(box).bounded(src))
	case fit == Pad:
		box = box.bounded(src)
		p := planWhole(src.into(box))
		p.PadX, p.PadY = (int(box.w)-p.CropW)/2, (int(box.h)-p.CropH)/2
		p.CanvasW, p.CanvasH = int(box.w), int(box.h)
		return p
	}
	if src.w <= box.w && src.h <= box.h {
		return planWhole(src.bounded(src))
	}
	return planWhole(src.into(box).bounded(src))
}

// withoutBox returns the fit that applies if one or both dimensions are absent.
func withoutBox(f Fit, box area) Fit {
	if box.w == 0 && box.h == 0 {
		return ScaleDown
	}
	switch f {
	case Contain, Cover, Pad:
		return Contain
	}
	return ScaleDown
}

// planWhole returns a Plan that only scales.
func planWhole(a area) Plan {
	w, h := int(a.w), int(a.h)
	return Plan{ScaleW: w, ScaleH: h, CropW: w, CropH: h, CanvasW: w, CanvasH: h}
}

// planCover scales src until it covers box, and crops the same number of pixels from opposite sides.
func planCover(src, box area) Plan {
	cut := src
	scaled := src.over(box)
	if scaled.w > maxScaledSide {
		cut.w = middle(src.w, box.w, scaled.w)
	}
	if scaled.h > maxScaledSide {
		cut.h = middle(src.h, box.h, scaled.h)
	}
	scaled = cut.over(box)
	p := planWhole(box)
	if cut != src {
		p.CutW, p.CutH = int(cut.w), int(cut.h)
	}
	p.ScaleW, p.ScaleH = int(scaled.w), int(scaled.h)
	p.CropX, p.CropY = (p.ScaleW-p.CropW)/2, (p.ScaleH-p.CropH)/2
	return p
}

// middle returns the number of pixels of a side, around its middle, that a cut leaves if the box shows only the
// middle of the scaled side: the visible ones, and cutMargin at each end. It is odd if the side is odd, so that both
// have the same middle.
func middle(side, box, scaled int64) int64 {
	n := (side*box+scaled-1)/scaled + 2*cutMargin
	return min(side, n+(side-n)&1)
}

// An area is a width and a height in pixels, both at least 1.
type area struct{ w, h int64 }

// into returns the largest size in a's proportions inside box.
func (a area) into(box area) area {
	if a.w*box.h > box.w*a.h { // wider than the box
		return area{box.w, follow(a.h, box.w, a.w)}
	}
	return area{follow(a.w, box.h, a.h), box.h}
}

// over returns the smallest size in a's proportions that covers box.
func (a area) over(box area) area {
	if a.w*box.h > box.w*a.h {
		return area{follow(a.w, box.h, a.h), box.h}
	}
	return area{box.w, follow(a.h, box.w, a.w)}
}

// follow returns side x num / den, rounded, at least 1.
func follow(side, num, den int64) int64 { return max(1, (2*side*num+den)/(2*den)) }

// bounded returns the largest size of a's proportions within MaxOutputSide and within the bound on pixels of a
// rendition of a picture of the size src.
func (a area) bounded(src area) area {
	most := min(MaxOutputPixels, max(MaxEnlargedPixels, src.w*src.h))
	if a.w > MaxOutputSide || a.h > MaxOutputSide {
		a = a.into(area{MaxOutputSide, MaxOutputSide})
	}
	if a.w*a.h > most {
		w := int64(math.Sqrt(float64(most*a.w) / float64(a.h)))
		a = area{w, min(follow(a.h, w, a.w), most/w)}
	}
	return a
}
