package pages

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"calotype/internal/cfapi"
)

const described = `{"openapi": "3.1.0"}`

// newViewer returns a site with the viewer, from the files in web.
func newViewer(t *testing.T) *site {
	t.Helper()
	return newSite(t, "off", func(c *Config) {
		c.Description = []byte(described)
		c.URLs.Upload = "https://up.example.com"
	})
}

func TestDocs(t *testing.T) {
	t.Parallel()
	s := newViewer(t)
	for _, tt := range []struct {
		path, body, kind, caching string
	}{
		{"/docs", "<!doctype html>the viewer", "text/html; charset=utf-8", "no-cache"},
		{"/docs/openapi.json", described, "application/json", "no-cache"},
		{"/docs/assets/viewer.js", "2", "text/javascript; charset=utf-8", immutable},
	} {
		for _, coding := range []string{"", "gzip"} {
			w := s.do("GET", tt.path, "Accept-Encoding", coding)
			body := w.Body.String()
			if w.Header().Get("Content-Encoding") == "gzip" {
				body = unzip(t, w.Body)
			}
			h := w.Header()
			if w.Code != http.StatusOK || body != tt.body || h.Get("Content-Type") != tt.kind ||
				h.Get("Cache-Control") != tt.caching || h.Get("Content-Encoding") != coding {
				t.Errorf("%s %q: status %d, %v, %s", tt.path, coding, w.Code, h, body)
			}
			policy := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self';") ||
				strings.Contains(policy, "unsafe") || !strings.Contains(policy, " https://up.example.com ") {
				t.Errorf("%s: policy %s", tt.path, policy)
			}
			if again := s.do("GET", tt.path, "Accept-Encoding", coding, "If-None-Match", h.Get("ETag")); again.Code !=
				http.StatusNotModified {
				t.Errorf("%s: a second request is answered %d", tt.path, again.Code)
			}
		}
		if w := s.do("POST", tt.path); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("POST %s: status %d, %v", tt.path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/docs/", "/docs/assets/", "/docs/assets/viewer.txt", "/docs/index.html",
		"/docs/assets/../../index.html", "/docsx"} {
		if w := s.do("GET", path); w.Code != hidden {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	if body := s.do("GET", "/").Body.String(); !strings.Contains(body, `href="/docs"`) {
		t.Errorf("the front page does not link to the viewer: %s", body)
	}
}

// TestDocsOff: without a description there is no viewer, and no link to it.
func TestDocsOff(t *testing.T) {
	t.Parallel()
	s := newSite(t, "localhost", nil)
	for _, path := range []string{"/docs", "/docs/openapi.json", "/docs/assets/viewer.js"} {
		if w := s.do("GET", path); w.Code != hidden {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	if body := s.do("GET", "/").Body.String(); strings.Contains(body, "/docs\"") {
		t.Errorf("the front page links to the viewer: %s", body)
	}
}

// TestDocsUnbuilt: a program without its web part answers with the description only.
func TestDocsUnbuilt(t *testing.T) {
	t.Parallel()
	d := newDocs(fstest.MapFS{}, []byte(described), cfapi.URLs{})
	if got := string(d.files[""]().plain); !strings.Contains(got, "make build") {
		t.Errorf("the viewer is %q", got)
	}
	if got := string(d.files["/openapi.json"]().plain); got != described {
		t.Errorf("the description is %q", got)
	}
}

func unzip(t *testing.T, body *bytes.Buffer) string {
	t.Helper()
	z, err := gzip.NewReader(body)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}
