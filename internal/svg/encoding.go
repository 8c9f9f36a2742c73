package svg

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const byteOrderMark = "\ufeff"

// decode returns a document as UTF-8 with the line ends of XML. The encoding is UTF-8, UTF-16 with a byte order mark
// or recognised by its first character, or Latin-1 by its declaration. The mark has precedence over the declaration.
func decode(s string) (string, error) {
	little, wide := wideOrder(s)
	switch {
	case wide:
		var err error
		if s, err = decodeWide(s, little); err != nil {
			return "", err
		}
		s = strings.TrimPrefix(s, byteOrderMark)
	case strings.HasPrefix(s, byteOrderMark):
		s = s[len(byteOrderMark):]
	default:
		switch strings.ToLower(declaredEncoding(s)) {
		case "", "utf-8", "utf8", "us-ascii", "ascii":
		case "iso-8859-1", "iso8859-1", "latin1", "latin-1", "iso_8859-1", "l1":
			s = decodeLatin1(s)
		default:
			return "", &Error{true, "is declared in another encoding than UTF-8, UTF-16 and ISO-8859-1"}
		}
	}
	if strings.Contains(s, "\r") {
		s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	}
	return s, nil
}

// wideOrder reports whether a document is UTF-16, and in which order its bytes are.
func wideOrder(s string) (little, wide bool) {
	switch {
	case strings.HasPrefix(s, "\xff\xfe"), strings.HasPrefix(s, "<\x00"):
		return true, true
	case strings.HasPrefix(s, "\xfe\xff"), strings.HasPrefix(s, "\x00<"):
		return false, true
	}
	return false, false
}

func decodeWide(s string, little bool) (string, error) {
	if len(s)%2 != 0 {
		return "", &Error{false, "is not valid UTF-16: its last character is cut short"}
	}
	var b strings.Builder
	b.Grow(len(s) / 2)
	high := 1
	if !little {
		high = 0
	}
	var before rune // the first half of a pair
	for i := 0; i < len(s); i += 2 {
		r := rune(s[i+high])<<8 | rune(s[i+1-high])
		switch {
		case before != 0:
			if r = utf16.DecodeRune(before, r); r == utf8.RuneError {
				return "", &Error{false, "is not valid UTF-16"}
			}
			before = 0
		case r >= 0xd800 && r < 0xdc00:
			before = r
			continue
		case utf16.IsSurrogate(r):
			return "", &Error{false, "is not valid UTF-16"}
		}
		b.WriteRune(r)
	}
	if before != 0 {
		return "", &Error{false, "is not valid UTF-16"}
	}
	return b.String(), nil
}

func decodeLatin1(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := range len(s) {
		b.WriteRune(rune(s[i]))
	}
	return b.String()
}

// declaredEncoding returns the encoding of the XML declaration of a document in a superset of ASCII; "" without one.
func declaredEncoding(s string) string {
	scan := scanner{s: s}
	declaration, err := scan.declaration()
	if err != nil {
		return "" // the document is refused later
	}
	return declaration
}

// checkText refuses bytes that are not UTF-8, and characters that XML has not.
func checkText(s string) error {
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if c < 0x20 && c != '\t' && c != '\n' {
				return &Error{false, "holds a control character"}
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return &Error{false, "is not valid UTF-8"}
		}
		if !isChar(r) {
			return &Error{false, "holds a character that XML does not allow"}
		}
		i += n
	}
	return nil
}

// isChar reports whether a document may have a character.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd ||
		r >= 0x10000 && r <= utf8.MaxRune
}
