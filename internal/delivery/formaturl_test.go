package delivery_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"calotype/internal/delivery"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

// redirected asks and expects a redirect that only the client may store. It returns the path and the query that a
// client requests next.
func (h *host) redirected(path string, headers ...string) string {
	h.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(h.t.Context(), "GET", h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusFound || response.Header.Get("Vary") != "Accept" ||
		!strings.HasPrefix(response.Header.Get("Cache-Control"), "private,") || response.Header.Get("ETag") != "" {
		h.t.Fatalf("%s: got %d, %v", path, response.StatusCode, response.Header)
	}
	next, err := response.Location()
	if err != nil {
		h.t.Fatal(err)
	}
	return next.RequestURI()
}

// TestFormatRedirect: each client is redirected to the URL of its format, whose answer depends on no header.
func TestFormatRedirect(t *testing.T) {
	t.Parallel()
	h := newHostWith(t, imagestest.New(t), delivery.Config{Negotiate: true, FormatInURL: delivery.FormatRedirect})
	h.configure(true, time.Hour)
	h.variant("small", "width=30", false)
	h.variant("drawn", "width=30,format=png", false)
	path := originals(t, h)
	for _, c := range []struct {
		of, variant, accept, want string
		format                    imagefile.Format
	}{
		{"photo", "small", both, "avif", imagefile.AVIF},
		{"photo", "small", "image/avif", "avif", imagefile.AVIF},
		{"photo", "small", "image/webp,*/*", "webp", imagefile.WebP},
		{"photo", "small", "", "fallback", imagefile.JPEG},
		{"clear", "w=30,f=auto", "*/*", "fallback", imagefile.PNG},
		{"moving", "small", both, "webp", imagefile.WebP},
		{"moving", "small", "image/avif", "fallback", imagefile.GIF},
		{"moving", "w=30,compression=fast", both, "webp", imagefile.WebP},
	} {
		from := path[c.of] + c.variant
		next := h.redirected(from, "Accept", c.accept, "If-None-Match", "*")
		if want := from + "?calotype-format=" + c.want; next != want {
			t.Errorf("%s, %q: to %s, want %s", from, c.accept, next, want)
		}
		for _, accept := range []string{"", both} {
			r := h.served(next, c.format, "Accept", accept)
			if r.Header.Get("Vary") != "" || !strings.HasPrefix(r.Header.Get("Cache-Control"), "public,") {
				t.Errorf("%s: %v", next, r.Header)
			}
		}
	}
	if next := h.redirected(path["photo"]+"small?a=b&c", "Accept", both); !strings.HasSuffix(next, "/small?a=b&c&calotype-format=avif") {
		t.Errorf("to %s", next)
	}
	// The variant has a format, so there is nothing to name, and a name has no effect.
	for _, query := range []string{"", "?calotype-format=avif"} {
		if r := h.served(path["photo"]+"drawn"+query, imagefile.PNG, "Accept", both); r.Header.Get("Vary") != "" {
			t.Errorf("drawn%s: %v", query, r.Header)
		}
	}
	// A cache would store one width for all clients.
	phone := h.served(path["photo"]+"w=auto,f=png", imagefile.PNG, "Sec-CH-UA-Mobile", "?1")
	other := h.served(path["photo"]+"w=auto,f=png", imagefile.PNG)
	if phone.Header.Get("ETag") != other.Header.Get("ETag") || phone.Header.Get("Vary") != "" {
		t.Errorf("w=auto: %v and %v", phone.Header, other.Header)
	}
	for _, query := range []string{"calotype-format=jpeg", "calotype-format=", "calotype-format",
		"calotype-format=avif&calotype-format=avif"} {
		h.refused(path["photo"]+"small?"+query, 400, 9401)
	}
	h.refused(path["photo"]+"unknown?calotype-format=avif", 403, 9425)
	h.refused("/cdn-cgi/image/w=30/"+strings.TrimPrefix(path["photo"], "/")+"none", 403, 9425)
	next := h.redirected("/cdn-cgi/image/w=30,f=auto"+path["photo"]+"small", "Accept", both)
	h.served(next, imagefile.AVIF)
}

// TestFormatRedirectElsewhere: what does not depend on Accept does not redirect, and HEAD redirects as GET does.
func TestFormatRedirectElsewhere(t *testing.T) {
	t.Parallel()
	h := newHostWith(t, imagestest.New(t), delivery.Config{Negotiate: true, FormatInURL: delivery.FormatRedirect})
	h.configure(true, time.Hour)
	path := originals(t, h)["photo"]
	for _, query := range []string{"", "?calotype-format=avif"} {
		if r := h.ask("GET", path+"w=30,f=json"+query, "Accept", both); r.StatusCode != 200 ||
			r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Vary") != "" {
			t.Errorf("f=json%s: %d, %v", query, r.StatusCode, r.Header)
		}
		svg := "/" + h.hash + "/" + h.upload([]byte(harmlessSVG), "", false).ID + "/public"
		if r := h.ask("GET", svg+query, "Accept", both); r.StatusCode != 200 ||
			r.Header.Get("Content-Type") != "image/svg+xml" || r.Header.Get("Vary") != "" {
			t.Errorf("SVG%s: %d, %v", query, r.StatusCode, r.Header)
		}
	}
	// The client follows the redirect.
	if r := h.ask("HEAD", path+"w=30", "Accept", both); r.StatusCode != 200 || r.Header.Get("Content-Type") != "image/avif" ||
		r.Request.URL.RawQuery != "calotype-format=avif" {
		t.Errorf("HEAD: %d, %v of %s", r.StatusCode, r.Header, r.Request.URL)
	}
	if r := h.ask("OPTIONS", path+"w=30"); r.StatusCode != 204 {
		t.Errorf("OPTIONS: %d", r.StatusCode)
	}
}

