package delivery_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

const (
	hostileSVG = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload="alert(1)"><script>alert(2)</script>` +
		`<rect width="40" height="30" fill="red"/></svg>`
	harmlessSVG = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30" fill="red"/></svg>`
)

// TestVector: an SVG is delivered sanitised, whatever variant, options, format and types are asked for, as one
// rendition with one entity tag.
func TestVector(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		h := newHost(t, core, true)
		h.configure(true, accounts.DefaultBrowserTTL)
		h.variant("small", "width=10,height=10,fit=cover", false)
		img := h.upload([]byte(hostileSVG), "icons/logo.svg", false)
		if o := img.Original; o.Width != 40 || o.Height != 30 || o.Thumbhash != "" || o.Size != int64(len(hostileSVG)) {
			t.Errorf("the original is %+v", o)
		}
		base := "/" + h.hash + "/icons/logo.svg/"
		etags := map[string]bool{}
		for _, variant := range []string{
			"public", "small", "w=10", "format=webp", "f=png,w=20,h=20,fit=pad", "w=12000,fit=contain", "f=auto",
		} {
			for _, accept := range []string{"", "image/avif,image/webp,*/*", "image/png"} {
				r := h.served(base+variant, imagefile.SVG, "Accept", accept)
				if string(r.body) != harmlessSVG {
					t.Errorf("%s: %s", variant, r.body)
				}
				for name, want := range map[string]string{
					"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox",
					"Content-Type":            "image/svg+xml", "X-Content-Type-Options": "nosniff", "Vary": "",
				} {
					if got := r.Header.Get(name); got != want {
						t.Errorf("%s: %s is %q, want %q", variant, name, got, want)
					}
				}
				etags[r.Header.Get("ETag")] = true
			}
		}
		if len(etags) != 1 || h.renditions() != 1 {
			t.Errorf("%d renditions, tags %v", h.renditions(), etags)
		}
		h.refused(base+"nonsense=1", 400, 9401)
		h.refused(base+"unknown", 403, 9425)
	})
}

// TestVectorByHTTP: HEAD, parts and conditions work for an SVG.
func TestVectorByHTTP(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload([]byte(hostileSVG), "", false)
	path := "/" + h.hash + "/" + img.ID + "/public"
	whole := h.served(path, imagefile.SVG)
	head := h.ask("HEAD", path)
	if head.StatusCode != 200 || len(head.body) != 0 || head.ContentLength != whole.ContentLength ||
		head.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("HEAD: %d, %v", head.StatusCode, head.Header)
	}
	part := h.ask("GET", path, "Range", "bytes=1-3")
	if part.StatusCode != 206 || string(part.body) != "svg" {
		t.Errorf("a part: %d %q", part.StatusCode, part.body)
	}
	same := h.ask("GET", path, "If-None-Match", whole.Header.Get("ETag"))
	policy := "Content-Security-Policy"
	if same.StatusCode != 304 || same.Header.Get(policy) != whole.Header.Get(policy) || len(same.body) != 0 {
		t.Errorf("a condition: %d %v", same.StatusCode, same.Header)
	}
	h.refused(path, 416, 9424, "Range", "bytes=9999-")
}

// TestPrivateVector: a private SVG needs a signature like any other picture.
func TestPrivateVector(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, accounts.DefaultBrowserTTL)
	img := h.upload([]byte(hostileSVG), "", true)
	path := "/" + h.hash + "/" + img.ID + "/public"
	h.refused(path, 403, 9425)
	h.refused("/"+h.hash+"/"+img.ID+"/w=10", 403, 9425)
	r := h.served(path+h.sign(path, ""), imagefile.SVG)
	if !strings.HasPrefix(r.Header.Get("Cache-Control"), "private") || !bytes.Equal(r.body, []byte(harmlessSVG)) {
		t.Errorf("signed: %v %s", r.Header, r.body)
	}
	h.configure(true, 2*time.Hour)
	if r := h.served(path+h.sign(path, ""), imagefile.SVG); r.Header.Get("Cache-Control") != "private, max-age=7200" {
		t.Errorf("Cache-Control is %q", r.Header.Get("Cache-Control"))
	}
}

// TestPrivateVectorInAPublicVariant: a private SVG needs a signature in a public variant too, because no variant hides a part of it.
func TestPrivateVectorInAPublicVariant(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.variant("teaser", "blur=50,width=9", true)
	path := "/" + h.hash + "/" + h.upload([]byte(hostileSVG), "", true).ID + "/teaser"
	h.refused(path, 403, 9425)
	h.served(path+h.sign(path, ""), imagefile.SVG)
	photo := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 1), "", true).ID + "/teaser"
	h.served(photo, imagefile.JPEG)
}
