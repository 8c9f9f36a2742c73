package conformance

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// browserScenarios counts the clients that the program in browser/ plays.
const browserScenarios = 26

// browserBreakages are what pages must notice, each by the clients that its pattern names.
var browserBreakages = []struct {
	breakage
	clients string
}{
	{breakage{name: "refusals without CORS", want: "Failed to fetch",
		answer: func(r *http.Response, _ *[]byte) {
			if operation(r.Request) == "post" && r.StatusCode >= http.StatusBadRequest {
				r.Header.Del("Access-Control-Allow-Origin")
			}
		}}, "^guide fetch"},
	{breakage{name: "no credentials allowed", want: "Failed to fetch",
		answer: func(r *http.Response, _ *[]byte) {
			r.Header.Del("Access-Control-Allow-Credentials")
		}}, "^fetch with credentials"},
	{breakage{name: "second upload taken", want: "want Upload URL already used",
		answer: status(http.StatusConflict, http.StatusOK, "post")}, "^fetch with credentials"},
}

// TestBrowser plays upload widgets and HTTP clients of pages in Chromium, with the snippets of the
// guide among them.
func TestBrowser(t *testing.T) {
	t.Parallel()
	command := browserCommand(t)
	s := newServer(t)
	out, ok := s.play(t, s.front, "browser", command...)
	passed := len(regexp.MustCompile(`(?m)^    ok \d`).FindAllString(out, -1))
	if !ok || passed != browserScenarios {
		t.Fatalf("%d clients of %d passed:\n%s", passed, browserScenarios, out)
	}
	for _, b := range browserBreakages {
		t.Run(b.name, func(t *testing.T) {
			broken := newFront(t, s.upstream, s.front.URL, b.breakage)
			out, ok := s.play(t, broken, "browser", append([]string{"env", "CLIENTS=" + b.clients},
				command...)...)
			if ok || !regexp.MustCompile(b.want).MatchString(out) {
				t.Errorf("passed is %v; what is wrong is not said (%s):\n%s", ok, b.want, out)
			}
		})
	}
}

// browserCommand finds what the test needs. In CI nothing may be missing.
func browserCommand(t *testing.T) []string {
	t.Helper()
	var node, chromium string
	_, err := os.Stat("browser/node_modules/esbuild/package.json")
	if err == nil {
		node, err = exec.LookPath("node")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, missing := exec.LookPath(name); missing == nil && chromium == "" {
			chromium = path
		}
	}
	if err == nil && chromium == "" {
		err = exec.ErrNotFound
	}
	if err == nil {
		return []string{"env", "CHROMIUM=" + chromium, node, "--test", "--test-reporter=tap",
			"browser.test.mjs"}
	}
	skipWithout(t, "node, chromium and npm ci in conformance/browser", err)
	return nil
}
