package render

import (
	"errors"
	"math/rand/v2"
	"testing"

	"calotype/internal/imagefile"
)

func TestOptionsPlan(t *testing.T) {
	t.Parallel()
	whole := func(w, h int) Plan { return planWhole(area{int64(w), int64(h)}) }
	covered := func(scaleW, scaleH, x, y, w, h int) Plan {
		return Plan{ScaleW: scaleW, ScaleH: scaleH, CropX: x, CropY: y, CropW: w, CropH: h,
			CanvasW: w, CanvasH: h}
	}
	padded := func(scaleW, scaleH, x, y, w, h int) Plan {
		return Plan{ScaleW: scaleW, ScaleH: scaleH, CropW: scaleW, CropH: scaleH, PadX: x, PadY: y,
			CanvasW: w, CanvasH: h}
	}
	for _, c := range []struct {
		fit           Fit
		width, height int // asked for
		w, h          int // of the picture
		want          Plan
	}{
		{ScaleDown, 500, 500, 1080, 720, whole(500, 333)}, // Cloudflare's example
		{ScaleDown, 500, 500, 720, 1080, whole(333, 500)},
		{ScaleDown, 2000, 2000, 1080, 720, whole(1080, 720)},
		{ScaleDown, 2000, 500, 1080, 720, whole(750, 500)},
		{ScaleDown, 540, 0, 1080, 720, whole(540, 360)},
		{ScaleDown, 0, 360, 1080, 720, whole(540, 360)},
		{ScaleDown, 1081, 0, 1080, 720, whole(1080, 720)},
		{ScaleDown, 0, 0, 1080, 720, whole(1080, 720)},
		{ScaleDown, 10, 10, 12000, 1, whole(10, 1)}, // never a zero side
		{"", 500, 500, 1080, 720, whole(500, 333)},

		{Contain, 500, 500, 1080, 720, whole(500, 333)},
		{Contain, 2160, 2160, 1080, 720, whole(2160, 1440)},
		{Contain, 2160, 0, 1080, 720, whole(2160, 1440)},
		{Contain, 0, 1440, 1080, 720, whole(2160, 1440)},
		{Contain, 0, 0, 1080, 720, whole(1080, 720)},
		{Contain, 12000, 12000, 100, 100, whole(5000, 5000)},   // 25 megapixels are made
		{Contain, 12000, 12000, 7000, 7000, whole(7000, 7000)}, // as many as there are
		{Contain, 12000, 12000, 10000, 10000, whole(10000, 10000)},
		{Contain, 12000, 0, 1, 1000, whole(12, 12000)}, // 12,000 a side
		{Contain, 0, 12000, 1000, 1, whole(12000, 12)},
		{Contain, 12000, 0, 100, 100, whole(5000, 5000)},

		{Cover, 500, 500, 1080, 720, covered(750, 500, 125, 0, 500, 500)},
		{Cover, 500, 500, 720, 1080, covered(500, 750, 0, 125, 500, 500)},
		{Cover, 2160, 2160, 1080, 720, covered(3240, 2160, 540, 0, 2160, 2160)},
		{Cover, 300, 200, 1080, 720, whole(300, 200)},
		{Cover, 540, 0, 1080, 720, whole(540, 360)},
		{Cover, 2160, 0, 1080, 720, whole(2160, 1440)},
		{Cover, 0, 0, 1080, 720, whole(1080, 720)},
		{Cover, 12000, 12000, 100, 100, whole(5000, 5000)},
		{Cover, 12000, 6000, 12000, 6000, whole(12000, 6000)},

		{Crop, 500, 500, 1080, 720, covered(750, 500, 125, 0, 500, 500)},
		{Crop, 1080, 720, 1080, 720, whole(1080, 720)},
		{Crop, 1080, 500, 1080, 720, covered(1080, 720, 0, 110, 1080, 500)},
		{Crop, 500, 721, 1080, 720, covered(1080, 720, 290, 0, 500, 720)}, // smaller one way: cut the other way
		{Crop, 400, 50, 200, 100, covered(200, 100, 0, 25, 200, 50)},
		{Crop, 50, 400, 100, 200, covered(100, 200, 25, 0, 50, 200)},
		{Crop, 1081, 721, 1080, 720, whole(1080, 720)},
		{Crop, 540, 0, 1080, 720, whole(540, 360)},
		{Crop, 2000, 0, 1080, 720, whole(1080, 720)},

		{ScaleUp, 500, 500, 1080, 720, whole(1080, 720)},
		{ScaleUp, 2160, 2160, 1080, 720, whole(2160, 1440)},
		{ScaleUp, 2160, 500, 1080, 720, whole(1080, 720)},
		{ScaleUp, 2160, 0, 1080, 720, whole(2160, 1440)},
		{ScaleUp, 0, 500, 1080, 720, whole(1080, 720)},
		{ScaleUp, 0, 0, 1080, 720, whole(1080, 720)},

		{AspectCrop, 500, 500, 1080, 720, covered(750, 500, 125, 0, 500, 500)},
		{AspectCrop, 1920, 1120, 612, 613, covered(612, 613, 0, 128, 612, 357)}, // Cloudflare's example
		{AspectCrop, 2000, 100, 1080, 720, covered(1080, 720, 0, 333, 1080, 54)},
		{AspectCrop, 500, 0, 1080, 720, whole(500, 333)},
		{AspectCrop, 0, 0, 1080, 720, whole(1080, 720)},

		{Squeeze, 500, 500, 1080, 720, whole(500, 500)},
		{Squeeze, 2160, 10, 1080, 720, whole(2160, 10)},
		{Squeeze, 12000, 12000, 100, 50, whole(5000, 5000)},
		{Squeeze, 540, 0, 1080, 720, whole(540, 360)},

		{Pad, 500, 500, 1080, 720, padded(500, 333, 0, 83, 500, 500)},
		{Pad, 2160, 2160, 1080, 720, padded(2160, 1440, 0, 360, 2160, 2160)},
		{Pad, 2160, 1080, 720, 1080, padded(720, 1080, 720, 0, 2160, 1080)},
		{Pad, 540, 0, 1080, 720, whole(540, 360)},
		{Pad, 12000, 12000, 200, 100, padded(5000, 2500, 0, 1250, 5000, 5000)},
		{Pad, 0, 0, 1080, 720, whole(1080, 720)},
	} {
		o := Options{Width: c.width, Height: c.height, Fit: c.fit}
		if got := o.Plan(c.w, c.h); got != c.want {
			t.Errorf("%s %d x %d of %d x %d:\n got %+v\nwant %+v",
				c.fit, c.width, c.height, c.w, c.h, got, c.want)
		}
	}
}

