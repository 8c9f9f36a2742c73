package e2e

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// uploadGuide is the guide of the backends with a page.
const uploadGuide = "let-users-upload"

// guideSeen is what browser/guide.mjs saw of the page of a guide.
type guideSeen struct {
	Refused, Accepted string
	Pictures          []struct {
		Src                         string
		NaturalWidth, NaturalHeight int
	}
	Several string
	Shown   int // pictures, those of the several files included
	Parts   []float64
	Errors  []string
}

// TestUploadGuide runs the backends of the guide, and uses their pages: a picture that is refused, and one that is
// accepted and shown.
func TestUploadGuide(t *testing.T) {
	t.Parallel()
	chromium, node := browserParts(t)
	s := newServer(t)
	t.Run("express", func(t *testing.T) {
		dir := t.TempDir()
		writeGuideFiles(t, uploadGuide, dir, "server.mjs", "public/index.html")
		linkModules(t, dir, map[string][]string{"../conformance/node": {"cloudflare", "express"}})
		cmd := exec.Command(node, "server.mjs")
		cmd.Dir, cmd.Env = dir, append(s.guideEnviron(), "PORT=0")
		url, _, _ := startProgram(t, cmd, `(http://localhost:\d+)\n`)
		seen := usePage(t, s, chromium, node, url, true)
		if seen.Shown != 3 || !strings.Contains(seen.Several, "no cat.jpg: ") || strings.Contains(seen.Several, "Done") {
			t.Errorf("after two pictures and a refused file the page shows %d pictures and %q", seen.Shown, seen.Several)
		}
		// The SDK sends the policy, which is not in its types: the draft of the refused picture has it.
		drafts := s.api("GET", "images/v2?draft=true", nil)
		for _, want := range []string{`"maxBytes": 5000000`, `"heic"`, `"creator": "user-1"`} {
			if !strings.Contains(string(drafts.body), want) {
				t.Errorf("the draft lacks %s: %s", want, drafts.body)
			}
		}
	})
	t.Run("next", func(t *testing.T) {
		dir := t.TempDir()
		writeGuideFiles(t, uploadGuide, dir, "app/api/pictures/route.js", "app/api/pictures/[id]/route.js",
			"app/picture-input.jsx", "app/page.jsx")
		writeText(t, filepath.Join(dir, "app/upload-progress.js"), progressFunction(t))
		writeText(t, filepath.Join(dir, "package.json"), `{"type": "module"}`)
		linkModules(t, dir, map[string][]string{"../conformance/node": {"cloudflare"},
			"../conformance/browser": {"react", "react-dom", "esbuild"}})
		cmd := exec.Command(node, "testdata/guides/next.mjs", dir)
		cmd.Env = s.guideEnviron()
		url, _, _ := startProgram(t, cmd, `(http://127.0.0.1:\d+)\n`)
		usePage(t, s, chromium, node, url, false)
	})
}

// progressFunction returns the function of upload-from-the-browser.md that uploads with progress.
func progressFunction(t *testing.T) string {
	t.Helper()
	_, section, found := strings.Cut(readGuide(t, "upload-from-the-browser"), "\n## XMLHttpRequest, with progress\n")
	block := guideFence.FindStringSubmatch(section)
	if !found || block == nil {
		t.Fatal("the guide has no function with progress")
	}
	return block[2]
}

// usePage chooses a refused file and a picture on the page at a URL. With several it also chooses three files at once, of
// which the second one is refused.
func usePage(t *testing.T, s *server, chromium, node, url string, several bool) (seen guideSeen) {
	t.Helper()
	good := browserFile{Name: "a cat.jpg", Type: "image/jpeg", Base64: photo(t, 1600, 1200, 77)}
	bad := browserFile{Name: "no cat.jpg", Type: "image/jpeg", Base64: []byte("this is no picture")}
	use := map[string]any{"chromium": chromium, "args": chromiumArgs(), "page": url, "good": good, "bad": bad}
	if several {
		use["several"] = []browserFile{good, bad, good}
	}
	plan, err := json.Marshal(use)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "guide.mjs")
	cmd.Dir, cmd.Stdin = "browser", bytes.NewReader(plan)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || json.Unmarshal(out, &seen) != nil {
		t.Fatalf("%v\n%s\n%s", err, out, complaints.Bytes())
	}
	if !strings.Contains(seen.Refused, "must have image/jpeg") || seen.Accepted != "Done." || len(seen.Errors) > 0 {
		t.Errorf("the page says %q, then %q; errors %q", seen.Refused, seen.Accepted, seen.Errors)
	}
	if len(seen.Pictures) != 1 || seen.Pictures[0].NaturalWidth != 1024 || seen.Pictures[0].NaturalHeight != 768 {
		t.Fatalf("the page shows %+v, want one picture of 1024 x 768", seen.Pictures)
	}
	if len(seen.Parts) == 0 || slices.Max(seen.Parts) != 1 {
		t.Errorf("the bar showed %v, want an end at 1", seen.Parts)
	}
	id := strings.Split(seen.Pictures[0].Src, "/")[4]
	if p, ok := s.image(id); !ok || p.Draft || p.Filename == nil || *p.Filename != "a cat.jpg" {
		t.Errorf("the image is %+v, %v", p, ok)
	}
	return seen
}
