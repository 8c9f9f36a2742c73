package deploy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPathsPassUnchanged: what arrives is what was sent, byte for byte, whatever it is.
func TestPathsPassUnchanged(t *testing.T) {
	t.Parallel()
	h := accountHash()
	paths := []string{
		"/" + h + "/a%2Fb%20%25c/public", "/" + h + "/a//b/public", "/" + h + "//a/public?sig=1",
		"/" + h + "/a%2fb%2Fc/public", "/" + h + "/%252F/public", "/" + h + "/%41+b;c=d/public?x=%2f+1",
		"/cdn-cgi/imagedelivery/" + h + "//a%20/w=80,h=90", "/" + h + "/%E6%97%A5/public?",
		"/upload/" + h + "//a%2Fb%25?ticket=ABC&x=a%2Fb", "/upload/" + h + "/a/%2e%2e/b?ticket=A",
		"/client/v4/accounts/" + accountID + "/images/v1/a%2F%2Fb//c%25/blob",
	}
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			echo := httptest.NewServer(http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) {
					// What the server asks of a request's path is its spelling.
					fmt.Fprintf(w, "%s %s %s %t", r.RequestURI, r.Host, r.Proto,
						r.Header.Get("X-Forwarded-For") != "")
				}))
			defer echo.Close()
			address := freeAddress(t)
			f := start(t, address, echo.Listener.Addr().String())
			for _, path := range paths {
				want := fmt.Sprintf("%s %s HTTP/1.1 true", path, address)
				if got := f.rawGet(t, path); got != want {
					t.Errorf("what arrives is\n%s, want\n%s", got, want)
				}
			}
		})
	}
}

// rawGet sends a request line as it is, which Go's client would not do, and returns the body.
func (f *front) rawGet(t *testing.T, target string) string {
	t.Helper()
	transport := f.clients["HTTP/1.1"].Transport.(*http.Transport)
	address := strings.TrimPrefix(f.url, "https://")
	conn, err := dialTLS(address, transport.TLSClientConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
		target, address)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: status %d, %v", target, response.StatusCode, err)
	}
	return string(body)
}

// TestCacheOfNginx: the cache that nginx.conf offers keeps what is public by what a client accepts,
// and nothing that is private.
func TestCacheOfNginx(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	s := startServer(t, "https://"+address)
	f := startNginx(t, address, s.address, true)
	b := &behind{server: s, front: f, client: f.clients["HTTP/2.0"], protocol: "cached"}
	p := b.createUploadURL(t)
	if a := post(t, b.client, p.UploadURL, photo(t, 20_000)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	const jpegOnly, webp = "image/png,image/*;q=0.8", "image/webp,image/apng,image/*"
	bodies := map[string][]byte{}
	for _, step := range []struct{ accept, kind, cache string }{
		// This spelling counts as no WebP here, so it must not be asked for as one.
		{"image/WEBP", "image/jpeg", "MISS"}, {jpegOnly, "image/jpeg", "HIT"},
		{webp, "image/webp", "MISS"},
		{webp, "image/webp", "HIT"}, {jpegOnly, "image/jpeg", "HIT"}, {"*/*", "image/jpeg", "HIT"},
	} {
		a := do(t, b.client, "GET", f.url+"/"+accountHash()+"/"+p.ID+"/public", nil,
			"Accept", step.accept)
		got := [2]string{a.header.Get("Content-Type"), a.header.Get("X-Cache")}
		if got != [2]string{step.kind, step.cache} || a.header.Get("Vary") != "Accept" {
			t.Errorf("%s: %v, %v", step.accept, got, a.header)
		}
		if step.cache == "HIT" && !bytes.Equal(a.body, bodies[step.kind]) {
			t.Errorf("%s: the cache has other bytes", step.accept)
		}
		bodies[step.kind] = a.body
	}
	b.private(t)
}
