package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/svg/svgtest"
)

// A vectorSite serves SVGs without any header that protects a browser, and records the other requests.
type vectorSite struct {
	*httptest.Server
	raw, clean [][]byte
	delivered  []string // URLs of the server under test

	mu       sync.Mutex
	requests []string
}

func newVectorSite(t *testing.T) *vectorSite {
	site := &vectorSite{}
	site.Server = httptest.NewServer(site)
	t.Cleanup(site.Close)
	return site
}

// address returns the URL of the i-th SVG of a set.
func (v *vectorSite) address(set string, i int) string {
	if set == "delivered" {
		return v.delivered[i]
	}
	return fmt.Sprintf("%s/%s/%d", v.URL, set, i)
}

func (v *vectorSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	parts := strings.Split(r.URL.Path, "/")
	of := map[string][][]byte{"raw": v.raw, "clean": v.clean}[parts[1]]
	switch i, err := strconv.Atoi(parts[len(parts)-1]); {
	case r.URL.Path == "/favicon.ico":
		http.NotFound(w, r)
	case len(parts) == 3 && err == nil && i < len(of):
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = w.Write(of[i])
	case len(parts) == 5 && parts[1] == "host" && err == nil:
		first, _ := strconv.Atoi(parts[3])
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!DOCTYPE html><title>x</title>`)
		for at := first; at < i; at++ {
			src := html.EscapeString(v.address(parts[2], at))
			for _, shown := range strings.Split(r.URL.RawQuery, "+") {
				fmt.Fprintf(w, vectorTags[shown], src)
			}
		}
	default:
		v.mu.Lock()
		v.requests = append(v.requests, r.URL.String())
		v.mu.Unlock()
		http.NotFound(w, r)
	}
}

// A vectorPage is a page that browser/svg.mjs opens.
type vectorPage struct {
	URL  string   `json:"url"`
	Shot bool     `json:"shot"`
	Own  []string `json:"own,omitempty"`
}

// vectorSeen is what it saw.
type vectorSeen struct {
	Failed   string
	Dialogs  int
	Requests []string
	Shot     []byte
}

// vectorTags are the ways in which a page shows an SVG.
var vectorTags = map[string]string{
	"img": `<img src="%s">`, "object": `<object data="%s"></object>`, "iframe": `<iframe src="%s"></iframe>`,
}

// host returns a page that shows some SVGs of a set, in some ways such as "img+object".
func (v *vectorSite) host(set string, from, to int, ways string) vectorPage {
	page := vectorPage{URL: fmt.Sprintf("%s/host/%s/%d/%d?%s", v.URL, set, from, to, ways)}
	for i := from; i < to; i++ {
		page.Own = append(page.Own, v.address(set, i))
	}
	return page
}

// hosts returns pages that together show all SVGs of a set in all ways.
func (v *vectorSite) hosts(set string) (all []vectorPage) {
	const together = 10
	for from := 0; from < len(v.raw); from += together {
		all = append(all, v.host(set, from, min(from+together, len(v.raw)), "img+object+iframe"))
	}
	return all
}

func openPages(t *testing.T, pages []vectorPage) []vectorSeen {
	t.Helper()
	chromium, node := browserParts(t)
	plan, err := json.Marshal(map[string]any{"chromium": chromium, "args": chromiumArgs(), "pages": pages})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "browser/svg.mjs")
	cmd.WaitDelay = 10 * time.Second // the browser may hold the pipes
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(plan), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("driving the browser: %v\n%s", err, stderr.String())
	}
	all := make([]vectorSeen, len(pages))
	decoder := json.NewDecoder(&stdout)
	for i := range all {
		if err := decoder.Decode(&all[i]); err != nil {
			t.Fatalf("page %d: %v\n%s", i, err, stderr.String())
		}
	}
	return all
}

// harm describes what ran or was fetched on a page, "" for nothing.
func (s vectorSeen) harm() string {
	if s.Dialogs == 0 && len(s.Requests) == 0 {
		return ""
	}
	return fmt.Sprintf("%d dialogs, requests %.300q", s.Dialogs, s.Requests)
}

// uploadVector uploads an SVG and returns the URL of its delivery and the delivered bytes; a refused one has none.
func (s *server) uploadVector(t *testing.T, f svgtest.File) (url string, clean []byte) {
	t.Helper()
	u := s.createUploadURL()
	a := post(t, u.UploadURL, "a.svg", f.Body)
	how := fmt.Sprintf("%d %d", a.status, a.code(t))
	if f.Refused {
		if !documented[how] {
			t.Errorf("%s: %s: %s", f.Name, how, a.body)
		}
		return "", nil
	}
	if a.status != http.StatusOK {
		t.Errorf("%s: %s: %s", f.Name, how, a.body)
		return "", nil
	}
	url = s.public(u.ID)
	got := do(t, "GET", url, nil, "Accept", "image/webp")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != "image/svg+xml" ||
		!strings.Contains(got.header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("%s: delivered: %d %v", f.Name, got.status, got.header)
	}
	return url, got.body
}

// TestHostileSVGInBrowser opens hostile SVGs in Chromium: nothing runs and nothing is fetched. Each is opened as it
// is delivered, directly and in a page, and its delivered bytes are opened from a site without a
// Content-Security-Policy. As a control, the files are opened as they were uploaded.
func TestHostileSVGInBrowser(t *testing.T) {
	t.Parallel()
	browserParts(t)
	s := newServer(t)
	site := newVectorSite(t)
	for _, f := range svgtest.Hostile(site.URL) {
		if url, clean := s.uploadVector(t, f); url != "" {
			site.delivered, site.clean, site.raw = append(site.delivered, url), append(site.clean, clean),
				append(site.raw, f.Body)
		}
	}
	pages := append(site.hosts("delivered"), site.hosts("clean")...)
	for _, url := range site.delivered {
		pages = append(pages, vectorPage{URL: url})
	}
	for p, seen := range openPages(t, pages) {
		if harm := seen.harm(); harm != "" || seen.Failed != "" {
			t.Errorf("%s: %s %s", pages[p].URL, harm, seen.Failed)
		}
	}
	if len(site.requests) != 0 {
		t.Errorf("the site was asked for %q", site.requests)
	}
	harmful := map[string]bool{}
	for _, seen := range openPages(t, site.hosts("raw")) {
		for _, request := range seen.Requests {
			harmful[request] = true
		}
	}
	t.Logf("%d files make %d requests as they were uploaded", len(site.raw), len(harmful))
	if len(site.raw) < 120 || len(harmful) < 60 {
		t.Error("the control does too little harm: the test does not test it")
	}
}

// TestUsualSVGInBrowser compares usual SVGs, as uploaded and as delivered, pixel by pixel.
func TestUsualSVGInBrowser(t *testing.T) {
	t.Parallel()
	browserParts(t)
	s := newServer(t)
	site := newVectorSite(t)
	var names []string
	var pages []vectorPage
	for i, f := range svgtest.Usual() {
		url, clean := s.uploadVector(t, f)
		if url == "" {
			t.Fatalf("%s is refused", f.Name)
		}
		names = append(names, f.Name)
		site.delivered, site.clean, site.raw = append(site.delivered, url), append(site.clean, clean),
			append(site.raw, f.Body)
		for _, set := range []string{"raw", "delivered"} {
			host := site.host(set, i, i+1, "img")
			host.Shot = true
			pages = append(pages, host, vectorPage{URL: site.address(set, i), Shot: true})
		}
	}
	seen := openPages(t, pages)
	for i, name := range names {
		for way := range 2 {
			raw, delivered := seen[4*i+way], seen[4*i+2+way]
			if raw.Failed != "" || delivered.Failed != "" || delivered.harm() != "" {
				t.Errorf("%s: %s, %s, %s", name, raw.Failed, delivered.Failed, delivered.harm())
				continue
			}
			if colors, differ := comparePNG(t, raw.Shot, delivered.Shot); colors < 2 || differ != 0 {
				t.Errorf("%s: %d pixels differ; it has %d colours", name, differ, colors)
			}
		}
	}
}

// comparePNG returns the number of colours in a picture, and the number of pixels in which another one differs.
func comparePNG(t *testing.T, a, b []byte) (colors, differ int) {
	t.Helper()
	var decoded [2]image.Image
	for i, data := range [][]byte{a, b} {
		var err error
		if decoded[i], err = png.Decode(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[[4]uint32]bool{}
	for y := range decoded[0].Bounds().Dy() {
		for x := range decoded[0].Bounds().Dx() {
			var pixel [2][4]uint32
			for i := range pixel {
				pixel[i][0], pixel[i][1], pixel[i][2], pixel[i][3] = decoded[i].At(x, y).RGBA()
			}
			seen[pixel[0]] = true
			if pixel[0] != pixel[1] {
				differ++
			}
		}
	}
	return len(seen), differ
}
