package api

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"calotype/internal/api/openapitest"
)

var description = sync.OnceValues(func() (*openapitest.Description, error) {
	return openapitest.Read(openAPI)
})

func describedOperations(t *testing.T) *openapitest.Description {
	t.Helper()
	d, err := description()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// conform holds an answer of the API against its description.
func (f *fixture) conform(method, path string, got reply) {
	f.t.Helper()
	d := describedOperations(f.t)
	path, _, _ = strings.Cut(path, "?")
	o := d.Find(method, path)
	if o == nil {
		if got.status == http.StatusOK {
			f.t.Errorf("%s %s is answered and not described", method, path)
		}
		return
	}
	if err := d.Check(o, got.status, []byte(got.body)); err != nil {
		f.t.Error(err)
	}
}

// TestOpenAPIRoutes wants each route in the description and nothing else, and its scope as it is.
func TestOpenAPIRoutes(t *testing.T) {
	t.Parallel()
	var described, routed []string
	for _, o := range describedOperations(t).Operations {
		if strings.HasPrefix(o.Path, Prefix) || IsBatch(o.Path) { // the others are other surfaces'
			described = append(described, o.String())
		}
	}
	for _, r := range (&api{}).list() {
		routed = append(routed, r.method+" "+Prefix+strings.ReplaceAll(r.pattern, "...}", "}"))
	}
	for _, r := range batchRoutes {
		routed = append(routed, strings.ReplaceAll(strings.Replace(r, " ", " /", 1), "...}", "}"))
	}
	slices.Sort(described)
	slices.Sort(routed)
	for _, o := range described {
		if !slices.Contains(routed, o) {
			t.Errorf("%s is described and no route", o)
		}
	}
	for _, r := range routed {
		if !slices.Contains(described, r) {
			t.Errorf("%s is a route and not described", r)
		}
	}
}

// TestOpenAPISchemas compiles the schema of each answer.
func TestOpenAPISchemas(t *testing.T) {
	t.Parallel()
	d := describedOperations(t)
	for _, o := range d.Operations {
		for _, status := range []int{http.StatusOK, http.StatusBadRequest} {
			key := "200"
			if status >= 300 {
				key = "default"
			}
			if o.Answers[key] == "" {
				continue // bytes
			}
			err := d.Check(o, status, []byte(`{"success": "perhaps"}`))
			if err == nil || !strings.Contains(err.Error(), "not as described") {
				t.Errorf("%s: an invalid answer: %v", o, err)
			}
		}
	}
}

func TestServeOpenAPI(t *testing.T) {
	t.Parallel()
	for method, status := range map[string]int{"GET": 200, "HEAD": 200, "POST": 405} {
		w := httptest.NewRecorder()
		ServeOpenAPI(w, httptest.NewRequest(method, OpenAPIPath, nil))
		if w.Code != status || (method == "GET") != (w.Body.String() == string(openAPI)) {
			t.Errorf("%s: %d, %d bytes", method, w.Code, w.Body.Len())
		}
	}
}
