package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A front is a proxy before a server. It remembers what passed, and falsifies what its breakage
// says.
type front struct {
	*httptest.Server
	mu    sync.Mutex
	calls []call
}

// A call is a request of an SDK, and how it was answered.
type call struct {
	method, path, agent string
	repeated            bool // the SDK sent it before
	status              int
}

// newFront starts a front before a program, which ends with the test. Where it breaks things, home
// is the address in the program's answers, which is made to lead here; else it is empty.
func newFront(t *testing.T, program, home string, b breakage) *front {
	t.Helper()
	upstream, err := url.Parse(program)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	var here string
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Del("Accept-Encoding") // answers must be readable
			if b.request != nil {
				b.request(r.Out)
			}
			if b.message != nil {
				relayDestination(r.Out, here)
			}
		},
		ModifyResponse: func(r *http.Response) error {
			f.remember(r)
			if home == "" {
				return nil
			}
			return b.falsify(r, home, here)
		},
	}
	f.Server = httptest.NewUnstartedServer(proxy)
	if b.message != nil {
		f.Server.Config.Handler = relayed{proxy, b.message}
	}
	here = "http://" + f.Listener.Addr().String()
	f.Start()
	t.Cleanup(f.Close)
	return f
}

// remember notes a request of an SDK: those send headers that an end user's upload lacks.
func (f *front) remember(r *http.Response) {
	header := r.Request.Header
	if header.Get("X-Stainless-Lang") == "" {
		return
	}
	retries := header.Get("X-Stainless-Retry-Count")
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call{
		method: r.Request.Method, path: r.Request.URL.EscapedPath(), status: r.StatusCode,
		agent: header.Get("User-Agent"), repeated: retries != "0",
	})
}

// check looks at what passed: calls of the SDK in that version, none of them repeated, and one
// 409 for each of the three scenarios that ask for a taken id.
func (f *front) check(t *testing.T, agent string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	conflicts := map[string]int{}
	for _, c := range f.calls {
		if c.agent != agent {
			t.Errorf("%s %s came from %q, want %q", c.method, c.path, c.agent, agent)
		}
		if c.repeated || c.status >= 500 {
			t.Errorf("%s %s was sent again, or failed: %+v", c.method, c.path, c)
		}
		if c.status == http.StatusConflict {
			conflicts[c.method+" "+c.path[strings.LastIndex(c.path, "images/"):]]++
		}
	}
	want := "map[POST images/v1:1 POST images/v1/variants:1 POST images/v2/direct_upload:1]"
	if got := fmt.Sprint(conflicts); got != want {
		t.Errorf("answered with 409 were %s, want %s", got, want)
	}
	t.Logf("%d requests of %s", len(f.calls), agent)
}

// A breakage is one thing that a server may do wrong.
type breakage struct {
	name    string
	want    string // what the programs say of it: a regular expression
	request func(*http.Request)
	answer  func(*http.Response, *[]byte)          // may change status, headers and body
	result  func(on string, result map[string]any) // of successful calls; on names the call
	message func(*message)                         // to a receiver of webhooks; may change it
}

// falsify breaks an answer. Addresses in it lead back to this front.
func (b breakage) falsify(r *http.Response, from, to string) error {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err
	}
	if err := r.Body.Close(); err != nil {
		return err
	}
	on := operation(r.Request)
	// The history holds signed messages: their addresses already are the program's.
	if strings.Contains(r.Header.Get("Content-Type"), "json") && on != "GET history" {
		body = bytes.ReplaceAll(body, []byte(from), []byte(to))
		if b.message != nil {
			body = withoutRelay(body, to)
		}
	}
	if location := r.Header.Get("Location"); location != "" {
		r.Header.Set("Location", strings.Replace(location, from, to, 1))
	}
	if b.result != nil && r.StatusCode < http.StatusMultipleChoices {
		var envelope map[string]any
		if json.Unmarshal(body, &envelope) == nil {
			if result, ok := envelope["result"].(map[string]any); ok {
				b.result(on, result)
			}
			if body, err = json.Marshal(envelope); err != nil {
				return err
			}
		}
	}
	if b.answer != nil {
		b.answer(r, &body)
	}
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.ContentLength, r.Body = int64(len(body)), io.NopCloser(bytes.NewReader(body))
	return nil
}

// operation returns the name of a request's operation: direct_upload, create, list, old list, details, blob,
// edit or delete; post and get are an end user's. Requests about webhooks are named by method and path,
// such as "PUT policies/", without the id.
func operation(r *http.Request) string {
	path := r.URL.EscapedPath()
	if _, below, alerting := strings.Cut(path, "/alerting/v3/"); alerting {
		for _, collection := range []string{"destinations/webhooks/", "policies/"} {
			if strings.HasPrefix(below, collection) {
				below = collection
			}
		}
		return r.Method + " " + below
	}
	_, below, api := strings.Cut(path, "/images/")
	switch {
	case !api && r.Method == http.MethodGet:
		return "get"
	case !api:
		return "post"
	case below == "v2/direct_upload":
		return "direct_upload"
	case below == "v2":
		return "list"
	case below == "v1" && r.Method == http.MethodPost:
		return "create"
	case below == "v1":
		return "old list"
	case r.Method == http.MethodDelete:
		return "delete"
	case r.Method == http.MethodPatch:
		return "edit"
	case strings.HasSuffix(below, "/blob"):
		return "blob"
	}
	return "details"
}

