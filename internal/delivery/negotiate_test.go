package delivery

import (
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
)

func TestAcceptNames(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"image/webp": true,
		"image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8": true,
		"image/avif, image/webp;q=0.5":                                     true,
		"IMAGE/WebP":                                                       true,
		"image/webp ; Q=1.0":                                               true,
		"image/webp;q=0.001":                                               true,
		"\timage/webp\t":                                                   true,
		"image/webp;level=1;q=0.3":                                         true,
		`image/webp;x="a;q=0"`:                                             true,
		`text/x;a="\"," , image/webp`:                                      true,
		"image/webp;q=0, image/webp":                                       true,
		"":                                                                 false,
		"*/*":                                                              false,
		"image/*":                                                          false,
		"image/png,image/*;q=0.8,*/*;q=0.5":                                false,
		"image/webp;q=0":                                                   false,
		"image/webp;q=0.000":                                               false,
		"image/webp; q=0":                                                  false,
		"image/webp;q=":                                                    false,
		"image/webp;q=x":                                                   false,
		"image/webp;q=-1":                                                  false,
		"image/webp;q=1e3":                                                 false,
		"image/webp;q=NaN":                                                 false,
		"image/webp;q=inf":                                                 false,
		"image/webp;q=1.0.0":                                               false,
		"image/webp;q=.":                                                   false,
		"image/webpx":                                                      false,
		"ximage/webp":                                                      false,
		"image/webp/2":                                                     false,
		`text/x;a="b,image/webp,c"`:                                        false,
		`text/x;a="b,image/webp`:                                           false,
		strings.Repeat("a/b,", 1024) + "image/webp":                        false,
	} {
		if got := acceptNames([]string{accept}, "image/webp"); got != want {
			t.Errorf("%.60q: got %v", accept, got)
		}
	}
	if !acceptNames([]string{"image/png", "image/webp"}, "image/webp") {
		t.Error("the second line of a header was not read")
	}
	if acceptNames(nil, "image/webp") {
		t.Error("no header names a type")
	}
}

// FuzzAccept: no header makes us serve a kind that it does not spell out, and what surrounds an
// element does not change what it says.
func FuzzAccept(f *testing.F) {
	for _, accept := range []string{
		"image/avif,image/webp;q=0.8,*/*", `a/b;c="d,\"e`, ";;q=,=", "image/webp;q=0.0",
	} {
		f.Add(accept)
	}
	f.Fuzz(func(t *testing.T, accept string) {
		named := acceptNames([]string{accept}, "image/webp")
		if named && !strings.Contains(strings.ToLower(accept), "image/webp") {
			t.Errorf("%q names image/webp?", accept)
		}
		if len(accept) > maxAccept/2 {
			return
		}
		if !acceptNames([]string{"image/webp", accept}, "image/webp") {
			t.Errorf("image/webp is not found before %q", accept)
		}
		if !strings.ContainsAny(accept, `"`) &&
			acceptNames([]string{accept, "a/b;q=1"}, "image/webp") != named {
			t.Errorf("%q says another thing before a/b", accept)
		}
	})
}

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
