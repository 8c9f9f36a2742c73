package delivery_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

// set changes settings of the account.
func (h *host) set(c accounts.SettingsChange) {
	h.t.Helper()
	if _, err := h.core.Accounts.Configure(h.t.Context(), imagestest.AccountID, c); err != nil {
		h.t.Fatal(err)
	}
}

// Every form in which a loader or a proxy writes the URL of a picture of this server gives the same rendition.
func TestTransformOwn(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		h := newHost(t, core, true)
		h.upload(imagestest.JPEG(t, 1), "a/b%20c", false) // 64 x 48
		path := "/" + h.hash + "/a/b%2520c/public"
		own := h.url + path
		bare := strings.TrimPrefix(own, "http://")
		const to = "/cdn-cgi/image/w=32,h=10,fit=cover/"
		h.refused(to+path, 403, 9429)
		h.set(accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(true)})
		want := h.served("/"+h.hash+"/a/b%2520c/w=32,h=10,fit=cover", imagefile.JPEG)
		for _, source := range []string{
			path, path[1:], "/cdn-cgi/imagedelivery" + path, own, "http:/" + bare, "https://" + bare, "//" + bare, bare,
			url.PathEscape(path), url.PathEscape(path[1:]), url.PathEscape(own), url.PathEscape("https://" + bare),
			"http%3A//" + bare, strings.Replace(own, "http", "HTTP", 1), path + "?v=2", url.PathEscape(own + "?v=2"),
		} {
			r := h.served(to+source, imagefile.JPEG)
			if size(t, r.body) != "32x10" || r.Header.Get("ETag") != want.Header.Get("ETag") {
				t.Errorf("%s: got %s, %s", source, size(t, r.body), r.Header.Get("ETag"))
			}
		}
		h.served("/cdn-cgi/image/w%3D32%2Ch%3D10,fit=cover/"+path, imagefile.WebP, "Accept", "image/webp")
		h.served("/cdn-cgi/image/onerror=redirect,w=5,"+path, imagefile.JPEG)
		h.served("/cdn-cgi/image/onerror=redirect/"+path, imagefile.JPEG)
		h.served("/cdn-cgi/image/f=png/"+path, imagefile.PNG)

		for source, want := range map[string][2]int{
			"/cdn-cgi/image/w=5" + path: {508, 9403}, "cdn-cgi/image/w=5" + path: {508, 9403},
			h.url + "/cdn-cgi/image/w=5/" + path:                        {508, 9403},
			url.PathEscape(h.url + "/cdn-cgi/image/w=5" + path):         {508, 9403},
			"/" + h.hash + "/a/b%2520c/w=5":                             {400, 9401},
			"/" + h.hash + "/a/b%2520c/nosuch":                          {403, 9425},
			"/" + h.hash + "/a/b%2520c":                                 {404, 9431},
			"/" + h.hash + "/nosuch/public":                             {404, 9431},
			"/AAAAAAAAAAAAAAAAAAAAAA/a/b/public":                        {403, 9427},
			"uploads/a.jpg":                                             {404, 9431},
			h.url + "/uploads/a.jpg":                                    {404, 9431},
			"http://user:pass@" + bare:                                  {403, 9406},
			"http://other.example" + path:                               {403, 9427},
			"http://" + strings.Replace(bare, ":", ".evil.example:", 1): {403, 9427},
			"http://" + strings.Replace(bare, ":", "@", 1):              {403, 9406},
			"//169.254.169.254/latest/meta-data":                        {403, 9427},
			"":                                                          {403, 9406},
		} {
			h.refused(to+source, want[0], want[1])
		}
		for _, options := range []string{"", "public", "w=0", "bad=1", "onerror=x", ","} {
			h.refused("/cdn-cgi/image/"+options+"/"+path, 400, 9401)
		}
		h.refused(to+path, 508, 9403, "Via", "1.1 image-resizing")
		h.served(path, imagefile.JPEG, "Via", "1.1 image-resizing") // a picture, not a transformation
		if err := core.Accounts.Suspend(t.Context(), imagestest.AccountID, true); err != nil {
			t.Fatal(err)
		}
		h.refused(to+path, 403, 9427)
	})
}

