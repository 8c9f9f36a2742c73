// Package openapitest holds answers of the API against its own description, for tests.
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

// An Operation is a method and a path of the description.
type Operation struct {
	Method string
	Path   string // with its server's, such as "/client/v4/accounts/{account}/images/v2"
	// Answers names the component that describes each answer, by "200", "201" and "default". A component
	// is empty where the answer is no JSON.
	Answers map[string]string

	matches *regexp.Regexp
}

func (o *Operation) String() string { return o.Method + " " + o.Path }

// A Description is an OpenAPI 3.1 document whose JSON answers all stand in its components.
type Description struct {
	Operations []*Operation // those with fewer parameters first

	mu       sync.Mutex // the compiler is for one at a time
	compiler *jsonschema.Compiler
}

type document struct {
	Servers []server
	Paths   map[string]map[string]json.RawMessage
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

// Read reads a description.
func Read(text []byte) (*Description, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	plain, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	d := &Description{compiler: jsonschema.NewCompiler()}
	d.compiler.AssertFormat()
	if err := d.compiler.AddResource(location, plain); err != nil {
		return nil, fmt.Errorf("reading the description: %w", err)
	}
	for path, item := range doc.Paths {
		if err := d.addPath(doc.Servers, path, item); err != nil {
			return nil, fmt.Errorf("reading %s of the description: %w", path, err)
		}
	}
	slices.SortFunc(d.Operations, func(a, b *Operation) int {
		return cmp.Or(strings.Count(a.Path, "{")-strings.Count(b.Path, "{"),
			len(b.Path)-len(a.Path), strings.Compare(a.String(), b.String()))
	})
	return d, nil
}

func (d *Description) addPath(
	servers []server, path string, item map[string]json.RawMessage,
) error {
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
			o.Answers[status] = name
		}
		d.Operations = append(d.Operations, o)
	}
	return nil
}

var parameter = regexp.MustCompile(`\\\{[a-z]+\\\}`)

// pattern is what fits a path as it is sent. An id may hold slashes.
func pattern(path string) *regexp.Regexp {
	text := parameter.ReplaceAllStringFunc(regexp.QuoteMeta(path), func(p string) string {
		if p == `\{id\}` {
			return ".+"
		}
		return "[^/]+"
	})
	return regexp.MustCompile("^" + text + "$")
}

// Find returns the operation of a request, nil if the description has none.
func (d *Description) Find(method, escapedPath string) *Operation {
	for _, o := range d.Operations {
		if o.Method == method && o.matches.MatchString(escapedPath) {
			return o
		}
	}
	return nil
}

// Check says what is wrong with an answer in JSON.
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
