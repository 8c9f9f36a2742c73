package conformance

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// loaderScenarios counts the scenarios of the program in loaders/: sets of modifiers, packages and presets.
const loaderScenarios = 2*21 + 5 + 17

// loaderBreakages are what the loaders must notice.
var loaderBreakages = []breakage{
	{name: "options ignored", want: "is image/jpeg of 64x48",
		request: func(r *http.Request) {
			r.URL.Path = transformed.ReplaceAllString(r.URL.Path, "/cdn-cgi/image/metadata=none/")
			r.URL.RawPath = ""
		}},
	{name: "nothing delivered", want: "403 ERROR 9427",
		request: func(r *http.Request) {
			r.URL.Path = transformed.ReplaceAllString(r.URL.Path, "/cdn-cgi/nothing/")
			r.URL.RawPath = ""
		}},
}

var transformed = regexp.MustCompile(`^/cdn-cgi/image/[^/]*/`)

// TestLoaders delivers pictures by the URLs of other people's loaders.
func TestLoaders(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("loaders/node_modules/unpic/package.json")
	}
	if err != nil {
		skipWithout(t, "node and npm ci in conformance/loaders", err)
	}
	command := []string{node, "--test-reporter=tap", "loaders.test.mjs"}
	s := newServer(t)
	out, ok := s.play(t, s.front, "loaders", command...)
	passed := len(regexp.MustCompile(`(?m)^ok \d`).FindAllString(out, -1))
	if !ok || passed != loaderScenarios {
		t.Fatalf("%d scenarios of %d passed:\n%s", passed, loaderScenarios, out)
	}
	s.breakEach(t, loaderBreakages, "loaders", command)
}
