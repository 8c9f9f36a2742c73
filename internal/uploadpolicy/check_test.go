package uploadpolicy_test

import (
	"errors"
	"net/url"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/uploadpolicy"
)

func parse(t *testing.T, text string) uploadpolicy.Policy {
	t.Helper()
	p, err := uploadpolicy.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return p
}

// TestCheck has a picture at each bound, and one beyond it with the message. The pictures are not drawn: e2e has real
// ones.
func TestCheck(t *testing.T) {
	t.Parallel()
	pic := func(f imagefile.Format, w, h, frames int) uploadpolicy.Picture {
		return uploadpolicy.Picture{Format: f, Width: w, Height: h, Frames: frames}
	}
	for _, c := range []struct {
		policy  string
		picture uploadpolicy.Picture
		want    string // "" if it is accepted
	}{
		{`{}`, pic(imagefile.SVG, 1_000_000, 1, 1), ""},
		{`{"formats":["heic"]}`, pic(imagefile.HEIC, 1, 1, 1), ""},
		{`{"formats":["heic"]}`, pic(imagefile.AVIF, 1, 1, 1), "AVIF is not accepted here; HEIC is"},
		{`{"formats":["jpeg","png","webp","avif","heic","svg"]}`, pic(imagefile.GIF, 1, 1, 1),
			"GIF is not accepted here; JPEG, PNG, WebP, AVIF, HEIC or SVG are"},
		{`{"animated":false}`, pic(imagefile.WebP, 1, 1, 1), ""},
		{`{"animated":false}`, pic(imagefile.WebP, 1, 1, 4096),
			"The picture is an animation of 4096 frames; only still pictures are accepted here"},
		{`{"maxPixels":1000000000000}`, pic(imagefile.SVG, 1_000_000, 1_000_000, 1), ""},
		{`{"maxPixels":999999999999}`, pic(imagefile.SVG, 1_000_000, 1_000_000, 1),
			"The picture has 1000000000000 pixels (1000000 x 1000000); at most 999999999999 are accepted here"},
		{`{"aspectRatio":["16:9","16:9"]}`, pic(imagefile.PNG, 1920, 1080, 1), ""},
		{`{"aspectRatio":["16:9","16:9"]}`, pic(imagefile.PNG, 12_000, 6750, 1), ""},
		{`{"aspectRatio":["16:9","16:9"]}`, pic(imagefile.PNG, 12_000, 6751, 1), "The picture is 12000 x 6751 pixels: its " +
			"width / height is 1.7775; at least 1.7778 is accepted here"},
		{`{"aspectRatio":{"min":0.3333333333333333}}`, pic(imagefile.PNG, 1, 3, 1), ""},
		{`{"aspectRatio":{"min":0.3333333333333334}}`, pic(imagefile.PNG, 1, 3, 1), "The picture is 1 x 3 pixels: its " +
			"width / height is 0.3333333333333333; at least 0.3333333333333334 is accepted here"},
		// Several keys: the first one of a fixed order.
		{`{"formats":["png"],"animated":false,"maxWidth":1}`, pic(imagefile.GIF, 9, 9, 2), "GIF is not accepted here; PNG is"},
	} {
		err := parse(t, c.policy).Check(c.picture)
		refusal := new(uploadpolicy.Refusal)
		got := ""
		if errors.As(err, &refusal) {
			got = refusal.Error()
		}
		if got != c.want || (err == nil) != (c.want == "") {
			t.Errorf("%s, %+v: %v\nwant %s", c.policy, c.picture, err, c.want)
		}
	}
}

// TestOversize: the message has the size of the file if it is known.
func TestOversize(t *testing.T) {
	t.Parallel()
	p := parse(t, `{"maxBytes":2097152}`)
	if got := p.Oversize(0).Error(); got != "The file is larger than the 2 MiB (2097152 bytes) accepted here" {
		t.Error(got)
	}
	p = parse(t, `{"maxBytes":2097153}`)
	if got := p.Oversize(9e9).Error(); got != "The file has 9000000000 bytes, and is larger than the 2097153 bytes "+
		"accepted here" {
		t.Error(got)
	}
}

func TestAllowsOrigin(t *testing.T) {
	t.Parallel()
	some := parse(t, `{"origins":["https://a.example","http://b.example:8080"]}`)
	for origin, want := range map[string]bool{
		"": true, "https://a.example": true, "http://b.example:8080": true,
		"http://a.example": false, "https://a.example:443": false, "https://a.example:8443": false, "http://b.example": false,
		"https://A.example": false, "https://a.example/": false, "https://x.a.example": false, "null": false, "*": false,
		"https://a.example, https://evil.example": false, " ": false,
	} {
		if some.AllowsOrigin(origin) != want {
			t.Errorf("%q: %v", origin, !want)
		}
		for _, all := range []string{`{}`, `{"origins":"*"}`} {
			if !parse(t, all).AllowsOrigin(origin) {
				t.Errorf("%s refuses %q", all, origin)
			}
		}
	}
}

// TestRedirectTo: the query of the address stays, and the fragment is last.
func TestRedirectTo(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"https://a.example":               "https://a.example?id=x%2Fy+%26&status=ok",
		"https://a.example/d":             "https://a.example/d?id=x%2Fy+%26&status=ok",
		"http://a.example:8080/d?b=%20c":  "http://a.example:8080/d?b=%20c&id=x%2Fy+%26&status=ok",
		"https://a.example/d#/route?q":    "https://a.example/d?id=x%2Fy+%26&status=ok#/route?q",
		"https://a.example/?a#b":          "https://a.example/?a&id=x%2Fy+%26&status=ok#b",
		"https://xn--bcher-kva.example/%": "",
	} {
		p, err := uploadpolicy.Parse([]byte(`{"redirect":"` + to + `"}`))
		if err != nil {
			if want != "" {
				t.Errorf("%s: %v", to, err)
			}
			continue
		}
		got := p.RedirectTo("x/y &", "ok")
		u, err := url.Parse(got)
		if got != want || err != nil || u.Query().Get("id") != "x/y &" || u.Query().Get("status") != "ok" {
			t.Errorf("%s: %s, %v\nwant %s", to, got, err, want)
		}
	}
}
