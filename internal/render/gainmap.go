package render

import (
	"fmt"
	"math"
	"os"
	"time"

	"calotype/internal/imagefile"
)

// KeepsGainMap reports whether the rendition has the gain map of its original, if that has one: both are JPEGs, the
// picture fills the rendition, and no effect changes the tones to which the gains refer.
func (j Job) KeepsGainMap() bool {
	o := &j.Options
	if !j.HDR || j.Header.Format != imagefile.JPEG || j.Format != imagefile.JPEG || o.Blur != 0 ||
		o.Brightness != 0 || o.Contrast != 0 || o.Gamma != 0 || o.Saturation != 0 {
		return false
	}
	return o.Plan(j.Header.Shown()).Filled()
}

// Filled reports whether nothing is drawn around the picture.
func (p Plan) Filled() bool { return p.CropW == p.CanvasW && p.CropH == p.CanvasH }

const (
	// gainMapScale is the size of a gain map relative to its rendition, if the original has that many pixels.
	gainMapScale = 0.5
	// minGainMapSide is the length to which the shorter side of a map is enlarged, in pixels. The sides of a smaller
	// map would differ from the proportions of the rendition by more than a percent.
	minGainMapSide = 128
)

// A GainMapPlan is the geometry of the gain map of a rendition, in the orientation of the stored picture: which part of
// the map in the original is visible, in its pixels, and the size to which it is scaled.
type GainMapPlan struct {
	X, Y, W, H     float64
	ScaleW, ScaleH int
}

// GainMap returns the geometry of a gain map of w x h pixels. stored is the header of the original, which is shown in
// an orientation.
func (p Plan) GainMap(w, h int, stored imagefile.Header, orientation int) (g GainMapPlan) {
	shownW, shownH := stored.Width, stored.Height
	if orientation >= 5 {
		shownW, shownH = shownH, shownW
	}
	cut := Rect{p.CutX, p.CutY, p.CutW, p.CutH}
	if p.CutW == 0 || p.CutH == 0 {
		cut = Rect{W: shownW, H: shownH}
	}
	const unit = 1 << 16 // parts of a pixel
	at := func(cut, crop, cutSide, scaled int) int { return cut*unit + crop*cutSide*unit/scaled }
	part := Rect{at(cut.X, p.CropX, cut.W, p.ScaleW), at(cut.Y, p.CropY, cut.H, p.ScaleH),
		at(0, p.CropW, cut.W, p.ScaleW), at(0, p.CropH, cut.H, p.ScaleH)}
	part = part.TurnBack(orientation, shownW*unit, shownH*unit)
	x, y := float64(w)/float64(stored.Width*unit), float64(h)/float64(stored.Height*unit)
	g.X, g.Y, g.W, g.H = x*float64(part.X), y*float64(part.Y), x*float64(part.W), y*float64(part.H)

	width, height := float64(p.CropW), float64(p.CropH)
	if orientation >= 5 {
		width, height = height, width
	}
	scale := min(gainMapScale, max(g.W/width, g.H/height))
	scale = max(scale, min(1, minGainMapSide/min(width, height)))
	g.ScaleW, g.ScaleH = max(1, int(math.Round(width*scale))), max(1, int(math.Round(height*scale)))
	return g
}

// Shrink returns the factor by which a decoder may shrink the map: 1, 2, 4 or 8.
func (g GainMapPlan) Shrink() int {
	s := 8
	for s > 1 && (g.W < float64(2*s*g.ScaleW) || g.H < float64(2*s*g.ScaleH)) {
		s /= 2
	}
	return s
}

// withGainMap finds the gain map of a job's original. The job has none if the map would need more memory than a job
// may have.
func (p *Pool) withGainMap(j Job, in *os.File, size int64) (Job, error) {
	j.GainMap = nil
	if !j.KeepsGainMap() {
		return j, nil
	}
	found, err := imagefile.FindGainMap(in, size)
	if err != nil {
		return j, fmt.Errorf("looking for a gain map: %w", err)
	}
	with := j
	with.GainMap = found
	if p.checkJobMemory(renderCost(with).withFile(size)) != nil {
		return j, nil
	}
	return with, nil
}

// gainMapPixels is the memory of the pixels of a gain map, which are all in memory.
var gainMapPixels = memory{3, 3}

// gainMapCost estimates the memory of rendering a gain map of a rendition of made pixels.
func gainMapCost(m *imagefile.GainMap, made int64) memory {
	if m == nil {
		return memory{}
	}
	return examineCost(m.Header).plus(gainMapPixels.times(m.Header.Pixels())).
		plus(encodeCost[imagefile.JPEG].plus(turnCost).times(made / 4))
}

// gainMapTime estimates the CPU time of rendering a gain map of a rendition of made pixels.
func gainMapTime(m *imagefile.GainMap, made int64) time.Duration {
	if m == nil {
		return 0
	}
	return examineTime(m.Header) + time.Duration(float64(made)/4*encodeTime[imagefile.JPEG])
}

// checkGainMap compares the gain map of a rendition, if there is one, with that of its original.
func checkGainMap(out *os.File, size int64, j Job, h imagefile.Header) error {
	if j.GainMap == nil {
		return nil
	}
	made, err := imagefile.FindGainMap(out, size)
	if err != nil {
		return fmt.Errorf("reading the gain map of a rendition: %w", err)
	}
	if made == nil {
		return nil // that of the original is damaged
	}
	if m := made.Header; made.Gain != j.GainMap.Gain || m.Width > h.Width || m.Height > h.Height {
		return fmt.Errorf("%w: the gain map of the output is %dx%d, or means other gains than in the original",
			ErrWorker, m.Width, m.Height)
	}
	return nil
}
