package e2e

import (
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg" // what is delivered is decoded
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// uploaded makes an image and returns its id.
func (s *server) uploaded(content []byte, fields ...string) string {
	s.t.Helper()
	u := s.createUploadURL(fields...)
	if a := post(s.t, u.UploadURL, "a.jpg", content); a.status != http.StatusOK {
		s.t.Fatalf("status %d\n%s", a.status, a.body)
	}
	return u.ID
}

// public is the delivery URL of an image in the variant public.
func (s *server) public(escapedID string) string {
	return s.url + "/" + accountHashOf(accountID) + "/" + escapedID + "/public"
}

// wantDeliveryRefusal checks what all refusals of delivery have in common.
func wantDeliveryRefusal(t *testing.T, a answer, status, code int) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %.200s", a.status, status, a.body)
	}
	if !strings.HasPrefix(string(a.body), fmt.Sprintf("ERROR %d: ", code)) {
		t.Errorf("the body is %.200q, want code %d", a.body, code)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "Cf-Resized": fmt.Sprintf("err=%d", code),
		"Content-Type": "text/plain; charset=utf-8", "Access-Control-Allow-Origin": "*",
		"X-Content-Type-Options": "nosniff", "Etag": "", "Vary": "", "Cache-Tag": "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.uploaded(photo(t, 1600, 1200, 40))
	url := s.public(id)
	first := do(t, "GET", url, nil)
	if first.status != http.StatusOK || first.header.Get("Content-Type") != "image/jpeg" {
		t.Fatalf("status %d, %v", first.status, first.header)
	}
	config, _, err := image.DecodeConfig(bytes.NewReader(first.body))
	if err != nil || config.Width != 1024 || config.Height != 768 {
		t.Errorf("delivered %d x %d, %v; want 1024 x 768", config.Width, config.Height, err)
	}
	t.Run("headers", func(t *testing.T) { deliveryHeaders(t, first) })
	t.Run("negotiation", func(t *testing.T) { deliveryNegotiation(t, url, first) })
	t.Run("not modified", func(t *testing.T) { deliveryNotModified(t, url, first) })
	t.Run("ranges", func(t *testing.T) { deliveryRanges(t, url, first.body) })
	t.Run("HEAD", func(t *testing.T) {
		a := do(t, "HEAD", url, nil)
		if a.status != http.StatusOK || len(a.body) != 0 ||
			a.header.Get("Content-Length") != strconv.Itoa(len(first.body)) ||
			a.header.Get("ETag") != first.header.Get("ETag") {
			t.Errorf("status %d, %d bytes, %v", a.status, len(a.body), a.header)
		}
	})
	t.Run("OPTIONS", func(t *testing.T) {
		a := do(t, "OPTIONS", url, nil, "Origin", "https://app.example",
			"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "range")
		if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("status %d, %v", a.status, a.header)
		}
	})
	t.Run("POST", func(t *testing.T) {
		a := do(t, "POST", url, strings.NewReader("x"))
		if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("status %d, Allow %q", a.status, a.header.Get("Allow"))
		}
	})
	t.Run("with the prefix", func(t *testing.T) {
		a := do(t, "GET", strings.Replace(url, s.url, s.url+"/cdn-cgi/imagedelivery", 1), nil)
		if a.status != http.StatusOK || !bytes.Equal(a.body, first.body) {
			t.Errorf("status %d, %d bytes", a.status, len(a.body))
		}
	})
	t.Run("after a restart", func(t *testing.T) {
		s.stop()
		s.start()
		a := do(t, "GET", s.public(id), nil)
		if a.status != http.StatusOK || !bytes.Equal(a.body, first.body) ||
			a.header.Get("ETag") != first.header.Get("ETag") {
			t.Errorf("status %d, %d bytes, %v", a.status, len(a.body), a.header)
		}
	})
}

func deliveryHeaders(t *testing.T, a answer) {
	for name, want := range map[string]string{
		"Cache-Control":                "public, max-age=172800, stale-while-revalidate=7200",
		"Vary":                         "Accept",
		"Access-Control-Allow-Origin":  "*",
		"Cross-Origin-Resource-Policy": "cross-origin",
		"X-Content-Type-Options":       "nosniff",
		"Accept-Ranges":                "bytes",
		"Content-Length":               strconv.Itoa(len(a.body)),
		"Last-Modified":                "",
		"Set-Cookie":                   "",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); !strings.Contains(csp, "sandbox") ||
		!strings.Contains(csp, "default-src 'none'") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	if etag := a.header.Get("ETag"); len(etag) < 10 || etag[0] != '"' {
		t.Errorf("ETag %q is not strong", etag)
	}
	tags := strings.Split(a.header.Get("Cache-Tag"), ",")
	if len(tags) != 3 || strings.Join(tags, " ") != a.header.Get("Surrogate-Key") {
		t.Errorf("Cache-Tag %q, Surrogate-Key %q", tags, a.header.Get("Surrogate-Key"))
	}
}

