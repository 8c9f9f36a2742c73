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

	// MaxAVIFPixels bounds an AVIF, because its encoder needs four to eight times the time of that of WebP: up to 2.6
	// seconds. Instead of a larger AVIF, clients get a WebP.
	MaxAVIFPixels = 2_600_000

	// MaxEnlargedPixels bounds a rendition that has more pixels than its original, in the same way: the pixels that
	// an enlargement adds cost as much as others.
	MaxEnlargedPixels = 25_000_000

	// MaxTrimmedPixels is MaxEnlargedPixels after a trim of a border. Only the worker knows what remains of the picture
	// then, so the smaller bound of options in URLs applies to all.
	MaxTrimmedPixels = 12_000_000

	// maxScaledSide bounds the side of a scaled picture before its crop. The engine never has the scaled picture in
	// memory, but must be able to count its coordinates. Only lines of a few pixels that cover a box across them
	// reach this size; cut has removed most of such a line before.
	maxScaledSide = 1_000_000

	// cutMargin is the number of pixels that a cut leaves beyond the visible ones at each end. A resize reads 3.
	cutMargin = 4
)

// A Plan is the geometry of one rendition, in pixels of the picture as it is shown: upright, flipped and rotated. The
// steps: cut the part of CutW x CutH at (CutX, CutY) (the whole picture if CutW and CutH are zero); scale it to ScaleW
// x ScaleH; crop CropW x CropH at (CropX, CropY); draw the result at (PadX, PadY) on a canvas of CanvasW x CanvasH,
// which is the size of the rendition. Edges is the part of the canvas that is drawn last, around all.
//
// The crop is inside the scaled picture and fits into the canvas without its edges. No side of the canvas is zero. The
// canvas is within MaxOutputSide and MaxOutputPixels.
type Plan struct {
	CutX, CutY, CutW, CutH     int
	ScaleW, ScaleH             int
	CropX, CropY, CropW, CropH int
	PadX, PadY                 int
	CanvasW, CanvasH           int
	Edges                      Edges
}

// Crops reports whether the Plan cuts off a part of the scaled picture.
func (p Plan) Crops() bool { return p.CropW < p.ScaleW || p.CropH < p.ScaleH }

// Edges are widths of edges, in pixels.
type Edges struct{ Top, Right, Bottom, Left int }

// Plan returns the geometry for an upright picture of w x h pixels, both at least 1. A trim of a border and a gravity
// of auto need the pixels: the plan is that of the whole picture, and of its middle, until the lengths of the Trim
// and the point of the Gravity are set.
//
// With one dimension, the other one follows the picture's proportions, and Cover, Pad and Squeeze mean Contain. Without
// dimensions the size does not change. Crop cuts a direction in which the picture is longer than the box; if it is
// in both, Crop means Cover.
func (o Options) Plan(w, h int) Plan {
	const most = 1 << 30 // keeps products within 64 bits
	o = o.Scaled()
	w, h = min(max(w, 1), most), min(max(h, 1), most)
	part := o.Trim.part(w, h).Turn(o.orientation(), w, h)
	src := area{int64(part.W), int64(part.H)}
	edges := o.Border.edges()
	p := o.fitted(src, limits{src, area{int64(edges.Left + edges.Right), int64(edges.Top + edges.Bottom)},
		o.mostEnlarged()})
	if part.W*part.H != w*h {
		if p.CutW == 0 {
			p.CutW, p.CutH = part.W, part.H
		}
		p.CutX, p.CutY = p.CutX+part.X, p.CutY+part.Y
	}
	p.Edges = edges
	p.PadX, p.PadY = p.PadX+edges.Left, p.PadY+edges.Top
	p.CanvasW, p.CanvasH = p.CanvasW+edges.Left+edges.Right, p.CanvasH+edges.Top+edges.Bottom
	return p
}

func (b Border) edges() Edges {
	b = b.normal()
	return Edges{b.Top, b.Right, b.Bottom, b.Left}
}

