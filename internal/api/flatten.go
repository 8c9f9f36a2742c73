package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of an object in parts. The core limits the stored size; these limit the work.
const (
	maxDepth  = 5
	maxLeaves = 64
)

// isPart reports whether a field's name says that it is a part of the object called name.
func isPart(name, field string) bool {
	rest, ok := strings.CutPrefix(field, name)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

// unflatten joins an object from the fields of SDKs, nil without fields. Go writes metadata.nest.a.0,
// JavaScript metadata[nest][a][], Python metadata.nest.a[]. All values are text, because the type of 5
// or true is lost. Numeric parts make an array only if all are present from 0 on, else an object; the
// result is always an object.
func (f form) unflatten(name string) (json.RawMessage, error) {
	root := &node{}
	leaves := 0
	for _, v := range f {
		if !isPart(name, v.name) || v.isNull() {
			continue
		}
		if leaves++; leaves > maxLeaves {
			return nil, invalid("%s holds more than %d values.", name, maxLeaves)
		}
		path, err := splitParts(v.name[len(name):])
		if err != nil {
			return nil, fieldError(v.name, err.Error())
		}
		if !utf8.ValidString(v.name) || !utf8.ValidString(v.text) {
			return nil, invalid("The fields of %s must be UTF-8.", name)
		}
		leaf := v.json
		if leaf == nil {
			if leaf, err = quote(v.text); err != nil {
				return nil, err
			}
		}
		if problem := root.add(path, leaf); problem != "" {
			return nil, fieldError(v.name, problem)
		}
	}
	if leaves == 0 {
		return nil, nil
	}
	if root.list {
		return nil, invalid(`%s must be an object, such as {"key":"value"}, not a list.`, name)
	}
	return root.object(nil)
}

func fieldError(name, problem string) error {
	return invalid("The field %.80q is not valid: %s. Nested values can be sent as JSON text.",
		name, problem)
}

// A part is one step into an object: a key, or the next element of a list.
type part struct {
	key  string
	next bool
}

// splitParts splits the rest of a field's name after an object's name: ".key" and "[key]" in any
// order, with "[]" at most once, at the end. Within brackets a dot is plain text.
func splitParts(s string) ([]part, error) {
	var path []part
	for s != "" {
		if len(path) == maxDepth {
			return nil, fmt.Errorf("it is nested more than %d levels deep", maxDepth)
		}
		var key string
		bracket := s[0] == '['
		if bracket {
			var closed bool
			if key, s, closed = strings.Cut(s[1:], "]"); !closed {
				return nil, fmt.Errorf("a bracket is not closed")
			}
			if s != "" && s[0] != '.' && s[0] != '[' {
				return nil, fmt.Errorf("text follows a closing bracket")
			}
		} else {
			end := strings.IndexAny(s[1:], ".[")
			if end < 0 {
				end = len(s) - 1
			}
			key, s = s[1:1+end], s[1+end:]
		}
		switch {
		case key != "":
			path = append(path, part{key: key})
		case !bracket:
			return nil, fmt.Errorf("a key is empty")
		case s != "":
			// Two elements of two fields each could not be distinguished from four of one.
			return nil, fmt.Errorf("only the last part may be []")
		default:
			path = append(path, part{next: true})
		}
	}
	return path, nil
}

// A node is a value of an object that is being joined: a leaf, or a branch with children in the order of the
// fields.
type node struct {
	key      string
	leaf     json.RawMessage
	list     bool // children are from "[]" and have no keys
	children []*node
}

// add adds a leaf at a path and returns the problem with it, "" for none.
func (n *node) add(path []part, leaf json.RawMessage) string {
	for _, p := range path {
		switch {
		case n.leaf != nil:
			return "it is given both as a value and in parts"
		case len(n.children) > 0 && n.list != p.next:
			return "it mixes a list with named parts"
		}
		n.list = p.next
		child := n.child(p.key)
		if child == nil || p.next {
			child = &node{key: p.key}
			n.children = append(n.children, child)
		}
		n = child
	}
	switch {
	case n.leaf != nil:
		return "it is given twice"
	case len(n.children) > 0:
		return "it is given both as a value and in parts"
	}
	n.leaf = leaf
	return ""
}

func (n *node) child(key string) *node {
	i := slices.IndexFunc(n.children, func(c *node) bool { return c.key == key })
	if i < 0 {
		return nil
	}
	return n.children[i]
}

// appendJSON writes n as compact JSON.
func (n *node) appendJSON(b []byte) ([]byte, error) {
	if n.leaf != nil {
		return append(b, n.leaf...), nil
	}
	elements := n.children
	if !n.list {
		if elements = n.elements(); elements == nil {
			return n.object(b)
		}
	}
	b = append(b, '[')
	for i, c := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = c.appendJSON(b); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// elements returns the children in the order of their numbers if these are dense from 0, else nil.
func (n *node) elements() []*node {
	var all []*node
	for i := range n.children {
		c := n.child(strconv.Itoa(i))
		if c == nil {
			return nil
		}
		all = append(all, c)
	}
	return all
}

// object writes n's children as an object.
func (n *node) object(b []byte) ([]byte, error) {
	b = append(b, '{')
	for i, c := range n.children {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := quote(c.key)
		if err != nil {
			return nil, err
		}
		b = append(append(b, key...), ':')
		if b, err = c.appendJSON(b); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// quote writes a JSON string. HTML characters are not escaped, since the length of metadata counts.
func quote(s string) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return nil, fmt.Errorf("quoting a string: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
