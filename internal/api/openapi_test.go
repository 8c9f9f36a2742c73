package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"calotype/internal/api/openapitest"
	"calotype/internal/cfapi"
	"calotype/internal/errs"
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

// TestOpenAPIFlaws wants a text, a tag and examples for each operation.
func TestOpenAPIFlaws(t *testing.T) {
	t.Parallel()
	for _, flaw := range describedOperations(t).Flaws() {
		t.Error(flaw)
	}
}

// TestOpenAPIRefusals wants only refusals that a surface returns: their status, in the summary, and their code.
func TestOpenAPIRefusals(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"429 971": true} // of rate.go
	add := func(status, code int) { known[fmt.Sprint(status, code)] = true }
	for kind := range errs.Kind(200) {
		refusal := cfapi.Refusal(&errs.Error{Kind: kind})
		add(refusal.Status, refusal.Code)
	}
	for _, refusal := range []*cfapi.Error{errNoRoute, errNoCredentials, errTooLarge, errRange, errPrecondition} {
		add(refusal.Status, refusal.Code)
	}
	add(http.StatusPreconditionFailed, codeCondition) // of the version of tus
	var doc struct {
		Components struct {
			Responses map[string]struct {
				Content map[string]struct {
					Examples map[string]struct {
						Summary string
						Value   json.RawMessage
					}
				}
			}
		}
	}
	if err := json.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for name, answer := range doc.Components.Responses {
		for key, example := range answer.Content["application/json"].Examples {
			var value struct {
				Success bool
				Errors  []struct{ Code int }
			}
			if err := json.Unmarshal(example.Value, &value); err != nil || value.Success {
				continue // an answer
			}
			status, _, _ := strings.Cut(example.Summary, ":")
			if seen++; len(value.Errors) != 1 || !known[fmt.Sprint(status, " ", value.Errors[0].Code)] {
				t.Errorf("%s %s: no surface refuses with status %s and %v", name, key, status, value.Errors)
			}
		}
	}
	if seen < 20 {
		t.Errorf("%d refusals have an example", seen)
	}
}

// TestDescription: each server has the URL of the surface that answers, and nothing else changes.
func TestDescription(t *testing.T) {
	t.Parallel()
	urls := cfapi.URLs{API: "https://api.example.com", Upload: "https://up.example.com/\"<",
		Delivery: "https://img.example.com", Batch: "https://batch.example.com"}
	text, err := Description(urls)
	if err != nil {
		t.Fatal(err)
	}
	d, err := openapitest.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]bool{}
	for _, o := range d.Operations {
		paths[o.Path] = true
	}
	for _, want := range []string{
		"https://api.example.com/client/v4/user/tokens/verify", "https://api.example.com/healthz",
		"https://batch.example.com/images/v1/{id}", "https://up.example.com/\"</upload/{hash}/{id}",
		"https://up.example.com/\"</upload/tus/{secret}", "https://img.example.com/{hash}/{id}/{variant}",
		"https://img.example.com/cdn-cgi/image/{options}/{source}",
	} {
		if !paths[want] {
			t.Errorf("no operation has the URL %s", want)
		}
	}
	for path := range paths {
		if !strings.HasPrefix(path, "https://") {
			t.Errorf("%s has no host", path)
		}
	}
	if same, err := Description(cfapi.URLs{}); err != nil ||
		strings.ReplaceAll(string(openAPI), `"url": "/"`, `"url": ""`) != string(same) {
		t.Errorf("without URLs the description is another one: %v", err)
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