// part returns the part of an upright picture of w x h pixels that a Trim leaves: at least one pixel. If nothing
// would be left, see TrimsAll.
func (t Trim) part(w, h int) Rect {
	x, width := remaining(w, t.Left, t.Right, t.Width)
	y, height := remaining(h, t.Top, t.Bottom, t.Height)
	return Rect{x, y, width, height}
}

// remaining returns the first pixel and the number of pixels that are left of a side, at least one.
func remaining(side, before, behind, length int) (first, n int) {
	first = min(max(before, 0), side-1)
	n = side - first - max(behind, 0)
	if length > 0 {
		n = min(length, side-first)
	}
	return first, max(n, 1)
}

// TrimsAll reports whether the trim of the Options leaves nothing of an upright picture of w x h pixels.
func (o Options) TrimsAll(w, h int) bool {
	t := o.Scaled().Trim
	return !t.Border && (t.Left >= w || t.Width == 0 && t.Left+t.Right >= w ||
		t.Top >= h || t.Height == 0 && t.Top+t.Bottom >= h)
}

// mostEnlarged returns the bound on the pixels of a rendition that has more pixels than its original.
func (o Options) mostEnlarged() int64 {
	if o.Trim.Border {
		return MaxTrimmedPixels
	}
	return MaxEnlargedPixels
}

// fitted returns the Plan of a picture of the size src, without its border.
func (o Options) fitted(src area, most limits) Plan {
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
	smaller := src.w < box.w && src.h < box.h
	switch {
	case fit == Cover:
		return o.planCover(src, most.of(box))
	case fit == Crop:
		return o.planCover(src, most.of(area{min(src.w, box.w), min(src.h, box.h)}))
	case fit == AspectCrop && (src.w < box.w || src.h < box.h):
		return o.planCover(src, most.of(box.into(src)))
	case fit == AspectCrop:
		return o.planCover(src, most.of(box))
	case fit == Contain:
		return planWhole(most.of(src.into(box)))
	case fit == ScaleUp && smaller:
		// The bound of an enlargement may be a pixel below the original.
		if enlarged := most.of(src.into(box)); enlarged.w >= src.w && enlarged.h >= src.h {
			return planWhole(enlarged)
		}
	case fit == Squeeze:
		return planWhole(most.of(box))
	case fit == Pad:
		return o.planPad(src, most.of(box))
	}
	if fit == ScaleUp || src.w <= box.w && src.h <= box.h {
		return planWhole(most.of(src))
	}
	return planWhole(most.of(src.into(box)))
}

// withoutBox returns the fit that applies if one or both dimensions are absent.
func withoutBox(f Fit, box area) Fit {
	if box.w == 0 && box.h == 0 {
		return ScaleDown
	}
	switch f {
	case Contain, Cover, Pad, Squeeze:
		return Contain
	case ScaleUp:
		return ScaleUp
	}
	return ScaleDown
}

// planWhole returns a Plan that only scales.
func planWhole(a area) Plan {
	w, h := int(a.w), int(a.h)
	return Plan{ScaleW: w, ScaleH: h, CropW: w, CropH: h, CanvasW: w, CanvasH: h}
}

// planPad scales src into box, and puts it where the gravity is.
func (o Options) planPad(src, box area) Plan {
	p := planWhole(src.into(box))
	x, y := o.Gravity.point()
	p.PadX, p.PadY = share(x, int(box.w)-p.CropW), share(y, int(box.h)-p.CropH)
	p.CanvasW, p.CanvasH = int(box.w), int(box.h)
	return p
}

// share returns a fraction of n, rounded down.
func share(fraction float64, n int) int {
	const almost = 1e-9 // of a pixel, by which a product may be too small
	return int(fraction*float64(n) + almost)
}