// TestFormatOfAPrivatePicture: no cache stores a private picture, so its URL does not redirect. The name of a format
// needs no signature, and gives no access.
func TestFormatOfAPrivatePicture(t *testing.T) {
	t.Parallel()
	for _, mode := range []delivery.FormatInURL{delivery.FormatRedirect, delivery.FormatNamed} {
		h := newHostWith(t, imagestest.New(t), delivery.Config{Negotiate: true, FormatInURL: mode})
		h.configure(false, time.Hour)
		h.variant("small", "width=30", false)
		path := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 1), "", true).ID + "/small"
		bare := h.ask("GET", path+h.sign(path, ""), "Accept", both)
		want, vary := imagefile.AVIF.MIME(), "Accept"
		if mode == delivery.FormatNamed {
			want, vary = imagefile.JPEG.MIME(), ""
		}
		if bare.StatusCode != 200 || bare.Header.Get("Content-Type") != want || bare.Header.Get("Vary") != vary {
			t.Errorf("%s: got %d, %v", mode, bare.StatusCode, bare.Header)
		}
		const name, until = "calotype-format=webp", "?exp=1800000005"
		for _, query := range []string{
			h.sign(path, "") + "&" + name, h.sign(path, until) + "&" + name, "?" + name + "&" + h.sign(path, "")[1:],
			h.sign(path, "?"+name), h.sign(path, until+"&"+name),
		} {
			r := h.served(path+query, imagefile.WebP, "Accept", "image/png")
			if !strings.HasPrefix(r.Header.Get("Cache-Control"), "private,") || r.Header.Get("Vary") != "" {
				t.Errorf("%s: %v", query, r.Header)
			}
		}
		expired := h.sign(path, "?exp=1799999999") + "&" + name
		h.refused(path+expired, 403, 9425)
		if r := h.ask("GET", path+expired); !strings.Contains(string(r.body), "expired") {
			t.Errorf("an expired URL: %s", r.body)
		}
		signed := h.sign(path, "?"+name)
		for _, query := range []string{"?" + name, strings.Replace(signed, "webp", "avif", 1),
			strings.Replace(signed, name, "", 1), h.sign(path, "") + "&" + name + "&a=b"} {
			h.refused(path+query, 403, 9425)
		}
	}
}

// TestFormatNamed: a URL without a format has one answer for all clients.
func TestFormatNamed(t *testing.T) {
	t.Parallel()
	h := newHostWith(t, imagestest.New(t), delivery.Config{Negotiate: true, FormatInURL: delivery.FormatNamed})
	h.configure(true, time.Hour)
	path := originals(t, h)
	for _, c := range []struct {
		of, query string
		want      imagefile.Format
	}{
		{"photo", "", imagefile.JPEG}, {"photo", "?calotype-format=fallback", imagefile.JPEG},
		{"photo", "?calotype-format=avif", imagefile.AVIF}, {"photo", "?x=1&calotype-format=webp", imagefile.WebP},
		{"clear", "", imagefile.PNG}, {"moving", "", imagefile.GIF},
		{"moving", "?calotype-format=avif", imagefile.WebP},
	} {
		if r := h.served(path[c.of]+"w=30"+c.query, c.want, "Accept", both); r.Header.Get("Vary") != "" {
			t.Errorf("%s%s: %v", c.of, c.query, r.Header)
		}
	}
	if got := h.renditions(); got != 6 {
		t.Errorf("%d renditions, want 6", got)
	}
}

