package delivery

import (
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
)

func TestKindsOfFile(t *testing.T) {
	t.Parallel()
	still := func(f imagefile.Format, alpha bool) *images.Original {
		return &images.Original{Header: imagefile.Header{Format: f, Frames: 1}, Alpha: alpha}
	}
	moving := func(f imagefile.Format) *images.Original {
		return &images.Original{Header: imagefile.Header{Format: f, Frames: 7}}
	}
	for _, c := range []struct {
		original *images.Original
		stopped  bool
		want     imagefile.Format
	}{
		{still(imagefile.JPEG, false), false, imagefile.JPEG},
		{still(imagefile.PNG, false), false, imagefile.PNG},
		{still(imagefile.PNG, true), false, imagefile.PNG},
		{still(imagefile.WebP, false), false, imagefile.JPEG},
		{still(imagefile.WebP, true), false, imagefile.PNG},
		{still(imagefile.GIF, false), false, imagefile.JPEG},
		{still(imagefile.GIF, true), false, imagefile.PNG},
		{still(imagefile.HEIC, false), false, imagefile.JPEG},
		{still(imagefile.AVIF, false), false, imagefile.JPEG},
		{still(imagefile.AVIF, true), false, imagefile.PNG},
		{moving(imagefile.GIF), false, imagefile.GIF},
		{moving(imagefile.WebP), false, imagefile.GIF},
		{moving(imagefile.GIF), true, imagefile.JPEG},
	} {
		if got := fallback(c.original, render.Options{Still: c.stopped}); got != c.want {
			t.Errorf("%+v, still %v: got %s, want %s", c.original, c.stopped, got, c.want)
		}
	}
	clear := render.Options{Fit: render.Pad, Width: 9, Height: 9, Background: "#00000000"}
	if got := fallback(still(imagefile.JPEG, false), clear); got != imagefile.PNG {
		t.Errorf("a transparent pad: got %s", got)
	}
	clear.Height = 0 // no pad
	if got := fallback(still(imagefile.JPEG, false), clear); got != imagefile.JPEG {
		t.Errorf("a transparent background without a pad: got %s", got)
	}
}