func deliveryNegotiation(t *testing.T, url string, jpeg answer) {
	avif := do(t, "GET", url, nil, "Accept", "image/avif,image/webp,image/apng,*/*;q=0.8")
	if kind := avif.header.Get("Content-Type"); kind != "image/avif" ||
		!bytes.Equal(avif.body[4:12], []byte("ftypavif")) {
		t.Errorf("a browser gets %s", kind)
	}
	webp := do(t, "GET", url, nil, "Accept", "image/webp,image/apng,*/*;q=0.8")
	if kind := webp.header.Get("Content-Type"); kind != "image/webp" ||
		!bytes.Equal(webp.body[8:12], []byte("WEBP")) {
		t.Errorf("an older browser gets %s", kind)
	}
	if webp.header.Get("ETag") == jpeg.header.Get("ETag") || webp.header.Get("Vary") != "Accept" {
		t.Errorf("one name for two files: %v", webp.header)
	}
	for _, accept := range []string{"*/*", "image/*", "image/png", "image/webp;q=0", "text/html"} {
		a := do(t, "GET", url, nil, "Accept", accept)
		if kind := a.header.Get("Content-Type"); kind != "image/jpeg" {
			t.Errorf("Accept: %s gets %s", accept, kind)
		}
	}
}

func deliveryNotModified(t *testing.T, url string, first answer) {
	etag := first.header.Get("ETag")
	for _, match := range []string{etag, "W/" + etag, `"other", ` + etag, "*"} {
		a := do(t, "GET", url, nil, "If-None-Match", match)
		if a.status != http.StatusNotModified || len(a.body) != 0 || a.header.Get("ETag") != etag ||
			a.header.Get("Cache-Control") != first.header.Get("Cache-Control") ||
			a.header.Get("Vary") != "Accept" {
			t.Errorf("If-None-Match %s: status %d, %v", match, a.status, a.header)
		}
	}
	if a := do(t, "GET", url, nil, "If-None-Match", `"other"`); a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
	if a := do(t, "GET", url, nil, "If-None-Match", etag, "Accept", "image/webp"); a.status != 200 {
		t.Errorf("the tag of the JPEG is good for the WebP: status %d", a.status)
	}
}

func deliveryRanges(t *testing.T, url string, whole []byte) {
	size := len(whole)
	for spec, want := range map[string][2]int{
		"0-99": {0, 100}, "100-199": {100, 200}, "-10": {size - 10, size},
		fmt.Sprintf("%d-", size-5): {size - 5, size}, fmt.Sprintf("10-%d", size*2): {10, size},
	} {
		a := do(t, "GET", url, nil, "Range", "bytes="+spec)
		span := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size)
		if a.status != http.StatusPartialContent || !bytes.Equal(a.body, whole[want[0]:want[1]]) ||
			a.header.Get("Content-Range") != span {
			t.Errorf("%s: status %d, %d bytes, %s", spec, a.status, len(a.body),
				a.header.Get("Content-Range"))
		}
	}
	a := do(t, "GET", url, nil, "Range", fmt.Sprintf("bytes=%d-", size))
	if a.status != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("past the end: status %d", a.status)
	}
}

func TestDeliveryRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id, draft := s.uploaded(photo(t, 320, 240, 41)), s.createUploadURL().ID
	private := s.uploaded(photo(t, 320, 240, 42), "requireSignedURLs", "true")
	hash := accountHashOf(accountID)
	for _, tt := range []struct {
		path         string
		status, code int
	}{
		{"/AAAAAAAAAAAAAAAAAAAAAA/" + id + "/public", 403, 9427},
		{"/short/" + id + "/public", 403, 9427},
		{"/" + hash + "/no-such-image/public", 404, 9431},
		{"/" + hash + "/" + draft + "/public", 404, 9431},
		{"/" + hash + "/" + id + "/no-such-variant", 403, 9425},
		{"/" + hash + "/" + id + "/w=100,h=100", 403, 9429},
		{"/" + hash + "/" + private + "/w=100", 403, 9425},
		{"/" + hash + "/" + private + "/public", 403, 9425},
		{"/" + hash + "/" + id, 400, 9432},
		{"/" + hash + "/" + id + "/", 400, 9432},
		{"/" + hash, 400, 9432},
		{"/" + hash + "/%zz/public", 400, 0},
	} {
		a := rawGet(t, s.url, tt.path)
		if tt.code == 0 {
			if a.status != tt.status {
				t.Errorf("%s: status %d", tt.path, a.status)
			}
			continue
		}
		t.Run(tt.path, func(t *testing.T) { wantDeliveryRefusal(t, a, tt.status, tt.code) })
	}
}

