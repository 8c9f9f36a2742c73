package vips

import "calotype/internal/imagefile"

// pad puts the picture on a canvas that is larger.
func (r *rendering) pad() error {
	p := r.plan
	if p.CanvasW == r.im.width() && p.CanvasH == r.im.height() {
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
		return r.im.embed(p.PadX, p.PadY, p.CanvasW, p.CanvasH, make([]float64, r.im.bands()))
	}
	if r.im.alpha() {
		colour = append(colour, opacity)
	}
	return r.im.embed(p.PadX, p.PadY, p.CanvasW, p.CanvasH, colour)
}
