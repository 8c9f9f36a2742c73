package delivery_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/delivery"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// eagerHost returns a host that renders images eagerly.
func eagerHost(t *testing.T, negotiate bool, variants, formats string) *host {
	t.Helper()
	return eagerHostWith(t, delivery.Config{Negotiate: negotiate}, variants, formats)
}

// eagerHostWith completes c.
func eagerHostWith(t *testing.T, c delivery.Config, variants, formats string) *host {
	t.Helper()
	core := imagestest.Open(t, images.Config{Render: imagestest.EagerPool(t, 2)}, filepath.Join(t.TempDir(), "calotype.db"))
	c.Renditions = core.Renditions
	if err := delivery.StartEager(c, variants, formats); err != nil {
		t.Fatal(err)
	}
	return newHostWith(t, core, c)
}

// rendered waits until n renditions were rendered eagerly.
func (h *host) rendered(n int64) {
	h.t.Helper()
	for range 3000 {
		s := h.core.Renditions.Stats().Eager
		if s.Renditions[0] == n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	h.t.Fatalf("%+v, want %d renditions", h.core.Renditions.Stats().Eager, n)
}

// The Accept headers of a browser, of an older one, and of other clients.
const (
	newBrowser = "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5"
	oldBrowser = "image/webp,image/*;q=0.8,*/*;q=0.5"
	noBrowser  = "*/*"
)

// TestEagerFormats: what browsers request first is in the cache, and each rendition was rendered once.
func TestEagerFormats(t *testing.T) {
	t.Parallel()
	type view struct {
		variant, accept string
		want            imagefile.Format
	}
	all := []view{
		{"public", newBrowser, imagefile.AVIF}, {"public", oldBrowser, imagefile.WebP}, {"public", noBrowser, imagefile.JPEG},
		{"small", newBrowser, imagefile.AVIF}, {"small", oldBrowser, imagefile.WebP}, {"small", noBrowser, imagefile.JPEG},
		{"jpeg", newBrowser, imagefile.JPEG}, {"jpeg", noBrowser, imagefile.JPEG}, // one rendition
	}
	for name, c := range map[string]struct {
		negotiate         bool
		variants, formats string
		hits              []view
		renditions        int64
	}{
		"all variants and formats": {true, "all", "avif,webp,fallback", all, 7},
		"one variant":              {true, "small, other", "avif,webp,fallback", all[3:6], 3},
		"one format":               {true, "public,small,json", " webp", []view{all[1], all[4]}, 2},
		"without negotiation": {false, "public,jpeg", "avif,webp,fallback", []view{
			{"public", newBrowser, imagefile.JPEG}, {"jpeg", newBrowser, imagefile.JPEG}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := eagerHost(t, c.negotiate, c.variants, c.formats)
			h.variant("small", "width=20", false)
			h.variant("jpeg", "width=30,format=jpeg", false)
			h.variant("json", "width=30,format=json", false)
			h.variant("nothing", "width=30,trim=0;40;0;40", false) // leaves nothing of a picture of 64 x 48 pixels
			img := h.upload(imagestest.JPEG(t, 1), "", false)
			h.rendered(c.renditions)
			for _, v := range c.hits {
				h.served("/"+h.hash+"/"+img.ID+"/"+v.variant, v.want, "Accept", v.accept)
			}
			if s := h.core.Renditions.Stats(); s.Misses != 0 || s.Files != c.renditions {
				t.Errorf("the first views had %d misses; %d files are in the cache, want %d", s.Misses, s.Files, c.renditions)
			}
			// An SVG is not rendered.
			h.upload([]byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>`), "", false)
			h.upload(imagestest.JPEG(t, 2), "", true)
			h.rendered(2 * c.renditions)
			if n := h.renditions(); int64(n) != 2*c.renditions {
				t.Errorf("%d files, want %d", n, 2*c.renditions)
			}
		})
	}
}

// TestParseEager: what -eager and -eager-formats may be.
func TestParseEager(t *testing.T) {
	t.Parallel()
	const formats = "avif,webp,fallback"
	for _, c := range []struct {
		variants, formats string
		on, all           bool
		kinds             int
		refused           string
	}{
		{"", formats, false, false, 3, ""},
		{" , ", formats, false, false, 3, ""},
		{"all", formats, true, true, 3, ""},
		{"public,thumb", "fallback,avif,avif", true, false, 2, ""},
		{strings.Repeat("a", 99), "webp", true, false, 1, ""},
		{strings.Repeat("a", 100), "webp", false, false, 0, "-eager has"},
		{"public;thumb", formats, false, false, 0, "public,thumb"},
		{"w=400", formats, false, false, 0, "-eager has"},
		{"all", "", false, false, 0, "avif,webp,fallback"},
		{"all", "avif,jpeg", false, false, 0, "avif,webp,fallback"},
		{"", "jxl", false, false, 0, "avif,webp,fallback"},
	} {
		on, kinds, e, err := delivery.ParseEager(c.variants, c.formats)
		if on != c.on || e.All != c.all || len(kinds) != c.kinds || (err != nil) != (c.refused != "") {
			t.Errorf("%q, %q: %v, %+v, %q, %v", c.variants, c.formats, on, e, kinds, err)
		}
		if err != nil && (errs.AsError(err).Kind != errs.Invalid || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%q, %q: %v, want %q in it", c.variants, c.formats, err, c.refused)
		}
	}
}
