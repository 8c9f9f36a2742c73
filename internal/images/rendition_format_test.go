package images_test

import (
	"testing"

	"calotype/internal/images"
	"calotype/internal/render"
)

// TestFormatOfLargeAnimation: an animation too large to transform stays what it is where all of its
// frames are asked for; its first frame is made as of any other.
func TestFormatOfLargeAnimation(t *testing.T) {
	t.Parallel()
	large := render.Header{Format: render.GIF, Width: 1000, Height: 1000, Frames: 51}
	small := large
	small.Frames = 50
	for _, c := range []struct {
		h           render.Header
		still       bool
		asked, made render.Format
	}{
		{large, false, render.WebP, render.GIF}, {large, false, render.GIF, render.GIF},
		{large, true, render.WebP, render.WebP}, {large, true, render.GIF, render.GIF},
		{large, false, render.PNG, render.PNG}, {large, false, render.JPEG, render.JPEG},
		{small, false, render.WebP, render.WebP},
	} {
		r := images.Resolved{Image: images.Image{Original: &images.Original{Header: c.h}}}
		r.Variant.Options.Still = c.still
		if got := r.MadeFormat(c.asked); got != c.made {
			t.Errorf("%d frames, still %v, as %s: %s is made", c.h.Frames, c.still, c.asked, got)
		}
	}
}
