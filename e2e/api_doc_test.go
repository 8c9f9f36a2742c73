package e2e

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"calotype/internal/api/openapitest"
)

// A witness is a proxy before a server that holds what is answered against the description of the
// API and with its examples, and records which operations it saw succeed.
type witness struct {
	t           *testing.T
	description *openapitest.Description

	mu       sync.Mutex
	upstream *url.URL
	seen     map[string]bool
	answers  map[string]openapitest.Shape // by the name of their component
}

// compare wants the answers of an operation in an example of its description, and collects them.
func (w *witness) compare(o *openapitest.Operation, component string, body []byte) {
	got, examples := openapitest.Shape{}, openapitest.Shape{}
	if err := got.AddJSON(string(body)); err != nil {
		w.t.Error(err)
	}
	for _, example := range w.description.Examples(component) {
		examples.Add(example)
	}
	if missing := got.Without(examples); len(missing) > 0 {
		w.t.Errorf("%s: no example of its answer has %v", o, missing)
	}
	if w.answers[component] == nil {
		w.answers[component] = openapitest.Shape{}
	}
	maps.Copy(w.answers[component], got)
}

// compareExamples wants each member of an example in an answer of the server.
func (w *witness) compareExamples() {
	for component, answers := range w.answers {
		examples := openapitest.Shape{}
		for _, example := range w.description.Examples(component) {
			examples.Add(example)
		}
		if missing := examples.Without(answers); len(missing) > 0 {
			w.t.Errorf("the examples of %s have %v, which no answer has", component, missing)
		}
	}
}

func (w *witness) rewrite(r *httputil.ProxyRequest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.SetURL(w.upstream)
}

func (w *witness) check(r *http.Response) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	method, path := r.Request.Method, r.Request.URL.EscapedPath()
	if w.description == nil {
		return nil // the description itself is being read
	}
	o := w.description.Find(method, path)
	if o == nil {
		return nil // a page, or a picture
	}
	name, described := o.Answers[strconv.Itoa(r.StatusCode)]
	if !described && r.StatusCode >= http.StatusMultipleChoices {
		name, described = o.Answers["default"]
	}
	if !described || name != "" { // with JSON
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := w.description.Check(o, r.StatusCode, body); err != nil {
			w.t.Error(err)
		}
		if r.StatusCode < http.StatusMultipleChoices {
			w.compare(o, name, body)
		}
	}
	if r.StatusCode < http.StatusMultipleChoices {
		w.seen[o.String()] = true
	}
	return nil
}

// TestTheExamples runs the examples of docs/api.md, which has one for every operation of the API.
func TestTheExamples(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "## An example of each")
	_, script, begun := strings.Cut(section, "```sh\n")
	script, _, ended := strings.Cut(script, "```")
	if !found || !begun || !ended {
		t.Fatal("docs/api.md has no examples")
	}
	w := &witness{t: t, seen: map[string]bool{}, answers: map[string]openapitest.Shape{}}
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: w.rewrite, ModifyResponse: w.check})
	t.Cleanup(front.Close)
	s := newServer(t, "-url", front.URL, "-outbound-allow", "127.0.0.1")
	upstream, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.upstream = upstream
	w.mu.Unlock()
	text := fetch(t, front.URL+"/openapi.json")
	description, err := openapitest.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.description = description
	w.mu.Unlock()

	shell := exec.Command("bash", "-eu", "-o", "pipefail")
	shell.Dir = t.TempDir()
	shell.Env = append(os.Environ(), "CLOUDFLARE_BASE_URL="+front.URL+"/client/v4",
		"API="+front.URL+"/client/v4/accounts/"+accountID, "AUTH=Authorization: Bearer "+token)
	shell.Stdin = strings.NewReader(strings.ReplaceAll(script, "/tmp/", ""))
	if out, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-2000):])
	}
	thumb, err := os.ReadFile(shell.Dir + "/thumb.jpg")
	if err != nil || !bytes.HasPrefix(thumb, []byte("\xff\xd8\xff")) {
		t.Errorf("the thumbnail is %.20q, %v; want a JPEG", thumb, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range description.Operations {
		if !w.seen[o.String()] {
			t.Errorf("%s has no example that succeeds", o)
		}
	}
	w.compareExamples()
	t.Logf("%d operations have an example", len(w.seen))
}

func fetch(t *testing.T, address string) []byte {
	t.Helper()
	response, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", address, response.StatusCode, err)
	}
	return body
}
