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
	colour, opacity, err := r.background()
	if err != nil || opacity == 0 {
		return err
	}
	r.changed = true
	if opacity < 255 {
		return r.im.under(colour, opacity)
	}
	return r.im.flatten(colour)
}

// background returns the colour under transparency and around a pad, as fill does.
func (r *rendering) background() (colour []float64, opacity float64, err error) {
	return r.fill(r.job.Options.Background)
}

// fill returns a colour of the form #rrggbb or #rrggbbaa, "" for white, as many values as the image has colour bands,
// and its opacity, from 0 to 255. It is opaque in a format without transparency: there it is drawn on white. A colour
// other than grey makes a grey image coloured.
func (r *rendering) fill(b string) (colour []float64, opacity float64, err error) {
	colour, opacity = []float64{255, 255, 255}, 255
	if b != "" {
		if colour, opacity, err = parseColour(b); err != nil {
			return nil, 0, err
		}
	}
	if r.job.Format == imagefile.JPEG && opacity < 255 {
		for i, v := range colour {
			colour[i] = 255 + (v-255)*opacity/255
		}
		opacity = 255
	}
	if r.im.bands() >= 3 {
		return colour, opacity, nil
	}
	if opacity == 0 || colour[0] == colour[1] && colour[1] == colour[2] {
		return colour[:1], opacity, nil
	}
	return colour, opacity, r.im.toSpace(C.SPACE_SRGB)
}

// parseColour parses #rrggbb or #rrggbbaa.
func parseColour(b string) (colour []float64, opacity float64, err error) {
	digits := b[1:]
	if len(digits) == 6 {
		digits += "ff"
	}
	n, err := strconv.ParseUint(digits, 16, 32)
	if b[0] != '#' || len(digits) != 8 || err != nil {
		return nil, 0, fmt.Errorf("%w: colour %q is neither #rrggbb nor #rrggbbaa", render.ErrEncode, b)
	}
	return []float64{float64(n >> 24), float64(n >> 16 & 255), float64(n >> 8 & 255)}, float64(n & 255), nil
}
