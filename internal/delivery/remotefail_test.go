package delivery_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/images/imagestest"
)

func TestFailuresOfSources(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	h, _ := newRemoteHost(t, o.host()+",nosuch.invalid,127.0.0.1:1", "127.0.0.0/8")
	data := imagestest.JPEG(t, 7)
	bomb := func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, 10_000_000))
		_ = w.Close()
		return b.Bytes()
	}()
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = w.Write(data) }
	}
	for name, c := range map[string]struct {
		serve        http.HandlerFunc
		status, code int
	}{
		"missing": {status(404), 404, 9404}, "gone": {status(410), 404, 9404}, "forbidden": {status(403), 408, 9408},
		"bad": {status(400), 502, 9519}, "error": {status(500), 502, 9509}, "part": {status(206), 502, 9505},
		"not modified": {status(304), 502, 9505},
		"text":         {picture([]byte("<html>no picture</html>"), "Content-Type", "image/jpeg"), 415, 9412},
		"empty":        {picture(nil), 415, 9412},
		"broken":       {picture(data[:len(data)/2]), 422, 9516},
		"declared":     {picture(make([]byte, 100_001)), 413, 9402},
		"bomb":         {picture(bomb, "Content-Encoding", "gzip"), 413, 9402},
		"encoding":     {picture(data, "Content-Encoding", "br"), 502, 9505},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(data); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
			}
		}, 413, 9402},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "5000")
			_, _ = w.Write(data[:100])
			panic(http.ErrAbortHandler)
		}, 502, 9505},
		"large header": {picture(data, "X-Large", strings.Repeat("x", 100_000)), 502, 9505},
	} {
		o.answers(c.serve)
		path := "/cdn-cgi/image/w=8/" + o.URL + "/" + url.PathEscape(name) + "?secret=canary"
		r := h.refused(path, c.status, c.code)
		if strings.Contains(string(r.body), "canary") || r.Header.Get("ETag") != "" {
			t.Errorf("%s: %q, %v", name, r.body, r.Header)
		}
		// The failure is cached for a while.
		if h.refused(path, c.status, c.code); len(o.requests()) != 1 {
			t.Errorf("%s: %d requests", name, len(o.requests()))
		}
	}
	h.refused("/cdn-cgi/image/w=8/http://nosuch.invalid/a", 523, 9510)
	h.refused("/cdn-cgi/image/w=8/http://127.0.0.1:1/a", 502, 9505)
	if n := h.renditions(); n != 0 {
		t.Errorf("failures left %d files", n)
	}
	h.close()
	if strings.Contains(h.log.String(), "canary") {
		t.Error("the log has the query of a source")
	}
}

// onerror=redirect sends a client to the source, if that is at the site of this server.
func TestOnErrorRedirect(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	port := strings.TrimPrefix(o.host(), "127.0.0.1:")
	h, _ := newRemoteHost(t, o.host()+",localhost:"+port, "127.0.0.0/8,::1/128")
	o.answers(http.NotFound)
	address := o.URL + "/a%20b?x=%2F"
	noFollow := func(path string) *http.Response {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), "GET", h.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		return response
	}
	r := noFollow("/cdn-cgi/image/onerror=redirect,w=8/" + address)
	if r.StatusCode != 302 || r.Header.Get("Location") != address || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("got %d, %v", r.StatusCode, r.Header)
	}
	h.refused("/cdn-cgi/image/w=8/"+address, 404, 9404)
	h.refused("/cdn-cgi/image/onerror=redirect/http://localhost:"+port+"/a", 404, 9404) // another site
	h.refused("/cdn-cgi/image/onerror=redirect/http://evil.example/a", 403, 9427)
	h.refused("/cdn-cgi/image/onerror=redirect,w=0/"+address, 400, 9401)
	o.answers(picture(imagestest.JPEG(t, 8)))
	h.served("/cdn-cgi/image/onerror=redirect,w=8/"+o.URL+"/fine", imagefile.JPEG)
}

// A slow host has no more than its share of the requests, so that pictures of other hosts are served.
func TestASlowHostLeavesTheOthers(t *testing.T) {
	t.Parallel()
	slow, quick := newOrigin(t), newOrigin(t)
	h, _ := newRemoteHost(t, slow.host()+","+quick.host(), "127.0.0.0/8")
	quick.answers(picture(imagestest.JPEG(t, 9)))
	release := make(chan struct{})
	var waiting, busy atomic.Int64
	slow.answers(func(http.ResponseWriter, *http.Request) { waiting.Add(1); <-release })
	var wait sync.WaitGroup
	for i := range 80 {
		wait.Go(func() {
			if r := h.ask("GET", fmt.Sprintf("/cdn-cgi/image/w=8/%s/%d", slow.URL, i)); r.StatusCode == 503 {
				busy.Add(1)
			}
		})
	}
	for deadline := time.Now().Add(10 * time.Second); waiting.Load()+busy.Load() < 80; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			break
		}
	}
	h.served("/cdn-cgi/image/w=8/"+quick.URL+"/a", imagefile.JPEG)
	if busy.Load() == 0 || waiting.Load() == 0 {
		t.Errorf("%d requests wait, %d were refused", waiting.Load(), busy.Load())
	}
	close(release)
	wait.Wait()
}
