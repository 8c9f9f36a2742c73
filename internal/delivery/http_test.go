package delivery_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestPublicPicture(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload(imagestest.JPEG(t, 1), "", false)
	path := "/" + h.hash + "/" + img.ID + "/public"
	plain := h.served(path, imagefile.JPEG)
	webp := h.served("/cdn-cgi/imagedelivery"+path, imagefile.WebP, "Accept", "image/webp,*/*")
	for name, want := range map[string]string{
		"Cache-Control":                "public, max-age=172800, stale-while-revalidate=7200",
		"Vary":                         "Accept",
		"Access-Control-Allow-Origin":  "*",
		"X-Content-Type-Options":       "nosniff",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"Content-Security-Policy":      "default-src 'none'; style-src 'unsafe-inline'; sandbox",
		"Cf-Resized":                   "internal=ok/-",
		"Accept-Ranges":                "bytes",
		"Last-Modified":                "",
		"Surrogate-Key":                strings.ReplaceAll(plain.Header.Get("Cache-Tag"), ",", " "),
	} {
		for _, r := range []reply{plain, webp} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if strings.Count(plain.Header.Get("Cache-Tag"), ",") != 2 ||
		strings.Contains(plain.Header.Get("Cache-Tag"), img.ID) {
		t.Errorf("Cache-Tag is %q", plain.Header.Get("Cache-Tag"))
	}
	if a, b := plain.Header.Get("ETag"), webp.Header.Get("ETag"); a == b || a == "" || a[0] != '"' {
		t.Errorf("the ETags are %s and %s", a, b)
	}
	head := h.ask("HEAD", path)
	for name := range plain.Header {
		if name != "Date" && name != "X-Request-Id" && head.Header.Get(name) != plain.Header.Get(name) {
			t.Errorf("HEAD: %s is %q", name, head.Header.Get(name))
		}
	}
	if head.StatusCode != 200 || len(head.body) != 0 || head.ContentLength != plain.ContentLength {
		t.Errorf("HEAD: %d, Content-Length %d", head.StatusCode, head.ContentLength)
	}
}

func TestRanges(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload(imagestest.JPEG(t, 2), "", false)
	path := "/" + h.hash + "/" + img.ID + "/public"
	whole := h.served(path, imagefile.JPEG)
	etag := whole.Header.Get("ETag")
	for _, c := range []struct {
		ifRange string
		status  int
		want    []byte
	}{{"", 206, whole.body[3:10]}, {etag, 206, whole.body[3:10]}, {`"other"`, 200, whole.body}} {
		r := h.ask("GET", path, "Range", "bytes=3-9", "If-Range", c.ifRange)
		if r.StatusCode != c.status || !bytes.Equal(r.body, c.want) || r.Header.Get("ETag") != etag {
			t.Errorf("If-Range %q: got %d, %d bytes", c.ifRange, r.StatusCode, len(r.body))
		}
	}
	h.refused(path, 416, 9424, "Range", "bytes=9999999-")
	many := "bytes=0-0" + strings.Repeat(",2-2", maxRanges-1)
	if r := h.ask("GET", path, "Range", many); r.StatusCode != 206 {
		t.Errorf("%d ranges: got %d", maxRanges, r.StatusCode)
	}
	if r := h.ask("GET", path, "Range", many+",4-4"); r.StatusCode != 200 ||
		!bytes.Equal(r.body, whole.body) {
		t.Errorf("more ranges: got %d, %d bytes", r.StatusCode, len(r.body))
	}
	h.refused(path, 416, 9424, "Range", "bytes=99999999999999999999-")
	for asked, want := range map[string][]byte{
		"items=0-1": nil, "bytes": nil, "bytes=": nil, "bytes=abc": nil, "bytes=5-2": nil, "bytes=-": nil,
		"bytes=0x1-2": nil, "bytes=+1-2": nil, "bytes=1-2-3": nil, "bytes=3-9,abc": nil, "none": nil,
		"Bytes=3-9": whole.body[3:10], "bytes= 3-9 ,": whole.body[3:10],
		"bytes=3-99999999999999999999": whole.body[3:],
	} {
		status := 206
		if want == nil {
			status, want = 200, whole.body
		}
		r := h.ask("GET", path, "Range", asked)
		if r.StatusCode != status || !bytes.Equal(r.body, want) {
			t.Errorf("%q: got %d, %d bytes, want %d, %d", asked, r.StatusCode, len(r.body), status, len(want))
		}
	}
}

// maxRanges is how many ranges one answer may have.
const maxRanges = 10

// What a client has already is neither rendered nor read.
func TestNotModifiedCostsNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload(imagestest.JPEG(t, 3), "", false)
	path := "/" + h.hash + "/" + img.ID + "/public"
	resolved, err := h.core.Renditions.Resolve(t.Context(), h.hash, img.ID, "public")
	if err != nil {
		t.Fatal(err)
	}
	etag := h.core.Renditions.ETag(resolved, imagefile.WebP)
	for _, method := range []string{"GET", "HEAD"} {
		r := h.ask(method, path, "Accept", "image/webp", "If-None-Match", `"x", W/`+etag)
		if r.StatusCode != 304 || len(r.body) != 0 || r.Header.Get("ETag") != etag ||
			r.Header.Get("Vary") != "Accept" || r.Header.Get("Cache-Tag") == "" ||
			!strings.HasPrefix(r.Header.Get("Cache-Control"), "public, ") {
			t.Errorf("%s: got %d %v", method, r.StatusCode, r.Header)
		}
	}
	if n := h.renditions(); n != 0 {
		t.Errorf("%d renditions were made", n)
	}
	// The tag is of one kind of file only.
	h.served(path, imagefile.JPEG, "If-None-Match", etag)
	if n := h.renditions(); n != 1 {
		t.Errorf("%d renditions after one was asked for", n)
	}
}

