package delivery_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
)

// What an account sets is seen by the very next request.

func (h *host) configure(flexible bool, ttl time.Duration) {
	h.t.Helper()
	_, err := h.core.Accounts.Configure(h.t.Context(), imagestest.AccountID,
		accounts.SettingsChange{FlexibleVariants: &flexible, BrowserTTL: &ttl})
	if err != nil {
		h.t.Fatal(err)
	}
}

// size returns the size of a picture in pixels.
func size(t *testing.T, data []byte) string {
	t.Helper()
	header, err := imagefile.ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	w, h := header.Shown()
	return fmt.Sprintf("%dx%d", w, h)
}

func TestFlexibleVariants(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		h := newHost(t, core, true)
		img := h.upload(imagestest.JPEG(t, 1), "a/b", false) // 64 x 48
		private := h.upload(imagestest.JPEG(t, 2), "", true)
		base := "/" + h.hash + "/a/b/"
		hidden := "/" + h.hash + "/" + private.ID + "/w=10"
		h.refused(base+"w=10", 403, 9429)
		h.refused(base+"bad=10", 403, 9429)
		h.refused(hidden, 403, 9425)

		h.configure(true, accounts.DefaultBrowserTTL)
		for options, want := range map[string]string{
			"w=32": "32x24", "width=32,height=10,fit=cover": "32x10", "h=24,fit=contain": "32x24",
			"w=16,dpr=2": "32x24", "w=1000": "64x48", "w=100,fit=contain": "100x75",
			"w=40,h=40,fit=pad,background=%23f00": "40x40", "q=10": "64x48", "w%3D32": "32x24",
			"w=20,blur=5,sharpen=1,saturation=0,brightness=1.2,contrast=.9,gamma=1.1": "20x15",
			"w=30,h=30,fit=pad,background=rgb(1,2,3)":                                 "30x30", "w=31,background=hsl(1%201%25%201%25%20%2F%201%25)": "31x23",
		} {
			r := h.served(base+options, imagefile.JPEG)
			if got := size(t, r.body); got != want {
				t.Errorf("%s: got %s, want %s", options, got, want)
			}
			if cc := r.Header.Get("Cache-Control"); !strings.HasPrefix(cc, "public, max-age=172800") {
				t.Errorf("%s: %s", options, cc)
			}
		}
		h.served("/cdn-cgi/imagedelivery"+base+"w=32", imagefile.WebP, "Accept", "image/webp")
		// Equal transforms are one rendition, however they are spelt.
		a, b := h.served(base+"w=20,fit=scale-down", imagefile.JPEG), h.served(base+"width=20", imagefile.JPEG)
		if a.Header.Get("ETag") != b.Header.Get("ETag") || !bytes.Equal(a.body, b.body) {
			t.Error("w=20 and width=20 differ")
		}
		h.served(base+"f=png", imagefile.PNG, "Accept", "image/webp")
		h.served(base+"f=jpeg", imagefile.JPEG, "Accept", "image/webp")
		r := h.served(base+"f=avif", imagefile.AVIF)
		if r.Header.Get("Vary") != "" {
			t.Errorf("a format that was asked for varies by %s", r.Header.Get("Vary"))
		}
		for _, options := range []string{
			"w=0", "w=Auto", "bad=1", "fit=stretch", "w=1,w=2", "blur=251", "w=%00", "dpr=3.1", "=",
		} {
			h.refused(base+options, 400, 9401)
		}
		// A private image takes none, signed or not: its owner chose who sees it how.
		h.refused(hidden, 403, 9425)
		h.refused(hidden+h.sign(hidden, ""), 403, 9425)
		h.refused("/"+h.hash+"/unknown/w=10", 404, 9431)
		h.configure(false, accounts.DefaultBrowserTTL)
		h.refused(base+"w=32", 403, 9429)
		h.served(base+"public", imagefile.JPEG)
		if err := core.DeleteImage(t.Context(), imagestest.AccountID, img.ID); err != nil {
			t.Fatal(err)
		}
		h.refused(base+"w=32", 404, 9431)
	})
}

// A moving picture that is asked for as JPEG is its first frame.
func TestFlexibleFormatOfAnAnimation(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	frame := func(shade uint8) *image.Paletted {
		return image.NewPaletted(image.Rect(0, 0, 40, 30), color.Palette{color.Gray{Y: shade}})
	}
	moving := encode(t, func(w io.Writer) error {
		return gif.EncodeAll(w, &gif.GIF{
			Image: []*image.Paletted{frame(10), frame(200)}, Delay: []int{5, 5}})
	})
	base := "/" + h.hash + "/" + h.upload(moving, "", false).ID + "/"
	h.served(base+"w=20", imagefile.GIF)
	h.served(base+"w=20,f=jpeg", imagefile.JPEG)
	h.served(base+"w=20,f=png", imagefile.PNG)
	h.served(base+"w=20,anim=false", imagefile.JPEG)
	h.served(base+"w=20,f=webp", imagefile.WebP)
}

