package vips

import (
	"fmt"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// canvas pads a frame to the size in the header. libvips uses the extent of a GIF's frames instead of
// its canvas.
func (r *rendering) canvas() error {
	h, w, hh := r.job.Header, r.im.width(), r.im.height()
	if w == h.Width && hh == h.Height {
		return nil
	}
	switch h.Format {
	case imagefile.GIF:
		r.alpha = true
		if !r.im.alpha() {
			if err := r.im.addAlpha(); err != nil {
				return err
			}
		}
		return r.im.embed(0, 0, h.Width, h.Height, make([]float64, r.im.bands()))
	case imagefile.JPEG, imagefile.WebP:
		// Shrunk by the decoder, which may round either way.
		s := r.shrunk
		if s > 1 && near(w, h.Width, s) && near(hh, h.Height, s) {
			return nil
		}
	}
	return fmt.Errorf("%w: the decoder found %dx%d pixels and the header says %dx%d",
		render.ErrUndecodable, w, hh, h.Width, h.Height)
}

func near(got, full, shrink int) bool {
	return got >= full/shrink && got <= (full+shrink-1)/shrink
}
