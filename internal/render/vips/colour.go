package vips

// #include "shim.h"
import "C"

import (
	"fmt"
	"strconv"

	"calotype/internal/render"
)

// iccField holds the colour profile of a file.
const iccField = "icc-profile-data"

// colour converts to 8-bit sRGB or grey. It comes after resize, when there are few pixels left. A
// profile that cannot be used is ignored, as browsers do.
func (r *rendering) colour() error {
	cmyk := r.im.space() == C.VIPS_INTERPRETATION_CMYK
	if cmyk || r.im.has(iccField) {
		fallback := "srgb"
		if cmyk {
			fallback = "cmyk"
		}
		if err := r.im.iccToSRGB(fallback); err != nil {
			r.im.own()
			r.im.remove(iccField)
			if cmyk {
				if err := r.im.iccToSRGB(fallback); err != nil {
					return err
				}
			}
		}
	}
	return r.toEightBits()
}

func (r *rendering) toEightBits() error {
	space := C.VipsInterpretation(C.VIPS_INTERPRETATION_sRGB)
	if r.im.bands() < 3 {
		space = C.VIPS_INTERPRETATION_B_W
	}
	if r.im.space() == space && r.im.format() == C.VIPS_FORMAT_UCHAR {
		return nil
	}
	return r.im.toSpace(space)
}

// background returns the colour under transparency and around a pad, as many values as the image
// has colour bands. A coloured background makes a grey image coloured.
func (r *rendering) background() ([]float64, error) {
	colour := []float64{255, 255, 255}
	if b := r.job.Options.Background; b != "" {
		n, err := strconv.ParseUint(b[1:], 16, 32)
		if b[0] != '#' || len(b) != 7 || err != nil {
			return nil, fmt.Errorf("%w: background %q is not #rrggbb", render.ErrEncode, b)
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

// flatten puts the picture on a background where transparency is not wanted or cannot be kept.
func (r *rendering) flatten() error {
	if !r.im.alpha() || r.job.Format != render.JPEG && r.job.Options.Background == "" {
		return nil
	}
	background, err := r.background()
	if err != nil {
		return err
	}
	return r.im.flatten(background)
}