// Options reach a private image by a signature that covers them, on accounts that permit it, and by nothing else.
func TestPrivateOptions(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		h := newHost(t, core, true)
		h.variant("open", "width=10", true)
		private := h.upload(imagestest.JPEG(t, 2), "", true) // 64 x 48
		base := "/" + h.hash + "/" + private.ID
		const to = "/cdn-cgi/image/w=32"
		flexible, full := base+"/w=32", "/cdn-cgi/imagedelivery"
		transform, absolute := to+base+"/public", to+"/"+h.url+base+"/public"
		encoded := to + "/" + url.PathEscape(base+"/public")
		signed := []string{
			flexible + h.sign(flexible, ""), flexible + h.sign(flexible, "?exp=1800000060"),
			full + flexible + h.sign(flexible, ""), full + flexible + h.sign(full+flexible, ""),
			transform + h.sign(transform, ""), absolute + h.sign(absolute, "?exp=1800000060"),
			encoded + h.sign(encoded, ""),
		}
		on := imagestest.Ptr(true)
		for _, c := range []accounts.SettingsChange{{}, {FlexibleVariants: on}} {
			h.set(c)
			for _, path := range signed {
				h.refused(path, 403, 9425)
			}
		}
		h.set(accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(false), PrivateOptions: on})
		for _, path := range signed {
			h.refused(path, 403, 9429)
		}
		h.set(accounts.SettingsChange{FlexibleVariants: on})
		for _, path := range signed {
			r := h.served(path, imagefile.JPEG)
			if cc := r.Header.Get("Cache-Control"); size(t, r.body) != "32x24" || !strings.HasPrefix(cc, "private, ") {
				t.Errorf("%s: got %s, %s", path, size(t, r.body), cc)
			}
		}
		named := base + "/public"
		missing := h.refused(flexible, 403, 9425)
		for _, path := range []string{
			transform, absolute, encoded, base + "/w=0", base + "/w=9999,fit=contain", to + base + "/open",
			flexible + h.sign(named, ""), flexible + h.sign(base+"/w=33", ""), flexible + h.sign(transform, ""),
			transform + h.sign(named, ""), transform + h.sign(flexible, ""), transform + h.sign(absolute, ""),
			absolute + h.sign(named, ""), encoded + h.sign(transform, ""), encoded + h.sign(named, ""),
			to + "/" + url.PathEscape(named+h.sign(named, "")), // the source's own signature covers no options
			to + "/" + url.PathEscape(transform+h.sign(transform, "")),
			"/cdn-cgi/image/w=33" + base + "/public" + h.sign(transform, ""),
			"/cdn-cgi/image/w=32/" + base + "/public" + h.sign(transform, ""), // one more slash
			to + base + "/open" + h.sign(base+"/open", ""), to + base + "/open" + h.sign(transform, ""),
			flexible + "?exp=1800000061&" + strings.SplitAfter(h.sign(flexible, "?exp=1800000060"), "&")[1],
		} {
			if strings.Contains(path, url.PathEscape("/cdn-cgi/image/")) {
				h.refused(path, 508, 9403)
			} else if r := h.refused(path, 403, 9425); !bytes.Equal(r.body, missing.body) {
				t.Errorf("%s: refused in other words: %q", path, r.body)
			}
		}
		h.refused(flexible+h.sign(flexible, "?exp=1799999999"), 403, 9425)
		zero := base + "/w=0"
		h.refused(zero+h.sign(zero, ""), 400, 9401)
		h.close()
		if log := h.log.String(); strings.Contains(log, "sig=") || strings.Contains(log, "/"+private.ID) {
			t.Error("the log holds paths or queries")
		}
	})
}

// A private custom id is delivered like every private image.
func TestPrivateCustomID(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.set(accounts.SettingsChange{PrivateCustomIDs: imagestest.Ptr(true), FlexibleVariants: imagestest.Ptr(true)})
	h.upload(imagestest.JPEG(t, 3), "users/7", true)
	path := "/" + h.hash + "/users/7/public"
	h.served(path+h.sign(path, ""), imagefile.JPEG)
	h.refused(path, 403, 9425)
	h.refused("/cdn-cgi/image/w=5"+path, 403, 9425)
	h.refused("/cdn-cgi/image/w=5"+path+h.sign(path, ""), 403, 9425)
	h.refused("/"+h.hash+"/users/7/w=5", 403, 9425)
}

// With lenient options a URL is delivered without what is not available here, and the answer says so.
func TestLenientOptions(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.set(accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(true)})
	path := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 4), "", false).ID + "/"
	const ignored = "Calotype-Ignored-Options"
	all := map[string]string{
		"draw=x,w=32,segment=foreground":                   "draw, segment",
		"w=32,upscale=generate,origin-auth=share-publicly": "upscale, origin-auth",
	}
	for options := range all {
		h.refused(path+options, 400, 9401)
	}
	h.refused(path+"w=32,g=face,zoom=0.5", 400, 9401)
	h.set(accounts.SettingsChange{LenientOptions: imagestest.Ptr(true)})
	plain := h.served(path+"w=32", imagefile.JPEG)
	if got := plain.Header.Get(ignored); got != "" {
		t.Errorf("nothing is left out: %s is %q", ignored, got)
	}
	for options, want := range all {
		for _, address := range []string{path + options, "/cdn-cgi/image/" + options + path + "public"} {
			r := h.served(address, imagefile.JPEG)
			if got := r.Header.Get(ignored); got != want || !bytes.Equal(r.body, plain.body) {
				t.Errorf("%s: left out %q, want %q", address, got, want)
			}
			if r = h.ask("GET", address, "If-None-Match", plain.Header.Get("ETag")); r.StatusCode != 304 ||
				r.Header.Get(ignored) != want {
				t.Errorf("%s: got %d, %q", address, r.StatusCode, r.Header.Get(ignored))
			}
		}
	}
	if r := h.served(path+"w=32,g=face,zoom=0.5", imagefile.JPEG); r.Header.Get(ignored) != "zoom" {
		t.Errorf("zoom: left out %q", r.Header.Get(ignored))
	}
	h.refused(path+"w=32,zoom=0.5,nosuch=1", 400, 9401)
	if r := h.refused(path+"zoom=0.5,w=0", 400, 9401); r.Header.Get(ignored) != "" {
		t.Error("a refusal lists options that were left out")
	}
}
