package imagefile

import (
	"errors"
	"testing"
)

func TestLimitsCheck(t *testing.T) {
	t.Parallel()
	still := func(f Format, w, h int) Header {
		return Header{Format: f, Width: w, Height: h, Frames: 1}
	}
	anim := func(w, h, frames int) Header {
		return Header{Format: GIF, Width: w, Height: h, Frames: frames}
	}
	hidden := still(HEIC, 10, 10)
	hidden.MaxPixels = 50_400_001
	const heif = "; at most 50400000 are allowed"
	const side, pixels = "; at most 12000 are allowed", "; at most 100000000 are allowed"
	for _, c := range []struct {
		name string
		h    Header
		want string // "" is within all limits
	}{
		{"as wide as can be", still(PNG, 12_000, 1), ""},
		{"one wider", still(PNG, 12_001, 1), "the picture is 12001 pixels wide" + side},
		{"as high as can be", still(PNG, 1, 12_000), ""},
		{"one higher", still(PNG, 1, 12_001), "the picture is 12001 pixels high" + side},
		{"the most pixels", still(JPEG, 10_000, 10_000), ""},
		{"a row more", still(JPEG, 10_000, 10_001), "the picture has 100010000 pixels" + pixels},
		{"the largest HEIC", still(HEIC, 10_000, 5040), ""},
		{"as large as a phone's", still(HEIC, 8192, 6144), ""},
		{"a larger HEIC", still(HEIC, 10_000, 5041), "the picture has 50410000 pixels" + heif},
		{"a larger AVIF", still(AVIF, 10_000, 5041), "the picture has 50410000 pixels" + heif},
		{"a large picture in a small one", hidden,
			"the file holds a picture of 50400001 pixels" + heif},
		{"the most frames", anim(1, 1, 4096), ""},
		{"a frame more", anim(1, 1, 4097),
			"the animation has 4097 frames; at most 4096 are allowed"},
		{"the largest animation", anim(1000, 1000, 100), ""},
		{"a larger animation", anim(1000, 1000, 101),
			"the animation has 101000000 pixels, all frames together" + pixels},
		{"tiny frames on a vast canvas", anim(10_000, 10_000, 500),
			"the animation has 50000000000 pixels, all frames together" + pixels},
	} {
		err := DefaultLimits.Check(c.h)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		var limit *LimitError
		if err != nil && (!errors.As(err, &limit) || limit.Measured <= limit.Allowed) {
			t.Errorf("%s: got %#v", c.name, err)
		}
	}
}

func TestLimitsCheckEmpty(t *testing.T) {
	t.Parallel()
	for _, h := range []Header{
		{Format: PNG, Height: 1, Frames: 1}, {Format: PNG, Width: 1, Frames: 1},
		{Format: PNG, Width: 1, Height: 1},
	} {
		if err := DefaultLimits.Check(h); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: got %v", h, err)
		}
	}
}

func TestLimitErrorOfOthers(t *testing.T) {
	t.Parallel()
	err := &LimitError{What: "colours", Measured: 3, Allowed: 2}
	if got, want := err.Error(), "too many colours: 3; at most 2 are allowed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
