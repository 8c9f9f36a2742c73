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
	colour, opacity, err := r.background()
	if err != nil {
		return err
	}
	if opacity < 255 && !r.im.alpha() {
		if err := r.im.addAlpha(); err != nil {
			return err
		}
	}
	if r.im.alpha() && (opacity < 255 || r.job.Options.Background == "" && r.job.Format != imagefile.JPEG) {
		// flatten draws all of it on the background, if there is one.
		return r.im.embed(x, y, w, h, make([]float64, r.im.bands()))
	}
	if r.im.alpha() {
		colour = append(colour, opacity)
	}
	return r.im.embed(x, y, w, h, colour)
}

// border draws edges around the finished picture.
func (r *rendering) border() error {
	e := r.plan.Edges
	if e == (render.Edges{}) {
		return nil
	}
	r.changed = true
	colour, opacity, err := r.fill(r.job.Options.Border.Color)
	if err != nil {
		return err
	}
	if r.im.alpha() {
		colour = append(colour, opacity)
	}
	return r.im.embed(e.Left, e.Top, r.plan.CanvasW, r.plan.CanvasH, colour)
}