// planProperties checks what holds for every plan of a picture within the limits.
func planProperties(t *testing.T, o Options, w, h int) {
	t.Helper()
	p := o.Plan(w, h)
	fail := func(what string) {
		t.Helper()
		t.Fatalf("%s: %s %d x %d of %d x %d: %+v", what, o.Fit, o.Width, o.Height, w, h, p)
	}
	if p.CropW < 1 || p.CropH < 1 || p.CropX < 0 || p.CropY < 0 ||
		p.CropX+p.CropW > p.ScaleW || p.CropY+p.CropH > p.ScaleH {
		fail("the cut is not inside the scaled picture")
	}
	if p.PadX < 0 || p.PadY < 0 || p.PadX+p.CropW > p.CanvasW || p.PadY+p.CropH > p.CanvasH {
		fail("the cut is not inside the canvas")
	}
	if p.CanvasW > MaxOutputSide || p.CanvasH > MaxOutputSide ||
		p.CanvasW*p.CanvasH > MaxOutputPixels || max(p.ScaleW, p.ScaleH) > maxScaledSide {
		fail("a bound is passed")
	}
	inside := (o.Width == 0 || p.CanvasW <= o.Width) && (o.Height == 0 || p.CanvasH <= o.Height)
	if !inside && (o.Fit != ScaleUp || p.ScaleW > w || p.ScaleH > h) {
		fail("the rendition is not inside the box")
	}
	if off := p.ScaleW - p.CropW - 2*p.CropX; off < 0 || off > 1 {
		fail("the cut is not centred")
	}
	if off := p.CanvasW - p.CropW - 2*p.PadX; off < 0 || off > 1 {
		fail("the picture is not centred")
	}
	// Proportions hold within a pixel: each side is what the other asks for, rounded once for the
	// fit and once for a bound; a side of one pixel may stand for less.
	most := min(MaxOutputPixels, max(MaxEnlargedPixels, w*h))
	w, h = cutSize(p, w, h)
	fromW, fromH := float64(p.ScaleW)*float64(h)/float64(w), float64(p.ScaleH)*float64(w)/float64(h)
	near := func(got int, want float64) bool {
		return float64(got) > want-1.5 && float64(got) < want+1.5
	}
	if !near(p.ScaleH, fromW) && !near(p.ScaleW, fromH) && o.Fit != Squeeze {
		fail("the proportions are lost")
	}
	enlarged := p.ScaleW > w || p.ScaleH > h
	if smaller := p.ScaleW < w || p.ScaleH < h; smaller && o.Fit == ScaleUp && w*h <= MaxOutputPixels {
		fail("the picture is made smaller")
	}
	if enlarged && (o.Fit == ScaleDown || o.Fit == Crop || o.Fit == AspectCrop) {
		fail("the picture is enlarged")
	}
	both := o.Width != 0 && o.Height != 0
	asked := p.CanvasW == o.Width && p.CanvasH == o.Height
	if p.CanvasW*p.CanvasH > most {
		fail("too many pixels are made")
	}
	if both && o.Width*o.Height <= most && !asked && (o.Fit == Pad || o.Fit == Cover || o.Fit == Squeeze) {
		fail("the canvas is not the box")
	}
	if p.CanvasW != p.CropW || p.CanvasH != p.CropH {
		if o.Fit != Pad {
			fail("something is filled up")
		}
	}
	if cut := p.CropW < p.ScaleW || p.CropH < p.ScaleH; cut && o.Fit != Cover && o.Fit != Crop && o.Fit != AspectCrop {
		fail("something is cut off")
	}
}