func TestBrowserTTL(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload(imagestest.JPEG(t, 1), "", false)
	private := h.upload(imagestest.JPEG(t, 2), "", true)
	h.variant("own", "width=10", false)
	caching := func(path, want string) {
		t.Helper()
		if got := h.served(path, imagefile.JPEG).Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	base, hidden := "/"+h.hash+"/"+img.ID+"/", "/"+h.hash+"/"+private.ID+"/public"
	caching(base+"public", "public, max-age=172800, stale-while-revalidate=7200")
	h.configure(true, 100*time.Hour)
	caching(base+"public", "public, max-age=360000, stale-while-revalidate=7200")
	caching(base+"own", "public, max-age=360000, stale-while-revalidate=7200")
	caching(base+"w=10", "public, max-age=360000, stale-while-revalidate=7200")
	caching(hidden+h.sign(hidden, ""), "private, max-age=360000")
	soon := fmt.Sprintf("?exp=%d", now.Unix()+60)
	caching(hidden+h.sign(hidden, soon), "private, max-age=60")
	// The variant's own time wins, be it shorter or longer.
	for _, ttl := range []time.Duration{time.Hour, accounts.MaxBrowserTTL} {
		v, err := h.core.Variant(t.Context(), imagestest.AccountID, "own")
		if err == nil {
			_, err = h.core.ChangeVariant(t.Context(), imagestest.AccountID, "own",
				images.VariantChange{Options: v.Options, BrowserTTL: ttl})
		}
		if err != nil {
			t.Fatal(err)
		}
		caching(base+"own", fmt.Sprintf("public, max-age=%d, stale-while-revalidate=7200",
			int(ttl.Seconds())))
	}
}

// A change of a variant is another picture at once, and its deletion none.
func TestAVariantChangesAtOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		h := newHost(t, core, true)
		img := h.upload(imagestest.JPEG(t, 1), "", false)
		path := "/" + h.hash + "/" + img.ID + "/own"
		h.refused(path, 403, 9425)
		h.variant("own", "width=10", false)
		etags := map[string]bool{}
		for _, width := range []int{20, 30, 40} {
			_, err := core.ChangeVariant(t.Context(), imagestest.AccountID, "own",
				images.VariantChange{Options: render.Options{
					Width: width, Fit: render.ScaleDown, Metadata: render.MetadataNone}})
			if err != nil {
				t.Fatal(err)
			}
			r := h.served(path, imagefile.JPEG)
			if got := size(t, r.body); !strings.HasPrefix(got, fmt.Sprint(width, "x")) {
				t.Errorf("got %s for a width of %d", got, width)
			}
			etags[r.Header.Get("ETag")] = true
		}
		if len(etags) != 3 {
			t.Errorf("%d tags for three pictures", len(etags))
		}
		if err := core.DeleteVariant(t.Context(), imagestest.AccountID, "own"); err != nil {
			t.Fatal(err)
		}
		h.refused(path, 403, 9425)
	})
}

// Any key signs, with and without a time; a deleted one signs nothing from then on.
func TestAnyKeySigns(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		h := newHost(t, core, true)
		img := h.upload(imagestest.JPEG(t, 1), "", true)
		path := "/" + h.hash + "/" + img.ID + "/public"
		for _, name := range []string{"second", "third"} {
			if err := core.Accounts.CreateSigningKey(ctx, imagestest.AccountID, name); err != nil {
				t.Fatal(err)
			}
		}
		all, err := core.Accounts.SigningKeys(ctx, imagestest.AccountID)
		if err != nil || len(all) != 3 {
			t.Fatal(len(all), err)
		}
		exp := fmt.Sprintf("?exp=%d", now.Unix()+60)
		signed := map[string][]string{}
		for _, k := range all {
			signed[k.Name] = []string{path + "?sig=" + k.Sign(path),
				path + exp + "&sig=" + k.Sign(path+exp)}
			for _, url := range signed[k.Name] {
				h.served(url, imagefile.JPEG)
			}
		}
		for _, k := range all {
			if err := core.Accounts.DeleteSigningKey(ctx, imagestest.AccountID, k.Name); err != nil {
				t.Fatal(err)
			}
			for _, url := range signed[k.Name] {
				h.refused(url, 403, 9425)
			}
			delete(signed, k.Name)
			for _, urls := range signed {
				h.served(urls[0], imagefile.JPEG)
			}
		}
		h.served(path+h.sign(path, exp), imagefile.JPEG) // by the new default
	})
}
