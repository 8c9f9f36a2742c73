package vips

import "calotype/internal/render"

// cutPart returns the part of the stored picture that the rendition shows, in pixels of the original.
func (r *rendering) cutPart() render.Rect {
	p, h := r.plan, r.job.Header
	if p.CutW == 0 || p.CutH == 0 {
		return render.Rect{W: h.Width, H: h.Height}
	}
	w, hh := h.Width, h.Height
	if r.orientation >= 5 {
		w, hh = hh, w
	}
	return render.Rect{X: p.CutX, Y: p.CutY, W: p.CutW, H: p.CutH}.TurnBack(r.orientation, w, hh)
}

// cut crops a picture before the resize: what is trimmed, and what would be cropped after the resize if that is most
// of a large picture. A decoder shrinks only if the part begins and ends at whole pixels nevertheless: see shrink.
func (r *rendering) cut() error {
	if r.plan.CutW == 0 || r.plan.CutH == 0 {
		return nil
	}
	c, s := r.cutPart(), r.shrunk
	r.changed = true
	return r.im.crop(c.X/s, c.Y/s, c.W/s, c.H/s)
}

// crop is before turn, which needs its input in memory.
func (r *rendering) crop() error {
	p := r.plan
	if p.CropX == 0 && p.CropY == 0 && p.CropW == p.ScaleW && p.CropH == p.ScaleH {
		return nil
	}
	c := render.Rect{X: p.CropX, Y: p.CropY, W: p.CropW, H: p.CropH}.TurnBack(r.orientation, p.ScaleW, p.ScaleH)
	r.changed = true
	return r.im.crop(c.X, c.Y, c.W, c.H)
}