// cutSize is the size of what a plan scales of a picture of w x h.
func cutSize(p Plan, w, h int) (int, int) {
	if p.CutW > 0 {
		return p.CutW, p.CutH
	}
	return w, h
}

// TestOptionsPlanLine: of a line that covers a box, what is not shown is cut off before it is scaled,
// alike at both ends.
func TestOptionsPlanLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ w, h, boxW, boxH int }{
		{1, 12_000, 200, 200}, {1, 11_999, 200, 200}, {12_000, 1, 1000, 100}, {2, 12_000, 8000, 9},
	} {
		p := Options{Width: c.boxW, Height: c.boxH, Fit: Cover}.Plan(c.w, c.h)
		if p.CanvasW != c.boxW || p.CanvasH != c.boxH || p.CutW == 0 {
			t.Errorf("%+v: %+v", c, p)
		}
		if (c.w-p.CutW)%2 != 0 || (c.h-p.CutH)%2 != 0 || p.CutW > c.w || p.CutH > c.h {
			t.Errorf("%+v: the cut is not from the middle: %+v", c, p)
		}
	}
}

func TestOptionsPlanProperties(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2)) // the same pictures each time
	side := func() int {             // small and large sides alike
		return 1 + r.IntN(1+r.IntN(12_000))
	}
	for range 200_000 {
		w, h := side(), side()
		if w*h > 100_000_000 {
			continue
		}
		o := Options{Width: side(), Height: side(), Fit: fits[r.IntN(len(fits))]}
		switch r.IntN(4) {
		case 0:
			o.Width = 0
		case 1:
			o.Height = 0
		}
		planProperties(t, o, w, h)
	}
	for _, fit := range fits { // the corners
		for _, w := range []int{1, 2, 3, 8333, 12_000} {
			for _, width := range []int{0, 1, 2, 3, 10_000, 12_000} {
				for _, height := range []int{0, 1, 2, 3, 10_000, 12_000} {
					o := Options{Width: width, Height: height, Fit: fit}
					planProperties(t, o, w, 8333)
					planProperties(t, o, w, 1)
					planProperties(t, o, 1, w)
				}
			}
		}
	}
}

// TestOptionsPlanNonsense: sizes that no header has make no panic and no empty rendition.
func TestOptionsPlanNonsense(t *testing.T) {
	t.Parallel()
	const huge = 1<<63 - 1
	for _, fit := range fits {
		for _, size := range [][2]int{{0, 0}, {-1, 5}, {huge, huge}, {huge, 1}, {1, huge}} {
			for _, width := range []int{-1, 0, 1, 12_000, 99_999} { // Validate refuses some
				p := Options{Width: width, Height: 7, Fit: fit}.Plan(size[0], size[1])
				if p.CanvasW < 1 || p.CanvasH < 1 || p.CanvasW > MaxOutputSide ||
					p.CanvasH > MaxOutputSide {
					t.Errorf("%s of %v: %+v", fit, size, p)
				}
			}
		}
	}
}

