package renditions_test

import (
	"path/filepath"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/qualities"
	"calotype/internal/render"
	"calotype/internal/renditions"
)

// settled settles the quality of an image in a width.
func settled(
	t *testing.T, core *imagestest.Core, s *renditions.Service, id string, width, quality int,
) renditions.Resolved {
	t.Helper()
	r := imagestest.Resolve(t, core, id)
	r.Variant.Options.Width, r.Variant.Options.Quality = width, quality
	r, err := s.Settle(t.Context(), r, imagefile.JPEG)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSettle: a quality is searched once, the search leaves the rendition in the cache, and other nodes, other sizes of
// its class and later renditions have it.
func TestSettle(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		files := func() int { return len(imagestest.Files(t, filepath.Join(core.Dir, "renditions"))) }
		first := settled(t, core, core.Renditions, img.ID, 60, render.AutoQuality)
		quality := first.Variant.Options.Quality
		if quality < 1 || files() != 1 {
			t.Fatalf("the quality %d with %d renditions", quality, files())
		}
		made, err := core.Renditions.Rendition(t.Context(), first, imagefile.JPEG)
		if err != nil {
			t.Fatal(err)
		}
		made.Content.Close()
		if n := files(); n != 1 {
			t.Errorf("%d renditions, want that of the search", n)
		}
		number := settled(t, core, core.Renditions, img.ID, 60, quality)
		if a, b := core.Renditions.ETag(first, imagefile.JPEG), core.Renditions.ETag(number, imagefile.JPEG); a != b {
			t.Errorf("auto has the entity tag %s, and its number %s", a, b)
		}
		// A node that knows nothing finds what the database has, and renders nothing.
		node := renditions.New(renditions.Config{Core: core.Service, Blobs: core.Blobs, Render: core.Render})
		for _, width := range []int{60, 50} {
			r := settled(t, core, node, img.ID, width, render.AutoQuality)
			if got := r.Variant.Options.Quality; got != quality {
				t.Errorf("another node has the quality %d at the width %d, want %d", got, width, quality)
			}
		}
		other := settled(t, core, core.Renditions, img.ID, 55, render.AutoQuality)
		if got := other.Variant.Options.Quality; got != quality {
			t.Errorf("another size has the quality %d, want %d", got, quality)
		}
		if n := files(); n != 1 {
			t.Errorf("%d renditions after look-ups", n)
		}
		settled(t, core, core.Renditions, img.ID, 10, render.AutoQuality)
		if n := imagestest.Count(t, core, "found_qualities"); n != 2 {
			t.Errorf("%d qualities for two classes", n)
		}
	})
}

// TestSettleWithout: without the option, and for what is not searched, the default applies.
func TestSettleWithout(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	want := func(what string, r renditions.Resolved, f imagefile.Format, quality int) {
		t.Helper()
		r, err := core.Renditions.Settle(t.Context(), r, f)
		if got := r.Variant.Options.Quality; got != quality || err != nil {
			t.Errorf("%s: the quality is %d, %v, want %d", what, got, err, quality)
		}
	}
	r := imagestest.Resolve(t, core, img.ID)
	want("no quality", r, imagefile.JPEG, 0)
	r.Variant.Options.Quality = render.AutoQuality
	want("a PNG", r, imagefile.PNG, 0)
	if _, err := core.Accounts.Configure(t.Context(), imagestest.AccountID,
		accounts.SettingsChange{AutoQuality: imagestest.Ptr(true)}); err != nil {
		t.Fatal(err)
	}
	r = imagestest.Resolve(t, core, img.ID)
	r.Variant.Options.Quality = 33
	want("a number on an account with the setting", r, imagefile.JPEG, 33)
	r.Variant.Options.Quality = 0
	r, err := core.Renditions.Settle(t.Context(), r, imagefile.JPEG)
	if got := r.Variant.Options.Quality; got < 1 || err != nil {
		t.Errorf("no quality on an account with the setting: %d, %v", got, err)
	}
	want("settled before", r, imagefile.JPEG, r.Variant.Options.Quality)

	// An image with the most classes has the default in others.
	full := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
	for i := range qualities.MaxPerImage {
		if _, err := core.Qualities.Record(t.Context(), full.Key,
			qualities.Quality{Format: "webp", Class: string(rune('a' + i)), Quality: 50}); err != nil {
			t.Fatal(err)
		}
	}
	want("a full image", imagestest.Resolve(t, core, full.ID), imagefile.JPEG, 0)
}
