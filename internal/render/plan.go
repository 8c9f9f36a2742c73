package render

import "math"

// The bounds of what is made, whatever is asked for.
const (
	// MaxOutputSide and MaxOutputPixels bound a rendition. Where a fit would pass them, the
	// rendition is made smaller in its own proportions: a large square picture contained in 12000 x
	// 12000 comes out at 10000 x 10000.
	MaxOutputSide   = 12_000
	MaxOutputPixels = 100_000_000

	// MaxWebPPixels bounds a still WebP: its encoder needs five times the memory of the others.
	// Where it would be larger, clients get a JPEG or PNG.
	MaxWebPPixels = 40_000_000

	// MaxEnlargedPixels bounds a rendition that has more pixels than its original, likewise: pixels
	// that are made up cost as much as others.
	MaxEnlargedPixels = 25_000_000

	// maxScaledSide bounds the picture that a crop is cut from, which is never whole in memory
	// but whose coordinates a pixel engine must be able to count. Only lines of a few pixels that
	// are blown up to cover a box across them come near it: of these, what is cut off for sure is
	// cut off before.
	maxScaledSide = 1_000_000

	// cutMargin is how many pixels stay on each side of what is scaled after a cut. A resize looks
	// at 3.
	cutMargin = 4
)

// A Plan is the geometry of one rendition, in pixels of the upright picture: take its middle of CutW
// x CutH, all of it when these are zero; scale that to ScaleW x ScaleH, cut CropW x CropH out of that
// at (CropX, CropY), and put the result at (PadX, PadY) on a canvas of CanvasW x CanvasH. The
// rendition's size is the canvas.
//
// The cut is inside the scaled picture and lies inside the canvas; no side is ever zero, and the
// canvas keeps to MaxOutputSide and MaxOutputPixels.
type Plan struct {
	CutW, CutH                 int
	ScaleW, ScaleH             int
	CropX, CropY, CropW, CropH int
	PadX, PadY                 int
	CanvasW, CanvasH           int
}

// Plan returns the geometry for an upright picture of w x h pixels, both at least 1.
//
// Where one dimension is given, the other follows the picture's proportions, and Cover and Pad
// do as Contain; where none is given, the picture keeps its size. Crop does as Cover when the
// picture is at least as large as the box both ways, else as ScaleDown. The middle of the
// picture is what is kept and what is centred.
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

// withoutBox returns what a fit comes down to when a dimension, or both, are not given.
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

// planWhole only scales.
func planWhole(a area) Plan {
	w, h := int(a.w), int(a.h)
	return Plan{ScaleW: w, ScaleH: h, CropW: w, CropH: h, CanvasW: w, CanvasH: h}
}

// planCover scales src until it covers box, and cuts the overflow from both sides alike.
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

// middle returns how many pixels of a side stay, around its middle, if the box shows only the middle of the scaled
// side: those that the box shows, and cutMargin at each end. It is odd if the side is odd, so that both have the
// same middle.
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

// bounded returns a within MaxOutputSide, and within the pixels that may be made of a picture of the
// size src, in its proportions.
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