// TestPrivateDelivery: one changed character of a signed URL is a refusal.
func TestPrivateDelivery(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.uploaded(photo(t, 320, 240, 43), "requireSignedURLs", "true")
	other := s.uploaded(photo(t, 320, 240, 44), "requireSignedURLs", "true")
	key, err := s.signingKey()
	if err != nil {
		t.Fatal(err)
	}
	path := "/" + accountHashOf(accountID) + "/" + id + "/public"
	const prefix = "/cdn-cgi/imagedelivery"
	exp := func(after time.Duration) string {
		return fmt.Sprintf("exp=%d", time.Now().Add(after).Unix())
	}
	end := exp(time.Hour)
	good := signed(key, path, end)
	prefixed := signed(key, prefix+path, end)
	for name, target := range map[string]string{
		"with an end": good, "without an end": signed(key, path, ""),
		"sent with the prefix": prefix + good, "signed with the prefix": prefixed,
		"signed with it, sent without": strings.TrimPrefix(prefixed, prefix),
		"another parameter":            signed(key, path, "width=5&"+exp(time.Hour)),
	} {
		a := rawGet(t, s.url, target)
		caching := a.header.Get("Cache-Control")
		if a.status != http.StatusOK || !strings.HasPrefix(caching, "private, max-age=") {
			t.Errorf("%s: status %d, %v", name, a.status, a.header)
		}
	}
	cut := strings.Index(good, "sig=") + len("sig=")
	otherEnd := strings.Replace(good, end, exp(2*time.Hour), 1)
	for name, target := range map[string]string{
		"no signature":      path,
		"no signature, exp": path + "?" + exp(time.Hour),
		"empty":             good[:cut],
		"changed":           good[:cut] + flipped(good[cut:]),
		"upper case":        good[:cut] + strings.ToUpper(good[cut:]),
		"shortened":         good[:len(good)-1],
		"expired":           signed(key, path, exp(-2*time.Second)),
		"another end":       otherEnd,
		"another image":     strings.Replace(good, id, other, 1),
		"another key":       signed(key+"x", path, exp(time.Hour)),
		"twice":             good + "&" + good[cut-len("sig="):],
		"another exp":       good + "&" + exp(24*time.Hour),
		"a parameter more":  good + "&width=5",
		"a malformed end":   signed(key, path, "exp=never"),
		"no end at all":     signed(key, path, "exp="),
	} {
		t.Run(name, func(t *testing.T) {
			wantDeliveryRefusal(t, rawGet(t, s.url, target), http.StatusForbidden, 9425)
		})
	}
}

// flipped changes the first hex digit.
func flipped(hex string) string {
	if hex[0] == '0' {
		return "1" + hex[1:]
	}
	return "0" + hex[1:]
}

// TestDeletedIsGone: an image that was delivered is not delivered by the very next request.
func TestDeletedIsGone(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	picture := photo(t, 320, 240, 45)
	for i := range 5 {
		id := s.uploaded(tagged(picture, i))
		a := do(t, "GET", s.public(id), nil)
		if a.status != http.StatusOK {
			t.Fatalf("status %d", a.status)
		}
		if a := s.api("DELETE", "images/v1/"+id, nil); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
		wantDeliveryRefusal(t, do(t, "GET", s.public(id), nil), http.StatusNotFound, 9431)
		again := do(t, "GET", s.public(id), nil, "If-None-Match", a.header.Get("ETag"))
		wantDeliveryRefusal(t, again, http.StatusNotFound, 9431)
	}
}

// TestOddPaths: nothing is redirected, and nothing outside of the data is reached.
func TestOddPaths(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	id := s.uploaded(photo(t, 320, 240, 46))
	hash := accountHashOf(accountID)
	for _, path := range []string{
		"/" + hash + "//" + id + "/public", "//" + hash + "/" + id + "/public",
		"/" + hash + "/" + id + "//public", "/" + hash + "/" + id + "/./public",
		"/" + hash + "/x/../" + id + "/public", "/" + hash + "/../../../../etc/passwd",
		"/" + hash + "/..%2f..%2f..%2fcalotype.db/public", "/" + hash + "/%2e%2e/" + id + "/public",
		"/../data/calotype.db", "/%2e%2e/first-token", "/client/v4/../../etc/passwd",
		"/upload/../client/v4/accounts/" + accountID + "/images/v2", "/" + hash + "/a%00b/public",
		"/" + hash + "/" + strings.Repeat("x/", 3000) + "public", "/" + hash + "/\xff\xfe/public",
		"/" + hash + "/%ff%fe/public", "/" + hash + "/" + id + "/%ff", "/" + hash + "/" + id + "/a%00",
	} {
		a := rawGet(t, s.url, path)
		if a.status < 400 || a.status >= 500 || a.header.Get("Location") != "" {
			t.Errorf("%.80q: status %d, Location %q", path, a.status, a.header.Get("Location"))
		}
		if bytes.Contains(a.body, []byte("root:")) || bytes.Contains(a.body, []byte("SQLite")) {
			t.Errorf("%.80q: read a file", path)
		}
	}
	if a := rawGet(t, s.url, "/"+hash+"/"+id+"/public"); a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
}

// rawGet sends the path as it is, which no client of package http would.
func rawGet(t *testing.T, address, path string) answer {
	t.Helper()
	conn := dial(t, address)
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path,
		strings.TrimPrefix(address, "http://")); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, conn)
}