// without returns a change of requests that removes a parameter from the query.
func without(on, parameter string) func(*http.Request) {
	return func(r *http.Request) {
		if query := r.URL.Query(); operation(r) == on {
			query.Del(parameter)
			r.URL.RawQuery = query.Encode()
		}
	}
}

// set returns a change of results that sets a field, or removes it if the value is nil.
func set(on, field string, value any) func(string, map[string]any) {
	return func(operation string, result map[string]any) {
		switch {
		case operation != on:
		case value == nil:
			delete(result, field)
		default:
			result[field] = value
		}
	}
}

// status returns a change of answers that turns one status into another.
func status(from, to int, on ...string) func(*http.Response, *[]byte) {
	return func(r *http.Response, _ *[]byte) {
		if r.StatusCode == from && slices.Contains(on, operation(r.Request)) {
			r.StatusCode = to
		}
	}
}

// breakages are what both programs must notice.
var breakages = []breakage{
	{name: "no upload URL", want: "there is no upload URL",
		result: set("direct_upload", "uploadURL", nil)},
	{name: "never a draft", want: "the image is no draft before the upload",
		result: set("details", "draft", nil)},
	{name: "always a draft", want: "the image is still a draft after the upload",
		result: set("details", "draft", true)},
	{name: "metadata lost", want: "the metadata is ", result: set("details", "meta", nil)},
	{name: "private made public", want: "requireSignedURLs",
		result: set("details", "requireSignedURLs", false)},
	{name: "blob changed", want: "the blob differs", answer: func(r *http.Response, body *[]byte) {
		if operation(r.Request) == "blob" && r.StatusCode == http.StatusOK {
			(*body)[len(*body)/2] ^= 1
		}
	}},
	{name: "list without images", want: "the list (in ascending|has no images)",
		result: set("list", "images", nil)},
	{name: "old list without images", want: "the old list ", result: set("old list", "images", nil)},
	{name: "creators mixed up", want: "the list of a new creator",
		request: without("list", "creator")},
	{name: "first page for ever", want: "the list does not end",
		request: without("list", "continuation_token")},
	{name: "order ignored", want: "the list in ascending order",
		request: without("list", "sort_order")},
	{name: "deletion does nothing", want: "the image was found after its deletion",
		request: func(r *http.Request) {
			if operation(r) == "delete" {
				r.Method = http.MethodGet
			}
		}},
	{name: "edit does nothing", want: "the (metadata is|image has another creator)",
		request: func(r *http.Request) {
			if operation(r) == "edit" {
				r.Method = http.MethodGet
			}
		}},
	{name: "edited id hidden", want: "the edited image is private under the old id",
		request: func(r *http.Request) {
			if operation(r) == "edit" {
				r.Header.Set("X-Edited", r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
			}
		},
		answer: func(r *http.Response, body *[]byte) {
			var edited struct{ Result struct{ ID string } }
			if asked := r.Request.Header.Get("X-Edited"); asked != "" &&
				json.Unmarshal(*body, &edited) == nil && edited.Result.ID != "" {
				*body = bytes.ReplaceAll(*body, []byte(edited.Result.ID), []byte(asked))
			}
		}},
	{name: "no success", want: "broken envelope", answer: func(r *http.Response, body *[]byte) {
		*body = bytes.Replace(*body, []byte(`"success": true`), []byte(`"success": false`), 1)
	}},
	{name: "repeats wanted", want: "the SDK sent 3 requests for one refusal",
		answer: func(r *http.Response, _ *[]byte) { r.Header.Del("X-Should-Retry") }},
	{name: "conflict answered as bad request", want: "(?s)the refusal is .* want (status 409|ConflictE)",
		answer: status(http.StatusConflict, http.StatusBadRequest, "direct_upload", "create")},
	{name: "second upload taken", want: "second upload",
		answer: status(http.StatusConflict, http.StatusOK, "post")},
	{name: "private picture delivered", want: "the private image was delivered",
		answer: status(http.StatusForbidden, http.StatusOK, "get")},
	{name: "upload thrown away", want: "the image is still a draft after the upload",
		request: func(r *http.Request) {
			if operation(r) == "post" {
				r.Method = http.MethodOptions
			}
		},
		answer: status(http.StatusNoContent, http.StatusOK, "post")},
}

// breakagesV0 are what the program for the older Go SDK must notice.
var breakagesV0 = []breakage{
	{name: "metadata lost", want: "the image is ", result: set("details", "meta", nil)},
	{name: "list without images", want: "the list has no ",
		result: set("old list", "images", nil)},
	{name: "blob changed", want: "the blob differs", answer: func(r *http.Response, body *[]byte) {
		if operation(r.Request) == "blob" && r.StatusCode == http.StatusOK {
			(*body)[len(*body)/2] ^= 1
		}
	}},
	{name: "second upload taken", want: "the second upload was answered with 200",
		answer: status(http.StatusConflict, http.StatusOK, "post")},
	{name: "private picture delivered", want: "the private image is answered with 200",
		answer: status(http.StatusForbidden, http.StatusOK, "get")},
}