// TestMostPixels: whatever a trim of a border leaves of a picture, the pixels of its rendition are within the bound.
func TestMostPixels(t *testing.T) {
	t.Parallel()
	for _, size := range [][2]int{{1200, 900}, {900, 1200}, {300, 300}, {4000, 31}} {
		for _, fit := range fits {
			for _, box := range [][2]int{{0, 0}, {800, 0}, {0, 700}, {800, 700}, {1500, 40}} {
				for _, rotate := range []int{0, 90, 180, 270} {
					o := Options{Width: box[0], Height: box[1], Fit: fit, Rotate: rotate, Trim: Trim{Border: true}}
					most := o.MostPixels(size[0], size[1])
					for _, part := range [][2]int{{1, 1}, {1, 2}, {2, 1}, {9, 10}, {10, 9}, {1, 30}, {30, 1}} {
						left := o
						left.Trim = Trim{Width: max(1, size[0]/part[0]), Height: max(1, size[1]/part[1])}
						p := left.Plan(size[0], size[1])
						if made := int64(p.CanvasW) * int64(p.CanvasH); made > most {
							t.Errorf("%v, %s: %d pixels are made of %dx%d, at most %d were expected", size, o, made,
								left.Trim.Width, left.Trim.Height, most)
						}
					}
				}
			}
		}
	}
}

// TestTrimmedPlan: once a worker has found the edges of one colour, the Plan is that of what is left of the picture, and
// an enlargement has MaxTrimmedPixels at most.
func TestTrimmedPlan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		trim          Trim
		width, height int // of the options
		wantW, wantH  int
	}{
		{Trim{Border: true}, 4000, 0, 4000, 100}, // of the whole picture, before the worker has looked
		{Trim{Border: true, Left: 290}, 3464, 0, 3464, 3464},
		{Trim{Border: true, Left: 290}, 3465, 0, 3464, 3464},
		{Trim{Border: true, Left: 290}, 12_000, 12_000, 3464, 3464},
		{Trim{Left: 290}, 4000, 0, 4000, 4000},
		{Trim{Border: true, Left: 290}, 0, 0, 110, 110},
	} {
		w, h := 400, 10
		if c.width == 0 && c.height == 0 {
			h = 110
		}
		if c.width != 0 && c.trim.Left != 0 {
			w = 300
		}
		o := Options{Width: c.width, Height: c.height, Fit: Contain, Trim: c.trim}
		if p := o.Plan(w, h); p.CanvasW != c.wantW || p.CanvasH != c.wantH {
			t.Errorf("%+v of %d x %d: %d x %d, want %d x %d", o, w, h, p.CanvasW, p.CanvasH, c.wantW, c.wantH)
		}
	}
	large := Options{Fit: ScaleDown, Trim: Trim{Border: true, Top: 1}}
	if p := large.Plan(8000, 6001); p.CanvasW != 8000 || p.CanvasH != 6000 {
		t.Errorf("a picture that is not enlarged: %+v", p)
	}
}

// TestFramesOfAPlan: all frames together have MaxTransformPixels at most, and the bound for a trim of a border is not
// above that.
func TestFramesOfAPlan(t *testing.T) {
	t.Parallel()
	o := Options{Width: 1000, Fit: Contain, Trim: Trim{Border: true}}
	j := Job{Header: imagefile.Header{Format: imagefile.GIF, Width: 50, Height: 50, Orientation: 1, Frames: 20},
		Options: o, Format: imagefile.WebP}
	if err := checkJob(j); err != nil {
		t.Errorf("the whole picture has 20 million pixels: %v", err)
	}
	if most := j.mostPixels(); most != imagefile.MaxTransformPixels/20 {
		t.Errorf("a frame may have %d pixels", most)
	}
	for height, fits := range map[int]bool{2500: true, 2501: false} {
		err := j.CheckPlan(Plan{CanvasW: 1000, CanvasH: height})
		limit := new(imagefile.LimitError)
		if fits && err != nil || !fits && (!errors.As(err, &limit) || limit.Measured != 50_020_000) {
			t.Errorf("20 frames of 1000 x %d: %v", height, err)
		}
	}
	still := j
	if still.Options.Still = true; still.CheckPlan(Plan{CanvasW: 1000, CanvasH: 9000}) != nil || still.mostPixels() < 9e6 {
		t.Errorf("a still has the bound of an animation: %d", still.mostPixels())
	}
	j.Options.Width = 1582 // 1582 x 1582 x 20
	if err := checkJob(j); err == nil {
		t.Error("the whole picture has too many pixels, and is accepted")
	}
}
