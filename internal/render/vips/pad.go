package vips

import (
	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// pad puts the picture on a canvas that is larger.
func (r *rendering) pad() error {
	p, e := r.plan, r.plan.Edges
	x, y, w, h := p.PadX-e.Left, p.PadY-e.Top, p.CanvasW-e.Left-e.Right, p.CanvasH-e.Top-e.Bottom
	if w == r.im.width() && h == r.im.height() {
		return nil
	}
	r.changed = true
	if r.im.alpha() && r.job.Options.Background == "" && r.job.Format != imagefile.JPEG {
		return r.im.embed(x, y, w, h, make([]float64, r.im.bands()))
	}
	fill, err := r.background()
	if err != nil {
		return err
	}
	if r.im.alpha() {
		fill = append(fill, 255)
	}
	return r.im.embed(x, y, w, h, fill)
}

// border draws edges around the finished picture.
func (r *rendering) border() error {
	e := r.plan.Edges
	if e == (render.Edges{}) {
		return nil
	}
	r.changed = true
	fill, err := r.fill(r.job.Options.Border.Color)
	if err != nil {
		return err
	}
	if r.im.alpha() {
		fill = append(fill, 255)
	}
	return r.im.embed(e.Left, e.Top, r.plan.CanvasW, r.plan.CanvasH, fill)
}
