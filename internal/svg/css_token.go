package svg

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A cssKind is a kind of token of CSS. Single characters with a meaning are their own kind.
type cssKind byte

const (
	cssEnd        cssKind = 0
	cssSpace      cssKind = ' '
	cssDelim      cssKind = 'd'
	cssIdent      cssKind = 'i'
	cssFunction   cssKind = 'f' // with its opening parenthesis
	cssAt         cssKind = '@'
	cssHash       cssKind = '#'
	cssString     cssKind = '"'
	cssURL        cssKind = 'u' // not quoted
	cssNumber     cssKind = 'n'
	cssPercentage cssKind = '%'
	cssDimension  cssKind = 'm'
	cssBad        cssKind = '!' // a token that is kept nowhere
)

// A cssToken is a token with its escapes decoded. text is a name, the content of a string, a URL, the unit of a
// dimension or the character of a delimiter; number has the digits.
type cssToken struct {
	kind         cssKind
	text, number string
}

// A tokenizer splits CSS into tokens, as CSS Syntax Level 3 does. Comments are passed over.
type tokenizer struct {
	s    string
	i    int
	back *cssToken // to be returned by next
}

func (t *tokenizer) at(i int) byte {
	if t.i+i < len(t.s) {
		return t.s[t.i+i]
	}
	return 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isNameChar(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= utf8.RuneSelf ||
		!first && (isDigit(c) || c == '-')
}

// escapes reports whether an escape begins at the i-th next byte.
func (t *tokenizer) escapes(i int) bool {
	return t.at(i) == '\\' && t.i+i+1 < len(t.s) && t.at(i+1) != '\n'
}

// names reports whether a name begins at the i-th next byte.
func (t *tokenizer) names(i int) bool {
	c := t.at(i)
	if c == '-' {
		return isNameChar(t.at(i+1), true) || t.at(i+1) == '-' || t.escapes(i+1)
	}
	return isNameChar(c, true) || t.escapes(i)
}

// counts reports whether a number begins at the next byte.
func (t *tokenizer) counts() bool {
	i := 0
	if t.at(0) == '+' || t.at(0) == '-' {
		i = 1
	}
	return isDigit(t.at(i)) || t.at(i) == '.' && isDigit(t.at(i+1))
}

// next returns the next token.
func (t *tokenizer) next() cssToken {
	if t.back != nil {
		token := *t.back
		t.back = nil
		return token
	}
	for strings.HasPrefix(t.s[t.i:], "/*") {
		n := strings.Index(t.s[t.i+2:], "*/")
		if n < 0 {
			t.i = len(t.s)
			break
		}
		t.i += n + 4
	}
	if t.i == len(t.s) {
		return cssToken{}
	}
	switch c := t.s[t.i]; {
	case isSpace(c):
		for t.i < len(t.s) && isSpace(t.s[t.i]) {
			t.i++
		}
		return cssToken{kind: cssSpace}
	case c == '"' || c == '\'':
		return t.quoted(c)
	case c == '#' && (isNameChar(t.at(1), false) || t.escapes(1)):
		t.i++
		return cssToken{kind: cssHash, text: t.name()}
	case c == '@' && t.names(1):
		t.i++
		return cssToken{kind: cssAt, text: t.name()}
	case t.counts():
		return t.numeric()
	case strings.HasPrefix(t.s[t.i:], "-->"):
		t.i += 3
		return cssToken{kind: cssBad}
	case t.names(0):
		return t.word()
	case strings.IndexByte("(){}[],:;", c) >= 0:
		t.i++
		return cssToken{kind: cssKind(c), text: string(rune(c))}
	case c == '\\' || c == '<' && strings.HasPrefix(t.s[t.i:], "<!--"):
		t.i++
		return cssToken{kind: cssBad}
	}
	t.i++
	return cssToken{kind: cssDelim, text: t.s[t.i-1 : t.i]}
}

func (t *tokenizer) quoted(quote byte) cssToken {
	t.i++
	var b strings.Builder
	for t.i < len(t.s) {
		switch c := t.s[t.i]; {
		case c == quote:
			t.i++
			return cssToken{kind: cssString, text: b.String()}
		case c == '\n' || c == '\r':
			return cssToken{kind: cssBad}
		case c == '\\' && t.at(1) == '\n':
			t.i += 2
		case c == '\\':
			t.escape(&b)
		default:
			b.WriteByte(c)
			t.i++
		}
	}
	return cssToken{kind: cssBad}
}

// escape decodes an escape and writes it to b.
func (t *tokenizer) escape(b *strings.Builder) {
	t.i++
	var value rune
	digits := 0
	for digits < 6 && hexDigit(t.at(digits)) >= 0 {
		value = value<<4 | hexDigit(t.at(digits))
		digits++
	}
	if digits == 0 {
		_, n := utf8.DecodeRuneInString(t.s[t.i:])
		b.WriteString(t.s[t.i : t.i+n])
		t.i += n
		return
	}
	t.i += digits
	if isSpace(t.at(0)) {
		t.i++
	}
	if value == 0 || !utf8.ValidRune(value) {
		value = utf8.RuneError
	}
	b.WriteRune(value)
}

// name reads a name, which may be empty.
func (t *tokenizer) name() string {
	from := t.i
	for isNameChar(t.at(0), false) {
		t.i++
	}
	if !t.escapes(0) {
		return t.s[from:t.i]
	}
	var b strings.Builder
	b.WriteString(t.s[from:t.i])
	for {
		switch {
		case isNameChar(t.at(0), false):
			b.WriteByte(t.at(0))
			t.i++
		case t.escapes(0):
			t.escape(&b)
		default:
			return b.String()
		}
	}
}

func (t *tokenizer) numeric() cssToken {
	from := t.i
	digits := func() {
		for isDigit(t.at(0)) {
			t.i++
		}
	}
	t.i++ // a sign, a digit or a point that a digit follows
	if t.s[from] != '.' {
		digits()
	}
	if t.at(0) == '.' && isDigit(t.at(1)) {
		t.i++
	}
	digits()
	if e := t.at(0); e == 'e' || e == 'E' {
		sign := 0
		if t.at(1) == '+' || t.at(1) == '-' {
			sign = 1
		}
		if isDigit(t.at(1 + sign)) {
			t.i += 1 + sign
			digits()
		}
	}
	token := cssToken{kind: cssNumber, number: t.s[from:t.i]}
	switch {
	case t.at(0) == '%':
		t.i++
		token.kind = cssPercentage
	case t.names(0):
		token.kind, token.text = cssDimension, t.name()
	}
	return token
}

// word reads a name, a function or a URL.
func (t *tokenizer) word() cssToken {
	name := t.name()
	if t.at(0) != '(' {
		return cssToken{kind: cssIdent, text: name}
	}
	t.i++
	if !strings.EqualFold(name, "url") {
		return cssToken{kind: cssFunction, text: name}
	}
	spaces := 0
	for isSpace(t.at(spaces)) {
		spaces++
	}
	if c := t.at(spaces); c == '"' || c == '\'' {
		return cssToken{kind: cssFunction, text: name}
	}
	t.i += spaces
	return t.url()
}

// url reads a URL without quotes up to its closing parenthesis.
func (t *tokenizer) url() cssToken {
	var b strings.Builder
	kind := cssURL
	for t.i < len(t.s) {
		switch c := t.s[t.i]; {
		case c == ')':
			t.i++
			return cssToken{kind: kind, text: b.String()}
		case isSpace(c):
			for isSpace(t.at(0)) {
				t.i++
			}
			if t.at(0) != ')' {
				kind = cssBad
			}
		case t.escapes(0):
			t.escape(&b)
		default:
			if c == '"' || c == '\'' || c == '(' || c == '\\' {
				kind = cssBad
			}
			b.WriteByte(c)
			t.i++
		}
	}
	return cssToken{kind: cssBad}
}

// writeTokens writes tokens so that the same ones are read again. A comment separates two that would be read as one.
func writeTokens(b *strings.Builder, tokens []cssToken) {
	for i, token := range tokens {
		if i > 0 && merge(tokens[i-1], token) {
			b.WriteString("/**/")
		}
		switch token.kind {
		case cssSpace:
			b.WriteByte(' ')
		case cssIdent:
			writeName(b, token.text, true)
		case cssFunction:
			writeName(b, token.text, true)
			b.WriteByte('(')
		case cssAt:
			b.WriteByte('@')
			writeName(b, token.text, true)
		case cssHash:
			b.WriteByte('#')
			writeName(b, token.text, false)
		case cssString:
			writeString(b, token.text)
		case cssURL:
			writeURL(b, token.text)
		case cssNumber:
			b.WriteString(token.number)
		case cssPercentage:
			b.WriteString(token.number + "%")
		case cssDimension:
			b.WriteString(token.number)
			writeUnit(b, token.text)
		default:
			b.WriteString(token.text)
		}
	}
}

// merge reports whether two tokens might be read as others if no character is between them.
func merge(a, b cssToken) bool {
	switch a.kind {
	case cssIdent, cssAt, cssHash, cssDimension, cssNumber:
		if b.kind == cssNumber || b.kind == cssPercentage || b.kind == cssDimension {
			signed := b.number[0] == '+' && !strings.EqualFold(a.text, "e")
			return !signed && (b.number[0] != '.' || a.kind == cssNumber)
		}
		return wordy(b) || b.kind == '(' || b.kind == cssDelim && (b.text == "-" || b.text == "%")
	case cssDelim:
		switch a.text {
		case "+", "-", "#", "@":
			return wordy(b) || b.kind == cssDelim
		case ".":
			return wordy(b) && b.kind != cssIdent
		case "/", "<":
			return b.kind == cssDelim
		}
	}
	return false
}

// wordy reports whether a token begins with a name, a number or a sign that begins one.
func wordy(t cssToken) bool { return strings.IndexByte("ifu@#nm%", byte(t.kind)) >= 0 }

// writeName writes a name with escapes. first: it must begin as an identifier does.
func writeName(b *strings.Builder, name string, first bool) {
	for i, r := range name {
		switch {
		case r >= utf8.RuneSelf && isChar(r) && r != utf8.RuneError, r < utf8.RuneSelf && isNameChar(byte(r), true):
			b.WriteRune(r)
		case r < utf8.RuneSelf && isDigit(byte(r)) && !(first && (i == 0 || i == 1 && name[0] == '-')),
			r == '-' && (!first || i > 0 || len(name) > 1):
			b.WriteRune(r)
		default:
			fmt.Fprintf(b, "\\%x ", r)
		}
	}
}

// writeUnit writes the unit of a dimension; one that would be an exponent is escaped.
func writeUnit(b *strings.Builder, unit string) {
	if (unit[0] == 'e' || unit[0] == 'E') && len(unit) > 1 && (isDigit(unit[1]) || unit[1] == '-') {
		fmt.Fprintf(b, "\\%x ", unit[0])
		writeName(b, unit[1:], false)
		return
	}
	writeName(b, unit, true)
}

// writeURL writes a reference to an element, with quotes if it needs them.
func writeURL(b *strings.Builder, ref string) {
	b.WriteString("url(")
	if strings.Trim(ref[1:], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:") == "" {
		b.WriteString(ref)
	} else {
		writeString(b, ref)
	}
	b.WriteByte(')')
}

func writeString(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f || !isChar(r):
			fmt.Fprintf(b, "\\%x ", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
