package svg

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// fragment returns the id that a reference to an element of the same document names. An id with percent-encoded
// characters is refused: a browser decodes it, and would find another element than this package.
func fragment(ref string) (id string, local bool) {
	ref = cleanURL(ref)
	if len(ref) < 2 || ref[0] != '#' || strings.Contains(ref, "%") {
		return "", false
	}
	return ref[1:], true
}

// cleanURL removes what browsers remove from a URL: line breaks and tabs, and spaces and controls around it.
func cleanURL(ref string) string {
	if strings.ContainsAny(ref, "\t\n\r") {
		ref = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(ref)
	}
	return strings.TrimFunc(ref, func(r rune) bool { return r <= ' ' })
}

// picture returns the embedded picture of a reference as a data URL whose media type follows from the bytes.
func (s *sanitiser) picture(ref string) (data string, ok bool, err error) {
	ref = cleanURL(ref)
	if len(ref) < len("data:") || !strings.EqualFold(ref[:len("data:")], "data:") {
		return "", false, nil
	}
	head, body, found := strings.Cut(ref[len("data:"):], ",")
	coding := head[strings.LastIndexByte(head, ';')+1:]
	if !found || !strings.EqualFold(strings.TrimSpace(coding), "base64") || !strings.Contains(head, ";") {
		return "", false, nil
	}
	if strings.Contains(body, "%") {
		if body, err = url.PathUnescape(body); err != nil {
			return "", false, nil
		}
	}
	body, _, _ = strings.Cut(body, "#")
	body = strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f' {
			return -1
		}
		return r
	}, body)
	bytes, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil || s.embedded == nil {
		return "", false, nil
	}
	mime, clean, ok, err := s.embedded(bytes)
	if err != nil || !ok {
		return "", false, err
	}
	return "data:" + mime + ";base64," + base64.StdEncoding.EncodeToString(clean), true, nil
}

// href returns the reference of an element that is kept; "" for none. keep is false if the element makes no sense
// without one. The id is that of the element that is referred to, if any.
func (s *sanitiser) href(rule hrefRule, ref string) (kept, id string, keep bool, err error) {
	id, local := fragment(ref)
	switch {
	case rule == hrefNone:
		return "", "", true, nil
	case local && rule != hrefPicture:
		return "#" + id, id, true, nil
	case rule == hrefPicture || rule == hrefEither:
		data, ok, err := s.picture(ref)
		return data, "", ok, err
	}
	return "", "", rule == hrefOwn, nil
}
