package v4

import (
	"mime/multipart"
	"strconv"
	"strings"
	"unicode/utf8"
)

// What follows reads headers of forms as clients write them. Package mime refuses a header that
// breaks a rule of quoting; the field is there nevertheless, and browsers of the same user have no
// such trouble, since they escape.

// FormBoundary reads a Content-Type: whether it says multipart/form-data, and the boundary, "" when
// there is none. A boundary that needs quotes and has none ends at the next semicolon.
func FormBoundary(contentType string) (boundary string, isForm bool) {
	media, params, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(media), "multipart/form-data") {
		return "", false
	}
	for params != "" {
		var name, value string
		if name, value, params = nextParam(params); name == "boundary" && value != "" {
			return value, true
		}
	}
	return "", true
}

// PartName returns the name of the field that a part of a form holds, "" when it has none.
func PartName(part *multipart.Part) string {
	return parseDisposition(part.Header.Get("Content-Disposition")).name
}

// A disposition is what a part of a form says of itself.
type disposition struct {
	name     string
	filename string // as it was sent, folders and all; holds anything in UTF-8
	isFile   bool   // a file name was sent, be it empty
}

// parseDisposition reads a Content-Disposition. Of a parameter that is given twice the first counts;
// filename* counts before filename.
func parseDisposition(header string) (d disposition) {
	_, params, _ := strings.Cut(header, ";")
	var plain, extended string
	var named, hasExtended bool
	for params != "" {
		var name, value string
		name, value, params = nextParam(params)
		switch {
		case name == "name" && !named:
			d.name, named = unescapeFormName(value), true
		case name == "filename" && plain == "":
			plain, d.isFile = unescapeFormName(value), true
		case name == "filename*" && !hasExtended:
			extended, hasExtended = decodeExtended(value)
			d.isFile = true
		}
	}
	d.filename = plain
	if hasExtended && extended != "" {
		d.filename = extended
	}
	return d
}

// nextParam takes the first parameter off, without the semicolon before it. The name is in lower
// case; what has no "=" has an empty name.
func nextParam(s string) (name, value, rest string) {
	s = strings.TrimLeft(s, "; \t")
	end := strings.IndexAny(s, "=;")
	if end < 0 {
		return "", "", ""
	}
	if s[end] == ';' {
		return "", "", s[end+1:]
	}
	name = strings.ToLower(strings.TrimSpace(s[:end]))
	s = strings.TrimLeft(s[end+1:], " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return name, strings.TrimSpace(value), rest
	}
	value, rest = quoted(s[1:])
	return name, value, rest
}

// quoted reads a quoted text behind its first quote. The text ends at a quote that the end of the
// header or another parameter follows: several HTTP clients put a file name between quotes as it
// is, with quotes of its own. Of backslashes only those before a quote or a backslash are escapes,
// as the paths of old browsers have bare ones.
func quoted(s string) (value, rest string) {
	var b strings.Builder
	last, length := -1, 0 // the last quote, and how much text there was before it
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
			i++
		case s[i] == '"':
			if end, ends := paramEnd(s[i+1:]); ends {
				return b.String(), end
			}
			last, length = i, b.Len()
		}
		b.WriteByte(s[i])
	}
	if last >= 0 { // something stands behind the last quote that is no parameter
		return b.String()[:length], ""
	}
	return b.String(), ""
}

// paramEnd reports whether a parameter ends before s: nothing follows, or another parameter.
func paramEnd(s string) (rest string, ends bool) {
	s = strings.TrimLeft(s, " \t")
	if s == "" {
		return "", true
	}
	if s[0] != ';' {
		return "", false
	}
	next := strings.TrimLeft(s[1:], " \t")
	after := strings.TrimLeft(next, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-*0123456789")
	return s[1:], next == "" || len(after) < len(next) && after != "" && after[0] == '='
}

// formEscapes are those that browsers write into the names of forms.
var formEscapes = strings.NewReplacer("%22", `"`, "%0D", "\r", "%0d", "\r", "%0A", "\n", "%0a", "\n")

func unescapeFormName(s string) string { return formEscapes.Replace(toUTF8(s)) }

// decodeExtended decodes the value of filename*, such as UTF-8”na%C3%AFve.jpg; ok is false when it
// is not of this form.
func decodeExtended(s string) (text string, ok bool) {
	charset, rest, _ := strings.Cut(s, "'")
	_, encoded, ok := strings.Cut(rest, "'")
	if !ok {
		return "", false
	}
	decoded := percentDecode(encoded)
	if !strings.EqualFold(charset, "UTF-8") && !strings.EqualFold(charset, "US-ASCII") {
		return latin1(decoded), true
	}
	return toUTF8(decoded), true
}

// percentDecode decodes what is encoded, and leaves a percent sign that begins nothing.
func percentDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// toUTF8 takes what is not UTF-8 for Latin-1, as old clients send names.
func toUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return latin1(s)
}

func latin1(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
