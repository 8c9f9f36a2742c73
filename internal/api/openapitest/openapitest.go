// Package openapitest compares answers of the API with its OpenAPI description, for tests.
package openapitest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// An Operation is a method and a path of a Description.
type Operation struct {
	Method string
	Path   string // includes the path of its server: "/client/v4/accounts/{account}/images/v2"
	// Answers has the name of the component of each answer, by "200", "201" and "default". The name is "" if the
	// answer is not JSON.
	Answers map[string]string

	matches *regexp.Regexp
}

func (o *Operation) String() string { return o.Method + " " + o.Path }

// A Description is an OpenAPI 3.1 document in which each JSON answer refers to a component.
type Description struct {
	Operations []*Operation // in ascending order of the number of parameters

	mu       sync.Mutex // the compiler is for one at a time
	compiler *jsonschema.Compiler
	document map[string]any
}

type document struct {
	Servers    []server
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Responses map[string]response }
}

type server struct{ URL string }

type operation struct{ Responses map[string]response }

type response struct {
	Ref     string `json:"$ref"`
	Content map[string]any
}

const (
	location   = "openapi.json"
	components = "#/components/responses/"
)

// Read parses an OpenAPI description in JSON.
func Read(text []byte) (*Description, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	d := &Description{compiler: jsonschema.NewCompiler(), document: toObject(plain)}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(location, plain); err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	for path, item := range doc.Paths {
		if err := d.addPath(doc, path, item); err != nil {
			return nil, fmt.Errorf("reading %s of the description: %w", path, err)
		}
	}
	slices.SortFunc(d.Operations, func(a, b *Operation) int {
		return cmp.Or(strings.Count(a.Path, "{")-strings.Count(b.Path, "{"),
			len(b.Path)-len(a.Path), strings.Compare(a.String(), b.String()))
	})
	return d, nil
}

func (d *Description) addPath(doc document, path string, item map[string]json.RawMessage) error {
	servers := doc.Servers
	if own, ok := item["servers"]; ok {
		servers = nil // the slice is everyone's
		if err := json.Unmarshal(own, &servers); err != nil {
			return err
		}
	}
	if len(servers) != 1 {
		return fmt.Errorf("%d servers, want one", len(servers))
	}
	whole := strings.TrimSuffix(servers[0].URL, "/") + path
	for key, value := range item {
		if key == "servers" || key == "parameters" {
			continue
		}
		var op operation
		if err := json.Unmarshal(value, &op); err != nil {
			return err
		}
		o := &Operation{
			Method: strings.ToUpper(key), Path: whole, Answers: map[string]string{},
			matches: pattern(whole),
		}
		for status, r := range op.Responses {
			name, isRef := strings.CutPrefix(r.Ref, components)
			if !isRef && (r.Ref != "" || r.Content["application/json"] != nil) {
				return fmt.Errorf("the answer %s of %s is no component", status, o)
			}
			if isRef && doc.Components.Responses[name].Content["application/json"] == nil {
				name = "" // a picture, or text
			}
			o.Answers[status] = name
		}
		d.Operations = append(d.Operations, o)
	}
	return nil
}

var parameter = regexp.MustCompile(`\\\{[a-z]+\\\}`)

// pattern returns a pattern of the escaped paths of a path. An id and a source may have slashes; a hash has a
// length that no other first segment has.
func pattern(path string) *regexp.Regexp {
	text := parameter.ReplaceAllStringFunc(regexp.QuoteMeta(path), func(p string) string {
		switch p {
		case `\{id\}`, `\{source\}`:
			return ".+"
		case `\{hash\}`:
			return "[A-Za-z0-9_-]{22}"
		}
		return "[^/]+"
	})
	return regexp.MustCompile("^" + text + "$")
}

// Find returns the operation of a request, nil if the description has no such operation.
func (d *Description) Find(method, escapedPath string) *Operation {
	for _, o := range d.Operations {
		if o.Method == method && o.matches.MatchString(escapedPath) {
			return o
		}
	}
	return nil
}

// Check returns an error unless body is valid JSON of the component for the status of the operation.
func (d *Description) Check(o *Operation, status int, body []byte) error {
	key := "default"
	if status < http.StatusMultipleChoices {
		key = fmt.Sprint(status)
	}
	name, ok := o.Answers[key]
	if !ok || name == "" {
		return fmt.Errorf("%s: no answer %d in JSON is described", o, status)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %d: %w", o, status, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile(location + components + name +
		"/content/application~1json/schema")
	if err != nil {
		return fmt.Errorf("%s: the description of %s: %w", o, name, err)
	}
	if err := schema.Validate(value); err != nil {
		return fmt.Errorf("%s: the answer %d is not as described: %w\n%s", o, status, err, body)
	}
	return nil
}
