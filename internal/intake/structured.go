package intake

import (
	"net/http"
	"strconv"
	"strings"
)

// This file parses the structured fields (RFC 9651) that the resumable uploads of the IETF use: items that are an
// Integer or a Boolean. Their parameters have no meaning yet; they are checked and ignored, so that a field of a
// later version is still understood. A field that is not of this form counts as absent, as the protocol wants it.

// maxInteger is the largest Integer of a structured field.
const maxInteger = 999_999_999_999_999

// intHeader returns the value of a header that is a non-negative Integer; ok is false for any other header.
func intHeader(h http.Header, name string) (n int64, ok bool) {
	value, params := splitItem(h, name)
	if value == "" || len(value) > 15 || strings.Trim(value, "0123456789") != "" || !validParams(params) {
		return 0, false
	}
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil
}

// boolHeader returns the value of a header that is a Boolean; ok is false for any other header.
func boolHeader(h http.Header, name string) (value, ok bool) {
	item, params := splitItem(h, name)
	if item != "?0" && item != "?1" || !validParams(params) {
		return false, false
	}
	return item == "?1", true
}

// splitItem returns the bare item of a header, and its parameters with the semicolon before the first. Several
// header lines are no item.
func splitItem(h http.Header, name string) (item, params string) {
	values := h.Values(name)
	if len(values) != 1 {
		return "", ""
	}
	text := strings.Trim(values[0], " ")
	if at := strings.IndexByte(text, ';'); at >= 0 {
		return text[:at], text[at:]
	}
	return text, ""
}

// validParams reports whether s is a sequence of parameters.
func validParams(s string) bool {
	for s != "" {
		if s[0] != ';' {
			return false
		}
		s = strings.TrimLeft(s[1:], " ")
		length := keyLength(s)
		if length == 0 {
			return false
		}
		if s = s[length:]; !strings.HasPrefix(s, "=") {
			continue // true
		}
		length = bareItemLength(s[1:])
		if length == 0 {
			return false
		}
		s = s[1+length:]
	}
	return true
}

// keyLength returns the length of the key at the beginning of s, 0 for none.
func keyLength(s string) int {
	if s == "" || s[0] != '*' && (s[0] < 'a' || s[0] > 'z') {
		return 0
	}
	return prefixLength(s, func(b byte) bool {
		return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || strings.IndexByte("_-.*", b) >= 0
	})
}

// bareItemLength returns the length of the bare item at the beginning of s, 0 for none.
func bareItemLength(s string) int {
	if s == "" {
		return 0
	}
	switch b := s[0]; {
	case b == '?':
		if len(s) > 1 && (s[1] == '0' || s[1] == '1') {
			return 2
		}
		return 0
	case b == '"':
		return stringLength(s)
	case b == '%':
		if !strings.HasPrefix(s, `%"`) {
			return 0
		}
		if end := strings.IndexByte(s[2:], '"'); end >= 0 && printable(s[2:2+end]) {
			return end + 3
		}
		return 0
	case b == ':':
		if end := strings.IndexByte(s[1:], ':'); end >= 0 && isBase64(s[1:1+end]) {
			return end + 2
		}
		return 0
	case b == '@':
		if n := numberLength(s[1:]); n > 0 && !strings.Contains(s[1:1+n], ".") {
			return n + 1
		}
		return 0
	case b == '-' || '0' <= b && b <= '9':
		return numberLength(s)
	case b == '*' || 'a' <= b|0x20 && b|0x20 <= 'z':
		return prefixLength(s, func(b byte) bool {
			return isAlphanumeric(b) || strings.IndexByte("!#$%&'*+-.^_`|~:/", b) >= 0
		})
	}
	return 0
}

// stringLength returns the length of the quoted String at the beginning of s, 0 for none.
func stringLength(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1
		case s[i] == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return 0
			}
		case s[i] < 0x20 || s[i] > 0x7e:
			return 0
		}
	}
	return 0
}

// numberLength returns the length of the Integer or Decimal at the beginning of s, 0 for none.
func numberLength(s string) int {
	digit := func(b byte) bool { return '0' <= b && b <= '9' }
	sign := 0
	if strings.HasPrefix(s, "-") {
		sign = 1
	}
	whole := prefixLength(s[sign:], digit)
	end := sign + whole
	switch {
	case whole == 0 || whole > 15:
		return 0
	case !strings.HasPrefix(s[end:], "."):
		return end
	}
	fraction := prefixLength(s[end+1:], digit)
	if whole > 12 || fraction == 0 || fraction > 3 {
		return 0
	}
	return end + 1 + fraction
}

func prefixLength(s string, of func(byte) bool) int {
	for i := range len(s) {
		if !of(s[i]) {
			return i
		}
	}
	return len(s)
}

func isAlphanumeric(b byte) bool {
	return 'a' <= b|0x20 && b|0x20 <= 'z' || '0' <= b && b <= '9'
}

func isBase64(s string) bool {
	return prefixLength(s, func(b byte) bool { return isAlphanumeric(b) || strings.IndexByte("+/=", b) >= 0 }) == len(s)
}

func printable(s string) bool {
	return prefixLength(s, func(b byte) bool { return 0x20 <= b && b <= 0x7e }) == len(s)
}

// A member is a key with an Integer in a Dictionary.
type member struct {
	key   string
	value int64
}

// dictionary returns the form of a Dictionary. Values that no Integer can be are left out.
func dictionary(members ...member) string {
	var parts []string
	for _, m := range members {
		if m.value >= 0 && m.value <= maxInteger {
			parts = append(parts, m.key+"="+strconv.FormatInt(m.value, 10))
		}
	}
	return strings.Join(parts, ", ")
}
