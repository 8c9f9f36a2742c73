package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"
)

// one returns the field of a name, nil if it is absent or null.
func (f form) one(name string) (*field, error) {
	return f.find(name, func(given string) bool { return given == name })
}

// find returns the field whose name matches is, nil if it is absent or null.
func (f form) find(name string, is func(given string) bool) (*field, error) {
	var found *field
	for i := range f {
		if !is(f[i].name) || f[i].isNull() {
			continue
		}
		if found != nil {
			return nil, invalid("%s is given twice: send it once.", name)
		}
		found = &f[i]
	}
	return found, nil
}

// set sets a value to the field of a name, which read reads, unless an earlier field has set err.
func set[T any](value *T, read func(name string) (T, error), name string, err *error) {
	if *err == nil {
		*value, *err = read(name)
	}
}

// text returns a text, nil if absent or empty: forms send their fields also if they are not filled in.
func (f form) text(name string) (*string, error) {
	v, err := f.one(name)
	switch {
	case err != nil || v == nil:
		return nil, err
	case v.json != nil:
		return nil, invalid("%s must be a string.", name)
	case !utf8.ValidString(v.text):
		return nil, invalid("%s must be UTF-8.", name)
	case v.text == "":
		return nil, nil
	}
	return &v.text, nil
}

// value returns a field's value as a form would send it.
func (v *field) value() string {
	if v.json != nil {
		return string(v.json)
	}
	return v.text
}

// flag returns a boolean, false if absent.
func (f form) flag(name string) (bool, error) {
	given, err := f.flagIfGiven(name)
	return given != nil && *given, err
}

// flagIfGiven returns a boolean, nil if absent. Its name is not case-sensitive: ignoring
// requireSignedUrls would make a private picture public.
func (f form) flagIfGiven(name string) (*bool, error) {
	v, err := f.find(name, func(given string) bool { return strings.EqualFold(given, name) })
	if err != nil || v == nil {
		return nil, err
	}
	given := false
	switch strings.ToLower(v.value()) { // Python writes True
	case "": // forms send their fields whether they were filled in or not
		return nil, nil
	case "true", "1", "on": // as a check box is sent
		given = true
	case "false", "0", "off":
	default:
		return nil, invalid("%s must be true or false.", name)
	}
	return &given, nil
}

// timeLayouts are RFC 3339, and the formats of Python and PHP: a space for the T, no colon in the zone, or no
// zone, which means UTC.
var timeLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05",
}

// time returns a point in time, nil if absent.
func (f form) time(name string) (*time.Time, error) {
	text, err := f.text(name)
	if err != nil || text == nil {
		return nil, err
	}
	for _, layout := range timeLayouts { // all accept fractions of a second
		if t, err := time.Parse(layout, *text); err == nil {
			return &t, nil
		}
	}
	return nil, invalid("%s must be a time as in RFC 3339, such as 2030-01-31T15:04:05Z or "+
		"2030-01-31T16:04:05+01:00 (in a urlencoded body a plus sign is %%2B).", name)
}

// object returns a JSON object, nil if absent: from JSON, from JSON text, or from the fields into which
// an SDK has flattened it. The core checks that it is an object; the result of flattened fields always
// is one. An empty list is an empty object: PHP writes both as [].
func (f form) object(name string) (json.RawMessage, error) {
	v, err := f.one(name)
	if err != nil {
		return nil, err
	}
	var whole json.RawMessage
	if v != nil {
		whole = v.json
		if text := strings.TrimSpace(v.text); whole == nil && text != "" && text != "null" {
			whole = json.RawMessage(text)
		}
		if inner, ok := bytes.CutPrefix(whole, []byte("[")); ok && string(bytes.TrimSpace(inner)) == "]" {
			whole = json.RawMessage("{}")
		}
	}
	tree, err := f.unflatten(name)
	if err != nil || tree == nil {
		return whole, err
	}
	if whole != nil {
		return nil, invalid("%[1]s is given twice, as a whole and in parts such as %[1]s.key: "+
			"send one of the two.", name)
	}
	return tree, nil
}

// refusePolicy returns an error if there is a field policy, whole or in parts: only a one-time URL has a policy, and
// one that is ignored would fail silently.
func (f form) refusePolicy() error {
	for _, v := range f {
		if !v.isNull() && (v.name == "policy" || isPart("policy", v.name)) {
			return invalid("policy is of a one-time URL only, in a request to direct_upload: " +
				"send this request without it.")
		}
	}
	return nil
}
