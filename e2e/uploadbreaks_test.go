package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"testing"
	"time"
)

// TestUploadsResume: the network is cut at 40 % and the server killed at 70 % of a photograph of 9 MB. The page, the
// element, and Uppy as the guide has it, continue by themselves, and each break costs at most one piece of 1 MiB.
func TestUploadsResume(t *testing.T) {
	t.Parallel()
	g := newPageGround(t)
	photograph := nineMegabytes(t)
	file, size := g.file(t, "night.jpg", photograph), int64(len(photograph))
	for _, do := range []string{"upload", "element"} {
		u := g.createUploadURL()
		g.playWithBreaks(t, uploadStep{Name: do + " with breaks", Do: do, URL: u.UploadURL, Page: g.elementPage(u),
			File: file}, size)
		g.wantDelivered(t, u.ID, file)
	}
	g.page = uppyPages(t, g.node)
	u := g.createUploadURL()
	seen := g.playWithBreaks(t, uploadStep{Name: "Uppy with breaks", Do: "uppy", Page: g.elementPage(u), File: file},
		size)
	if id := seen.Outcome.Result.ID; id != u.ID || seen.Left != 0 {
		t.Errorf("the page gets the id %q, want %q; %d records are left", id, u.ID, seen.Left)
	}
	g.wantDelivered(t, u.ID, file)
}

// playWithBreaks plays a step that uploads a file of that size, whose connection breaks twice.
func (g *pageGround) playWithBreaks(t *testing.T, step uploadStep, size int64) (seen uploadSeen) {
	t.Helper()
	killed := make(chan struct{})
	g.tunnel.expect(
		tunnelBreak{size * 4 / 10, func() { g.tunnel.cut(1500 * time.Millisecond) }},
		tunnelBreak{size * 7 / 10, func() { g.kill(); close(killed) }})
	played := make(chan struct{})
	go func() {
		defer close(played)
		seen = g.play(t, step)[0]
	}()
	select {
	case <-killed:
		g.start()
		g.tunnel.lead(t, g.url)
	case <-played:
	}
	<-played
	sent, left := g.tunnel.carried()
	if left > 0 || sent < size || sent > size+2<<20 {
		t.Errorf("%s: %d bytes came for a file of %d, %d breaks did not happen", step.Name, sent, size, left)
	}
	t.Logf("%s: %d bytes of %d came twice", step.Name, sent-size, size)
	return seen
}

// uppyPages serves pages of another origin with the guide's Uppy over tus, and returns its URL: /?url=... has the
// one-time URL.
func uppyPages(t *testing.T, node string) string {
	t.Helper()
	if _, err := os.Stat("../conformance/browser/node_modules/esbuild/package.json"); err != nil {
		reason := fmt.Sprintf("the test of Uppy needs npm ci in conformance/browser: %v", err)
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	script, err := exec.CommandContext(t.Context(), node, "../conformance/browser/bundle.mjs").Output()
	if err != nil {
		t.Fatalf("bundling the page of Uppy: %v", err)
	}
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/uppy.js" {
			w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
			_, _ = w.Write(script)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><html lang="en"><title>An app</title><link rel="icon" href="data:,">`+
			`<main id="root"></main><script type="module" src="/uppy.js"></script>`)
	}))
	t.Cleanup(pages.Close)
	return pages.URL
}

// elementPage is the page of another origin with the element, or Uppy, for a one-time URL.
func (g *pageGround) elementPage(u oneTimeURL) string {
	return g.page + "/?url=" + url.QueryEscape(u.UploadURL)
}
