package openapitest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A node is an object of the document, and the path of keys to it.
type node struct {
	object map[string]any
	at     []string
}

// text returns the string at a key, "" for none.
func (n node) text(key string) string {
	s, _ := n.object[key].(string)
	return s
}

// list returns the array at a key, nil for none.
func (n node) list(key string) []any {
	all, _ := n.object[key].([]any)
	return all
}

// child returns the object at a key; its object is nil for none.
func (d *Description) child(n node, key string) node {
	return d.resolve(node{toObject(n.object[key]), append(slices.Clip(n.at), key)})
}

// children returns the objects at the keys of an object.
func (d *Description) children(n node, key string) (all []node) {
	parent := d.child(n, key)
	for _, name := range slices.Sorted(maps.Keys(parent.object)) {
		all = append(all, d.child(parent, name))
	}
	return all
}

// items returns the objects of an array.
func (d *Description) items(n node, key string) (all []node) {
	for i, item := range n.list(key) {
		all = append(all, d.resolve(node{toObject(item), append(slices.Clip(n.at), key, fmt.Sprint(i))}))
	}
	return all
}

// resolve follows a reference.
func (d *Description) resolve(n node) node {
	ref, isRef := strings.CutPrefix(n.text("$ref"), "#/")
	if !isRef {
		return n
	}
	to := node{object: d.document}
	for key := range strings.SplitSeq(ref, "/") {
		to = node{toObject(to.object[key]), append(to.at, key)}
	}
	return to
}

func toObject(value any) map[string]any {
	object, _ := value.(map[string]any)
	return object
}