// TestFormatOfASource: the query of a source at another server stays its own.
func TestFormatOfASource(t *testing.T) {
	t.Parallel()
	at := newOrigin(t)
	at.answers(picture(imagestest.JPEG(t, 1), "Cache-Control", "max-age=60"))
	core, _ := newRemoteCore(t, at.host(), "127.0.0.0/8")
	h := newHostWith(t, core, delivery.Config{Negotiate: true, FormatInURL: delivery.FormatRedirect})
	next := h.redirected("/cdn-cgi/image/w=30,f=auto/"+at.URL+"/a.jpg?format=png&v=1", "Accept", both)
	if !strings.HasSuffix(next, "/a.jpg?format=png&v=1&calotype-format=avif") {
		t.Errorf("to %s", next)
	}
	h.served(next, imagefile.AVIF)
	for _, r := range at.requests() {
		if r.URL.RequestURI() != "/a.jpg?format=png&v=1" {
			t.Errorf("the source got %s", r.URL.RequestURI())
		}
	}
	if n := len(at.requests()); n != 1 {
		t.Errorf("the source got %d requests", n)
	}
	at.answers(picture(imagestest.JPEG(t, 2), "Cache-Control", "private, no-store"))
	if r := h.served("/cdn-cgi/image/w=30,f=auto/"+at.URL+"/b.jpg", imagefile.AVIF, "Accept", both); r.Header.Get("Vary") != "Accept" ||
		r.Header.Get("Cache-Control") != "private, no-store" || r.Request.URL.RawQuery != "" {
		t.Errorf("a private source: %v of %s", r.Header, r.Request.URL)
	}
}

// TestFormatNotInURL: without the flag the name has no meaning, and a signature must cover it.
func TestFormatNotInURL(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.configure(true, time.Hour)
	h.variant("small", "width=30", false)
	path := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 1), "", false).ID + "/small"
	if r := h.served(path+"?calotype-format=webp", imagefile.AVIF, "Accept", both); r.Header.Get("Vary") != "Accept" {
		t.Errorf("%v", r.Header)
	}
	h.served(path+"?calotype-format=x", imagefile.JPEG)
	private := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 2), "", true).ID + "/small"
	h.refused(private+h.sign(private, "")+"&calotype-format=webp", 403, 9425)
	for _, mode := range []delivery.FormatInURL{delivery.FormatRedirect, delivery.FormatNamed} {
		var refused *errs.Error
		if err := delivery.CheckFormatInURL(mode, false); !errors.As(err, &refused) || refused.Kind != errs.Invalid {
			t.Errorf("-no-negotiate with %s: %v", mode, err)
		}
	}
	if err := errors.Join(delivery.CheckFormatInURL(delivery.FormatNotInURL, false),
		delivery.CheckFormatInURL(delivery.FormatRedirect, true)); err != nil {
		t.Error(err)
	}
}

// TestEagerFormatInURL: the renditions of URLs with formats are rendered after the upload.
func TestEagerFormatInURL(t *testing.T) {
	t.Parallel()
	for _, mode := range []delivery.FormatInURL{delivery.FormatRedirect, delivery.FormatNamed} {
		h := eagerHostWith(t, delivery.Config{Negotiate: true, FormatInURL: mode}, "all", "avif,webp,fallback")
		h.variant("small", "width=auto", false)
		path := "/" + h.hash + "/" + h.upload(imagestest.JPEG(t, 1), "", false).ID + "/small"
		h.rendered(6)
		for client, format := range map[string]imagefile.Format{
			"avif": imagefile.AVIF, "webp": imagefile.WebP, "fallback": imagefile.JPEG,
		} {
			h.served(path+"?calotype-format="+client, format, "Sec-CH-UA-Mobile", "?1")
		}
		if n := h.renditions(); n != 6 {
			t.Errorf("%s: %d renditions, want 6", mode, n)
		}
	}
}
