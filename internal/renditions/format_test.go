package renditions_test

import (
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/renditions"
)

// TestFormatOfLargeAnimation: an animation too large to transform stays what it is where all of its
// frames are asked for; its first frame is made as of any other.
func TestFormatOfLargeAnimation(t *testing.T) {
	t.Parallel()
	large := imagefile.Header{Format: imagefile.GIF, Width: 1000, Height: 1000, Frames: 51}
	small := large
	small.Frames = 50
	for _, c := range []struct {
		h           imagefile.Header
		still       bool
		asked, made imagefile.Format
	}{
		{large, false, imagefile.WebP, imagefile.GIF}, {large, false, imagefile.GIF, imagefile.GIF},
		{large, true, imagefile.WebP, imagefile.WebP}, {large, true, imagefile.GIF, imagefile.GIF},
		{large, false, imagefile.PNG, imagefile.PNG}, {large, false, imagefile.JPEG, imagefile.JPEG},
		{small, false, imagefile.WebP, imagefile.WebP},
	} {
		r := renditions.Resolved{Image: images.Image{Original: &images.Original{Header: c.h}}}
		r.Variant.Options.Still = c.still
		if got := r.MadeFormat(c.asked); got != c.made {
			t.Errorf("%d frames, still %v, as %s: %s is made", c.h.Frames, c.still, c.asked, got)
		}
	}
}
