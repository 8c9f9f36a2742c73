package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"calotype/internal/api/openapitest"
)

// docsSeen is what was seen of the viewer in one view, or by a request from it.
type docsSeen struct {
	Name, Failed, Text, Stored string

	Errors, Hosts []string
	Audits        []struct {
		State      string
		Passes     int
		Violations []string
	}
}

// viewerFlaws are the rules of axe that the viewer's own markup breaks: it leaves out levels of headings, a link
// stands inside the part that opens an operation, and the introduction is outside of the main part.
var viewerFlaws = []string{"heading-order", "nested-interactive", "region"}

// TestDocsPage reads the viewer in light and dark, on a phone and on a desk, by the keyboard, and sends a request from
// it. CALOTYPE_SCREENSHOTS names a folder for pictures of it.
func TestDocsPage(t *testing.T) {
	t.Parallel()
	chromium, node := browserParts(t)
	s := newServer(t)
	all := runPlan[docsSeen](t, chromium, node, "browser/docs.mjs", map[string]any{
		"page": s.url + "/docs", "token": token, "shots": os.Getenv("CALOTYPE_SCREENSHOTS"),
	})
	if len(all) != 5 {
		t.Fatalf("%d things were seen, want 5", len(all))
	}
	for _, seen := range all {
		t.Run(seen.Name, func(t *testing.T) { s.checkDocs(t, seen) })
	}
}

func (s *server) checkDocs(t *testing.T, seen docsSeen) {
	if seen.Failed != "" || len(seen.Errors) > 0 {
		t.Fatalf("%s; the browser reports %q", seen.Failed, seen.Errors)
	}
	if own := strings.TrimPrefix(s.url, "http://"); !slices.Equal(seen.Hosts, []string{own}) {
		t.Errorf("the page has requested %v", seen.Hosts)
	}
	want := []string{"Creates a draft and returns its id", `"user-7"`, "5400", "ticket="}
	if seen.Name == "request" {
		want = []string{"200", "This API Token is valid and active"}
		if strings.Contains(seen.Stored, token) {
			t.Errorf("the browser stores the token: %s", seen.Stored)
		}
	}
	for _, text := range want {
		if !strings.Contains(seen.Text, text) {
			t.Errorf("the page lacks %q:\n%s", text, seen.Text)
		}
	}
	if seen.Name != "request" && len(seen.Audits) != 1 {
		t.Errorf("%d audits", len(seen.Audits))
	}
	for _, audit := range seen.Audits {
		for _, found := range audit.Violations {
			if rule, _, _ := strings.Cut(found, ":"); !slices.Contains(viewerFlaws, rule) {
				t.Errorf("%s: axe finds %s", audit.State, found)
			}
		}
		if audit.Passes < 15 {
			t.Errorf("%s: axe passes %d", audit.State, audit.Passes)
		}
	}
}

// TestDocsOff: -docs=off has no viewer and no link to it. Otherwise the description beside it names this server.
func TestDocsOff(t *testing.T) {
	t.Parallel()
	on, off := newServer(t), newServer(t, "-docs=off")
	description, err := openapitest.Read(visit(t, "GET", on.url+"/docs/openapi.json").body)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range description.Operations {
		if !strings.HasPrefix(o.Path, on.url+"/") {
			t.Errorf("%s is not at this server", o)
		}
	}
	for _, path := range []string{"/docs", "/docs/openapi.json"} {
		if a := visit(t, "GET", off.url+path); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	for s, want := range map[*server]bool{on: true, off: false} {
		if front := visit(t, "GET", s.url+"/"); strings.Contains(string(front.body), `href="/docs"`) != want {
			t.Errorf("the front page: %s", front.body)
		}
	}
	got := calotype(t, nil, "serve", "-data", t.TempDir(), "-listen", "127.0.0.1:0", "-docs=maybe")
	if got.code == 0 || !strings.Contains(got.stderr, "on") || !strings.Contains(got.stderr, "off") {
		t.Errorf("-docs=maybe ended with %d: %s", got.code, got.stderr)
	}
}

// TestDescribedMethods: outside the API, which has its own test, a path answers the methods that the description has.
func TestDescribedMethods(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hash := strings.Repeat("A", 22)
	for path, at := range map[string]string{
		"/upload/{hash}/{id}": "/upload/" + hash + "/x", "/upload/tus/{secret}": "/upload/tus/x",
		"/upload/resumable/{secret}": "/upload/resumable/x", "/{hash}/{id}/{variant}": "/" + hash + "/x/public",
		"/cdn-cgi/imagedelivery/{hash}/{id}/{variant}": "/cdn-cgi/imagedelivery/" + hash + "/x/public",
		"/cdn-cgi/image/{options}/{source}":            "/cdn-cgi/image/width=8/x", "/openapi.json": "/openapi.json",
	} {
		a := visit(t, "PROPFIND", s.url+at)
		var allowed, described []string
		for method := range strings.SplitSeq(a.header.Get("Allow"), ", ") {
			if method != "OPTIONS" && method != "HEAD" { // of browsers, and of every GET
				allowed = append(allowed, method)
			}
		}
		var doc struct {
			Paths map[string]map[string]json.RawMessage
		}
		if err := json.Unmarshal(fetch(t, s.url+"/openapi.json"), &doc); err != nil {
			t.Fatal(err)
		}
		for key := range doc.Paths[path] {
			if method := strings.ToUpper(key); key != "servers" && key != "parameters" && method != "HEAD" {
				described = append(described, method)
			}
		}
		slices.Sort(allowed)
		slices.Sort(described)
		if a.status != http.StatusMethodNotAllowed || !slices.Equal(allowed, described) {
			t.Errorf("%s: status %d, the server answers %v and %v are described", path, a.status, allowed, described)
		}
	}
}
