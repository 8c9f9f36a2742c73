package vips

import "calotype/internal/imagefile"

// pad puts the picture on a canvas that is larger.
func (r *rendering) pad() error {
	p := r.plan
	if p.CanvasW == r.im.width() && p.CanvasH == r.im.height() {
		return nil
	}
	r.changed = true
	if r.im.alpha() && r.job.Options.Background == "" && r.job.Format != imagefile.JPEG {
		return r.im.embed(p.PadX, p.PadY, p.CanvasW, p.CanvasH, make([]float64, r.im.bands()))
	}
	fill, err := r.background()
	if err != nil {
		return err
	}
	if r.im.alpha() {
		fill = append(fill, 255)
	}
	return r.im.embed(p.PadX, p.PadY, p.CanvasW, p.CanvasH, fill)
}