// planCover scales src until it covers box, and crops what the gravity leaves.
func (o Options) planCover(src, box area) Plan {
	x, y := o.Gravity.point()
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
	p.ScaleW, p.ScaleH = int(scaled.w), int(scaled.h)
	if cut != src {
		p.CutW, p.CutH = int(cut.w), int(cut.h)
	}
	p.CutX, p.CropX = cropAt(x, src.w, cut.w, scaled.w, box.w)
	p.CutY, p.CropY = cropAt(y, src.h, cut.h, scaled.h, box.h)
	return p
}

// cropAt returns where a cut and a crop of one side begin, for a fraction of the rest. The cut begins at a whole pixel
// of the original; the crop adds what is missing.
func cropAt(fraction float64, src, cut, scaled, box int64) (cutAt, cropAt int) {
	cutAt = share(fraction, int(src-cut))
	rest := fraction*float64(src-cut) - float64(cutAt)
	most := int(scaled - box)
	return cutAt, min(share(fraction, most)+int(rest*float64(scaled)/float64(cut)), most)
}

// middle returns the number of pixels of a side that a cut leaves if the box shows only a part of the scaled side: the
// visible ones, and cutMargin at each end. It is odd if the side is odd, so that both have the same middle.
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

// limits bound a rendition of a picture of the size src, around which edges are drawn. enlarged is the bound on
// pixels for a larger one than src.
type limits struct {
	src, edges area
	enlarged   int64
}

// of returns the largest size of a's proportions that is within MaxOutputSide and within the bound on pixels, with the
// edges.
func (l limits) of(a area) area {
	most := min(MaxOutputPixels, max(l.enlarged, l.src.w*l.src.h))
	if side := (area{MaxOutputSide - l.edges.w, MaxOutputSide - l.edges.h}); a.w > side.w || a.h > side.h {
		a = a.into(side)
	}
	if (a.w+l.edges.w)*(a.h+l.edges.h) > most {
		w := l.width(a, most)
		a = area{w, max(1, min(follow(a.h, w, a.w), most/(w+l.edges.w)-l.edges.h))}
	}
	return a
}

// width returns the width at which a and the edges have most pixels: the root of k²·w·h + k·(w·edges.h + h·edges.w) +
// edges.w·edges.h = most, times w.
func (l limits) width(a area, most int64) int64 {
	w, h := float64(a.w), float64(a.h)
	if l.edges == (area{}) {
		return int64(math.Sqrt(float64(most*a.w) / h))
	}
	b := (w*float64(l.edges.h) + h*float64(l.edges.w)) / 2
	c := float64(most - l.edges.w*l.edges.h)
	return max(1, int64(w*(math.Sqrt(b*b+w*h*c)-b)/(w*h)))
}

// MostPixels returns a bound on the pixels of a rendition of an upright picture of w x h pixels: those of the Plan,
// unless a trim of a border may change the proportions.
func (o Options) MostPixels(w, h int) int64 {
	p := o.Plan(w, h)
	made := int64(p.CanvasW) * int64(p.CanvasH)
	if !o.Trim.Border {
		return made
	}
	o = o.Scaled()
	box := area{int64(o.Width), int64(o.Height)}
	if box.w == 0 {
		box.w = MaxOutputSide
	}
	if box.h == 0 {
		box.h = MaxOutputSide
	}
	if o.orientation() >= 5 {
		w, h = h, w
	}
	src := area{int64(w), int64(h)}
	switch o.Fit {
	case Contain, Cover, Pad, Squeeze:
	case ScaleUp:
		box = area{max(box.w, src.w), max(box.h, src.h)}
	default:
		box = area{min(box.w, src.w), min(box.h, src.h)}
	}
	if o.Width == 0 && o.Height == 0 {
		box = src
	}
	box.w, box.h = box.w+int64(p.Edges.Left+p.Edges.Right), box.h+int64(p.Edges.Top+p.Edges.Bottom)
	return max(made, min(box.w*box.h, MaxOutputPixels, max(o.mostEnlarged(), src.w*src.h)))
}