// pointer returns the location of a node as a JSON pointer in a URL.
func pointer(at []string) string {
	var b strings.Builder
	b.WriteString(location + "#")
	for _, key := range at {
		b.WriteString("/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(key)))
	}
	return b.String()
}

// validate returns an error unless a value is valid by the schema of a node.
func (d *Description) validate(n node, value any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	schema, err := d.compiler.Compile(pointer(append(slices.Clip(n.at), "schema")))
	if err != nil {
		return fmt.Errorf("the schema: %w", err)
	}
	return schema.Validate(value)
}

// Flaws returns what a reader of the description would miss: each operation has a name, a summary, a description, a
// tag and its refusals; each parameter has a description and an example; each body has an example. Each
// example is valid by its schema.
func (d *Description) Flaws() (flaws []string) {
	root := node{object: d.document}
	names, tags := map[string]bool{}, map[string]bool{}
	for _, tag := range d.items(root, "tags") {
		tags[tag.text("name")] = false
		if !isSentence(tag.text("description")) {
			flaws = append(flaws, "the tag "+tag.text("name")+" has no description")
		}
	}
	for _, item := range d.children(root, "paths") {
		for _, method := range methods {
			operation := d.child(item, method)
			if operation.object == nil {
				continue
			}
			at := strings.ToUpper(method) + " " + item.at[1] + ": "
			for _, flaw := range d.operationFlaws(item, operation, tags) {
				flaws = append(flaws, at+flaw)
			}
			if name := operation.text("operationId"); name == "" || names[name] {
				flaws = append(flaws, at+"no operationId, or that of another operation")
			} else {
				names[name] = true
			}
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(tags)) {
		if !tags[tag] {
			flaws = append(flaws, "no operation has the tag "+tag)
		}
	}
	return flaws
}

var methods = []string{"get", "head", "post", "put", "patch", "delete", "options"}

func isSentence(s string) bool { return strings.Contains(strings.TrimSpace(s), " ") }

// operationFlaws returns the flaws of an operation, and marks its tags.
func (d *Description) operationFlaws(item, operation node, tags map[string]bool) (flaws []string) {
	if summary := operation.text("summary"); !isSentence(summary) || strings.HasSuffix(summary, ".") {
		flaws = append(flaws, fmt.Sprintf("the summary is %q", summary))
	}
	if text := operation.text("description"); !isSentence(text) || !strings.HasSuffix(text, ".") ||
		strings.TrimSuffix(text, ".") == operation.text("summary") {
		flaws = append(flaws, fmt.Sprintf("the description is %q", text))
	}
	if len(operation.list("tags")) != 1 {
		flaws = append(flaws, "there is not one tag")
	}
	for _, tag := range operation.list("tags") {
		if _, known := tags[fmt.Sprint(tag)]; !known {
			flaws = append(flaws, fmt.Sprintf("the tag %v is not described", tag))
			continue
		}
		tags[fmt.Sprint(tag)] = true
	}
	for _, p := range append(d.items(item, "parameters"), d.items(operation, "parameters")...) {
		if flaw := d.parameterFlaw(p); flaw != "" {
			flaws = append(flaws, fmt.Sprintf("the parameter %s: %s", p.text("name"), flaw))
		}
	}
	for _, media := range d.children(d.child(operation, "requestBody"), "content") {
		flaws = append(flaws, d.mediaFlaws(media)...)
	}
	refusals := false
	for _, answer := range d.children(operation, "responses") {
		if answer.text("description") == "" {
			flaws = append(flaws, fmt.Sprintf("the answer %v has no description", answer.at))
		}
		contents := d.children(answer, "content")
		for _, media := range contents {
			flaws = append(flaws, d.mediaFlaws(media)...)
			refusals = refusals || len(d.children(media, "examples")) > 1
		}
		for _, header := range d.children(answer, "headers") {
			if flaw := d.parameterFlaw(header); flaw != "" {
				flaws = append(flaws, fmt.Sprintf("the header %v: %s", header.at, flaw))
			}
		}
	}
	if d.child(operation, "responses").object["default"] != nil && !refusals {
		flaws = append(flaws, "the refusals have no examples")
	}
	return flaws
}

// parameterFlaw returns the flaw of a parameter or header, "" for none.
func (d *Description) parameterFlaw(p node) string {
	example, found := p.object["example"]
	switch {
	case !isSentence(p.text("description")):
		return "no description"
	case !found:
		return "no example"
	}
	if err := d.validate(p, example); err != nil {
		return fmt.Sprintf("the example is not valid: %v", err)
	}
	return ""
}

// mediaFlaws returns the flaws of a body. A body of bytes needs no example.
func (d *Description) mediaFlaws(media node) (flaws []string) {
	schema := d.child(media, "schema")
	if schema.text("format") == "binary" {
		return nil
	}
	examples := examplesOf(media.object)
	if len(examples) == 0 {
		examples = schema.list("examples")
	}
	if len(examples) == 0 {
		return []string{fmt.Sprintf("%v has no example", media.at)}
	}
	for _, example := range examples {
		if err := d.validate(media, example); err != nil {
			flaws = append(flaws, fmt.Sprintf("an example of %v is not valid: %v", media.at, err))
		}
	}
	return flaws
}

// examplesOf returns the examples of a body.
func examplesOf(media map[string]any) (all []any) {
	if one, found := media["example"]; found {
		all = append(all, one)
	}
	named := toObject(media["examples"])
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if value, found := toObject(named[name])["value"]; found {
			all = append(all, value)
		}
	}
	return all
}

// Examples returns the examples of the answer that a component describes.
func (d *Description) Examples(component string) []any {
	answer := node{object: d.document}
	for _, key := range []string{"components", "responses", component, "content", "application/json"} {
		answer = node{object: toObject(answer.object[key])}
	}
	return examplesOf(answer.object)
}

// A Shape is a set of the paths of members in envelopes, such as ".result.images[].id".
type Shape map[string]bool

// open are the members that a client fills, or whose names are ids.
var open = []string{".meta", ".metadata", ".headers", ".variants{}", ".options"}

// Add adds the members of an envelope. A null may stand for any value, so it adds only its own path. A value that is
// no envelope adds nothing.
func (s Shape) Add(envelope any) {
	if _, ok := toObject(envelope)["success"]; ok {
		s.add("", envelope)
	}
}

// AddJSON adds the members of an envelope in JSON.
func (s Shape) AddJSON(text string) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	s.Add(value)
	return err
}

func (s Shape) add(at string, value any) {
	switch value := value.(type) {
	case map[string]any:
		if slices.ContainsFunc(open, func(end string) bool { return strings.HasSuffix(at, end) }) {
			return
		}
		for key, member := range value {
			if at == ".result.variants" {
				key = "{}"
			}
			s[at+"."+key] = true
			s.add(at+"."+key, member)
		}
	case []any:
		for _, item := range value {
			s.add(at+"[]", item)
		}
	}
}

// Without returns the members of s that other has not, in order.
func (s Shape) Without(other Shape) (missing []string) {
	for _, path := range slices.Sorted(maps.Keys(s)) {
		if !other[path] {
			missing = append(missing, path)
		}
	}
	return missing
}