func TestPrivatePicture(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	h.variant("open", "width=10", true)
	img := h.upload(imagestest.JPEG(t, 4), "", true)
	path := "/" + h.hash + "/" + img.ID + "/public"
	const full = "/cdn-cgi/imagedelivery"
	for url, caching := range map[string]string{
		path + h.sign(path, ""):                               "private, max-age=172800",
		path + h.sign(path, "?exp=1800000060"):                "private, max-age=60",
		path + h.sign(path, "?exp=1999999999"):                "private, max-age=172800",
		full + path + h.sign(path, "?exp=1800000060"):         "private, max-age=60",
		full + path + h.sign(full+path, "?exp=1800000060&a="): "private, max-age=60",
		path + h.sign(full+path, "?exp=1800000000"):           "private, max-age=0",
		"/" + h.hash + "/" + img.ID + "/open": "public, max-age=172800, " +
			"stale-while-revalidate=7200",
	} {
		r := h.served(url, imagefile.JPEG)
		if got := r.Header.Get("Cache-Control"); got != caching {
			t.Errorf("%s: Cache-Control is %q, want %q", url, got, caching)
		}
		// What the client has is confirmed to it under the same rule.
		again := h.ask("GET", url, "If-None-Match", r.Header.Get("ETag"))
		if again.StatusCode != 304 || again.Header.Get("Cache-Control") != caching {
			t.Errorf("%s: got %d, %q", url, again.StatusCode, again.Header.Get("Cache-Control"))
		}
	}
	missing := h.refused(path, 403, 9425)
	for _, url := range []string{
		path + "?exp=1800000060", path + "?sig=" + strings.Repeat("0", 64),
		path + h.sign("/"+h.hash+"/"+img.ID+"/open", ""),
		path + h.sign(path, "?exp=1800000060") + "0",
		path + "?exp=1800000061&" + strings.SplitAfter(h.sign(path, "?exp=1800000060"), "&")[1],
	} {
		if r := h.refused(url, 403, 9425); !bytes.Equal(r.body, missing.body) {
			t.Errorf("%s: refused in other words: %q", url, r.body)
		}
	}
	h.refused(path+h.sign(path, "?exp=1799999999"), 403, 9425)
	h.refused(path, 403, 9425, "If-None-Match", "*")
	flexible := "/" + h.hash + "/" + img.ID + "/w=5000"
	h.refused(flexible+h.sign(flexible, ""), 403, 9425)
	h.close()
	if log := h.log.String(); strings.Contains(log, "sig=") || strings.Contains(log, "/"+img.ID) ||
		strings.Contains(log, "180000006") {
		t.Error("the log holds paths or queries")
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		h := newHost(t, core, true)
		img := h.upload(imagestest.JPEG(t, 5), "", false)
		private := h.upload(imagestest.JPEG(t, 6), "", true)
		draft, _, err := core.CreateDraft(t.Context(), imagestest.AccountID, images.NewDraft{})
		if err != nil {
			t.Fatal(err)
		}
		base := "/" + h.hash + "/"
		for _, c := range []struct {
			path         string
			status, code int
		}{
			{"/AAAAAAAAAAAAAAAAAAAAAA/" + img.ID + "/public", 403, 9427},
			{base + "unknown/public", 404, 9431},
			{base + "unknown/w=100", 404, 9431},
			{base + "un%00known%FF/public", 404, 9431},
			{base + draft.ID + "/public", 404, 9431},
			{base + img.ID + "/nosuch", 403, 9425},
			{base + private.ID + "/nosuch", 403, 9425},
			{base + img.ID + "/%00", 403, 9425},
			{base + img.ID + "/%FF", 403, 9425},
			{base + img.ID + "/" + strings.Repeat("v", 5000), 403, 9425},
			{base + img.ID + "/w=100", 403, 9429},
			{base + img.ID + "/w%3D%00", 403, 9429},
			{base + private.ID + "/w=100", 403, 9425},
			{base + img.ID, 400, 9432},
			{base + img.ID + "/", 400, 9432},
		} {
			h.refused(c.path, c.status, c.code)
		}
	})
}

