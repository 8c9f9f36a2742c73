package cfapi

import (
	"mime/multipart"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file parses headers of forms as clients write them. Package mime refuses a header that breaks the
// rules of quoting, although the field can be read. Browsers escape such characters, other clients do not.

// FormBoundary parses a Content-Type. It returns the boundary, "" for a missing one, and whether the type is
// multipart/form-data. A boundary that needs quotes and has none ends at the next semicolon.
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

// PartName returns the field name of a part of a form, "" for a missing one.
func PartName(part *multipart.Part) string {
	return parseDisposition(part.Header.Get("Content-Disposition")).name
}

// DispositionFilename returns the file name of a Content-Disposition, with its folders; "" for none.
func DispositionFilename(header string) string { return parseDisposition(header).filename }

// A disposition is the parsed Content-Disposition of a part of a form.
type disposition struct {
	name     string
	filename string // as sent, with its folders; any UTF-8 text
	isFile   bool   // a file name was sent, perhaps an empty one
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

// nextParam splits off the first parameter, without the semicolon before it. The name is in lower
// case; a parameter without "=" has an empty name.
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

// quoted parses a quoted text after its first quote. The text ends at a quote before the end of the
// header or before another parameter, because several HTTP clients do not escape quotes within a file
// name. A backslash is an escape only before a quote or a backslash, because the paths of old browsers
// have bare backslashes.
func quoted(s string) (value, rest string) {
	var b strings.Builder
	last, length := -1, 0 // the last quote, and the length of the text before it
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
	if last >= 0 { // the text after the last quote is not a parameter
		return b.String()[:length], ""
	}
	return b.String(), ""
}

// paramEnd reports whether a parameter ends before s: at the end, or before another parameter.
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

// formEscapes are the escapes of browsers in the names of forms.
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

// percentDecode decodes escapes, and leaves percent signs that begin no escape.
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

// toUTF8 converts text that is not UTF-8 from Latin-1, in which old clients send names.
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
