package vips

// #include "shim.h"
import "C"

import (
	"fmt"
	"strconv"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// flatten draws the picture on a background if transparency is not wanted or not supported by the format.
func (r *rendering) flatten() error {
	if !r.im.alpha() || r.job.Format != imagefile.JPEG && r.job.Options.Background == "" {
		return nil
	}
	r.changed = true
	background, err := r.background()
	if err != nil {
		return err
	}
	return r.im.flatten(background)
}

// background returns the colour under transparency and around a pad.
func (r *rendering) background() ([]float64, error) { return r.fill(r.job.Options.Background) }

// fill returns a colour of the form #rrggbb, "" for white, as many values as the image has colour bands. A colour
// other than grey makes a grey image coloured.
func (r *rendering) fill(b string) ([]float64, error) {
	colour := []float64{255, 255, 255}
	if b != "" {
		n, err := strconv.ParseUint(b[1:], 16, 32)
		if b[0] != '#' || len(b) != 7 || err != nil {
			return nil, fmt.Errorf("%w: colour %q is not #rrggbb", render.ErrEncode, b)
		}
		colour = []float64{float64(n >> 16), float64(n >> 8 & 255), float64(n & 255)}
	}
	if r.im.bands() >= 3 {
		return colour, nil
	}
	if colour[0] == colour[1] && colour[1] == colour[2] {
		return colour[:1], nil
	}
	return colour, r.im.toSpace(C.VIPS_INTERPRETATION_sRGB)
}