func TestIDsInPaths(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	data := imagestest.JPEG(t, 7)
	for id, paths := range map[string][]string{
		"users/7/cat.jpeg": {"users/7/cat.jpeg", "users%2F7%2fcat.jpeg", "users/7%2Fcat.jpeg"},
		"a b%20c":          {"a%20b%2520c"},
		"100%":             {"100%25"},
		"żółw/€|x":         {"%C5%BC%C3%B3%C5%82w/%E2%82%AC%7Cx", "żółw%2F€|x"},
		"folder/public":    {"folder/public", "folder%2Fpublic"},
	} {
		h.upload(data, id, false)
		for _, path := range paths {
			h.served("/"+h.hash+"/"+path+"/public", imagefile.JPEG)
		}
	}
	h.refused("/"+h.hash+"/folder/public", 404, 9431)
	h.refused("/"+h.hash+"/users%2F7%2Fcat.jpeg%2Fpublic", 400, 9432)
}

func encode(t *testing.T, write func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestKindsServed(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	on, off := newHost(t, core, true), newHost(t, core, false)
	on.variant("still", "anim=false,width=1000", false)
	frame := func(shade uint8) *image.Paletted {
		palette := color.Palette{color.Gray{Y: shade}, color.Gray{Y: 255 - shade}}
		return image.NewPaletted(image.Rect(0, 0, 40, 30), palette)
	}
	moving := encode(t, func(w io.Writer) error {
		return gif.EncodeAll(w, &gif.GIF{
			Image: []*image.Paletted{frame(10), frame(100), frame(200)}, Delay: []int{5, 5, 5},
		})
	})
	flat := encode(t, func(w io.Writer) error { return png.Encode(w, frame(7)) })
	for _, c := range []struct {
		data    []byte
		variant string
		want    imagefile.Format
	}{
		{imagestest.JPEG(t, 8), "public", imagefile.JPEG}, {flat, "public", imagefile.PNG},
		{moving, "public", imagefile.GIF}, {moving, "still", imagefile.JPEG},
	} {
		path := "/" + on.hash + "/" + on.upload(c.data, "", false).ID + "/" + c.variant
		on.served(path, c.want, "Accept", "image/*,*/*;q=0.8")
		on.served(path, imagefile.WebP, "Accept", "image/webp")
		r := off.served(path, c.want, "Accept", "image/webp")
		if vary := r.Header.Get("Vary"); vary != "" {
			t.Errorf("without negotiation: Vary is %q", vary)
		}
	}
}

func TestADeletedPictureIsGoneAtOnce(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload(imagestest.JPEG(t, 9), "", false)
	path := "/" + h.hash + "/" + img.ID + "/public"
	etag := h.served(path, imagefile.JPEG).Header.Get("ETag")
	if err := h.core.DeleteImage(t.Context(), imagestest.AccountID, img.ID); err != nil {
		t.Fatal(err)
	}
	h.refused(path, 404, 9431)
	h.refused(path, 404, 9431, "If-None-Match", etag)
}

// A picture whose bytes have rotted is refused; the original is never sent in its place.
func TestAFailedRenditionFallsBackOnNothing(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	data := imagestest.JPEG(t, 10)
	img := h.upload(data, "", false)
	rotten := bytes.Clone(data)
	clear(rotten[len(rotten)/4:])
	file := filepath.Join(h.core.Dir, "blobs", filepath.FromSlash(img.Original.Blob))
	if err := os.WriteFile(file, rotten, 0o600); err != nil {
		t.Fatal(err)
	}
	r := h.refused("/"+h.hash+"/"+img.ID+"/public", 422, 9516)
	for _, name := range []string{"ETag", "Vary", "Cache-Tag", "Surrogate-Key"} {
		if got := r.Header.Get(name); got != "" {
			t.Errorf("%s is %q", name, got)
		}
	}
	// A missing original is an internal error.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	r = h.refused("/"+h.hash+"/"+img.ID+"/public", 500, 9523, "Accept", "image/webp")
	id := r.Header.Get("X-Request-Id")
	h.close()
	if id == "" || !strings.Contains(string(r.body), id) || !strings.Contains(h.log.String(), id) ||
		strings.Contains(string(r.body), img.Original.Blob) {
		t.Errorf("got %q", r.body)
	}
}

func TestLogOfADelivery(t *testing.T) {
	t.Parallel()
	h := newHost(t, imagestest.New(t), true)
	img := h.upload(imagestest.JPEG(t, 11), "", false)
	r := h.served("/"+h.hash+"/"+img.ID+"/public?token=canary", imagefile.JPEG, "Cookie", "canary",
		"X-Request-Id", "from-the-proxy")
	if got := r.Header.Get("X-Request-Id"); got != "from-the-proxy" {
		t.Errorf("the picture has the request id %q", got)
	}
	h.close()
	log := h.log.String()
	for _, want := range []string{
		"msg=delivery", "method=GET", "account=" + imagestest.AccountID, "image=" + img.ID,
		"key=" + img.Key,
		"status=200", "code=0", fmt.Sprintf("bytes=%d ", len(r.body)),
		"request_id=from-the-proxy",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%q lacks %q", log, want)
		}
	}
	if strings.Contains(log, "canary") || strings.Count(log, "\n") != 1 {
		t.Errorf("got %q", log)
	}
}
