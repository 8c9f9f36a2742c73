package svg

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An eventKind is a kind of event.
type eventKind int

const (
	eventEnd eventKind = iota // of the document
	eventStart
	eventClose
	eventText
)

// An event is a tag or a piece of text.
type event struct {
	kind          eventKind
	prefix, local string
	attrs         []attr // of a start tag; valid until the next event
	empty         bool   // the start tag is also the end tag
	text          string
}

// An attr is an attribute, with its value decoded.
type attr struct{ prefix, local, value string }

// A scanner splits a document in UTF-8 into events. It accepts well-formed XML without entities; comments and
// processing instructions are passed over. It does not compare end tags with start tags.
type scanner struct {
	s     string
	i     int
	attrs []attr
	begun bool // the root element has begun
	typed bool // there was a document type
}

// fail returns an Error that names the line.
func (x *scanner) fail(format string, args ...any) error {
	line := 1 + strings.Count(x.s[:min(x.i, len(x.s))], "\n")
	return &Error{false, fmt.Sprintf("is not well-formed XML in line %d: %s", line, fmt.Sprintf(format, args...))}
}

func (x *scanner) rest() string { return x.s[x.i:] }

// take passes over a prefix, if it is there.
func (x *scanner) take(prefix string) bool {
	if !strings.HasPrefix(x.rest(), prefix) {
		return false
	}
	x.i += len(prefix)
	return true
}

// space passes over white space, and reports whether there is any.
func (x *scanner) space() bool {
	from := x.i
	for x.i < len(x.s) && isSpace(x.s[x.i]) {
		x.i++
	}
	return x.i > from
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// until returns the text before end, and passes over both.
func (x *scanner) until(end, what string) (string, error) {
	n := strings.Index(x.rest(), end)
	if n < 0 {
		x.i = len(x.s)
		return "", x.fail("%s does not end", what)
	}
	text := x.s[x.i : x.i+n]
	x.i += n + len(end)
	return text, nil
}

// declaration passes over the XML declaration, if there is one, and returns its encoding.
func (x *scanner) declaration() (encoding string, err error) {
	if !strings.HasPrefix(x.rest(), "<?xml") || len(x.rest()) < 6 || !isSpace(x.rest()[5]) {
		return "", nil
	}
	x.i += len("<?xml")
	order := []string{"version", "encoding", "standalone"}
	for {
		spaced := x.space()
		if x.take("?>") {
			return encoding, nil
		}
		name, value, err := x.pseudoAttribute()
		if err != nil {
			return "", err
		}
		for len(order) > 0 && order[0] != name {
			order = order[1:]
		}
		if len(order) == 0 || !spaced {
			return "", x.fail("the XML declaration is not valid")
		}
		order = order[1:]
		if name == "encoding" {
			encoding = value
		}
	}
}

// pseudoAttribute reads a name and a value of the declaration.
func (x *scanner) pseudoAttribute() (name, value string, err error) {
	from := x.i
	for x.i < len(x.s) && x.s[x.i] >= 'a' && x.s[x.i] <= 'z' {
		x.i++
	}
	name = x.s[from:x.i]
	x.space()
	equals := x.take("=")
	x.space()
	for _, quote := range []string{`"`, "'"} {
		if equals && name != "" && x.take(quote) {
			value, err = x.until(quote, "the XML declaration")
			return name, value, err
		}
	}
	return "", "", x.fail("the XML declaration is not valid")
}

// next returns the next event.
func (x *scanner) next() (event, error) {
	for x.i < len(x.s) {
		var e event
		var err error
		switch rest := x.rest(); {
		case rest[0] != '<':
			e, err = x.text()
		case strings.HasPrefix(rest, "<!--"):
			err = x.comment()
		case strings.HasPrefix(rest, "<![CDATA["):
			e.kind = eventText
			x.i += len("<![CDATA[")
			e.text, err = x.until("]]>", "a CDATA section")
		case strings.HasPrefix(rest, "<!DOCTYPE"):
			err = x.doctype()
		case strings.HasPrefix(rest, "<?"):
			err = x.instruction()
		case strings.HasPrefix(rest, "</"):
			e, err = x.endTag()
		default:
			e, err = x.startTag()
		}
		if err != nil || e.kind != eventEnd {
			return e, err
		}
	}
	return event{}, nil
}

func (x *scanner) text() (event, error) {
	n := strings.IndexByte(x.rest(), '<')
	if n < 0 {
		n = len(x.rest())
	}
	raw := x.s[x.i : x.i+n]
	if strings.Contains(raw, "]]>") {
		return event{}, x.fail("a CDATA section ends that has not begun")
	}
	text, err := x.unescape(raw)
	x.i += n
	return event{kind: eventText, text: text}, err
}

func (x *scanner) comment() error {
	x.i += len("<!--")
	if _, err := x.until("--", "a comment"); err != nil {
		return err
	}
	if !x.take(">") {
		return x.fail("a comment holds two hyphens")
	}
	return nil
}

// instruction passes over a processing instruction.
func (x *scanner) instruction() error {
	x.i += len("<?")
	target, err := x.name()
	if err != nil {
		return err
	}
	if strings.EqualFold(target, "xml") {
		return x.fail("the XML declaration is not at the beginning")
	}
	_, err = x.until("?>", "a processing instruction")
	return err
}

// doctype passes over a document type without declarations. Its identifiers are never used.
func (x *scanner) doctype() error {
	x.i += len("<!DOCTYPE")
	if x.begun || x.typed {
		return x.fail("the document type is not before the root element, or there are two")
	}
	x.typed = true
	for x.i < len(x.s) {
		switch c := x.s[x.i]; c {
		case '>':
			x.i++
			return nil
		case '"', '\'':
			x.i++
			if _, err := x.until(string(c), "the document type"); err != nil {
				return err
			}
		case '[':
			return &Error{true, "has a document type with declarations, such as entities, which are not accepted: " +
				"export it again without"}
		case '<':
			return x.fail("the document type is not valid")
		default:
			x.i++
		}
	}
	return x.fail("the document type does not end")
}

// name reads a name with or without a colon.
func (x *scanner) name() (string, error) {
	from := x.i
	for x.i < len(x.s) {
		r, n := rune(x.s[x.i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(x.rest())
		}
		if !isName(r, x.i == from) {
			break
		}
		x.i += n
	}
	switch {
	case x.i == from:
		return "", x.fail("a name is missing or begins with a character that no name begins with")
	case x.i-from > maxNameBytes:
		return "", x.fail("a name has more than %d bytes", maxNameBytes)
	}
	return x.s[from:x.i], nil
}

// qualified reads a name and splits it at its colon.
func (x *scanner) qualified() (prefix, local string, err error) {
	name, err := x.name()
	if err != nil {
		return "", "", err
	}
	prefix, local, found := strings.Cut(name, ":")
	if !found {
		return "", name, nil
	}
	first, _ := utf8.DecodeRuneInString(local)
	if prefix == "" || local == "" || strings.Contains(local, ":") || !isName(first, true) {
		return "", "", x.fail("a name has a colon in a wrong place")
	}
	return prefix, local, nil
}

// isName reports whether a name may have a character, as its first one or behind it.
func isName(r rune, first bool) bool {
	switch {
	case r < utf8.RuneSelf:
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == ':' ||
			!first && (r >= '0' && r <= '9' || r == '-' || r == '.')
	case r == 0xd7 || r == 0xf7 || r == 0x37e:
		return false
	case r == 0xb7, r >= 0x300 && r <= 0x36f, r == 0x203f, r == 0x2040:
		return !first
	}
	return r >= 0xc0 && r <= 0x1fff || r == 0x200c || r == 0x200d || r >= 0x2070 && r <= 0x218f ||
		r >= 0x2c00 && r <= 0x2fef || r >= 0x3001 && r <= 0xd7ff || r >= 0xf900 && r <= 0xfdcf ||
		r >= 0xfdf0 && r <= 0xfffd || r >= 0x10000 && r <= 0xeffff
}

func (x *scanner) endTag() (e event, err error) {
	x.i += len("</")
	e.kind = eventClose
	if e.prefix, e.local, err = x.qualified(); err != nil {
		return e, err
	}
	x.space()
	if !x.take(">") {
		return e, x.fail("an end tag does not end")
	}
	return e, nil
}

func (x *scanner) startTag() (e event, err error) {
	x.i += len("<")
	x.begun = true
	e.kind = eventStart
	if e.prefix, e.local, err = x.qualified(); err != nil {
		return e, err
	}
	x.attrs = x.attrs[:0]
	for {
		spaced := x.space()
		if x.take("/>") {
			e.empty = true
			break
		}
		if x.take(">") {
			break
		}
		if !spaced {
			return e, x.fail("a tag does not end, or has attributes without a space between them")
		}
		if len(x.attrs) == maxAttrs {
			return e, &LimitError{"attributes in an element", maxAttrs}
		}
		if err := x.attribute(); err != nil {
			return e, err
		}
	}
	e.attrs = x.attrs
	return e, nil
}

// attribute reads an attribute and adds it to x.attrs.
func (x *scanner) attribute() error {
	prefix, local, err := x.qualified()
	if err != nil {
		return err
	}
	for _, a := range x.attrs {
		if a.local == local && a.prefix == prefix {
			return x.fail("an element has an attribute twice")
		}
	}
	x.space()
	if !x.take("=") {
		return x.fail("an attribute has no value")
	}
	x.space()
	if x.i == len(x.s) || x.s[x.i] != '"' && x.s[x.i] != '\'' {
		return x.fail("the value of an attribute has no quotes")
	}
	quote := x.s[x.i : x.i+1]
	x.i++
	raw, err := x.until(quote, "the value of an attribute")
	if err != nil {
		return err
	}
	if strings.Contains(raw, "<") {
		return x.fail("the value of an attribute holds a less-than sign")
	}
	if strings.ContainsAny(raw, "\t\n") {
		raw = strings.NewReplacer("\t", " ", "\n", " ").Replace(raw)
	}
	value, err := x.unescape(raw)
	x.attrs = append(x.attrs, attr{prefix, local, value})
	return err
}

// entities are the entities of XML; no others are accepted.
var entities = map[string]string{"lt": "<", "gt": ">", "amp": "&", "quot": `"`, "apos": "'"}

// unescape replaces character references and the entities of XML.
func (x *scanner) unescape(raw string) (string, error) {
	if !strings.Contains(raw, "&") {
		return raw, nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	for {
		before, after, found := strings.Cut(raw, "&")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		name, _, found := strings.Cut(after[:min(len(after), 16)], ";")
		if !found {
			return "", x.fail("an ampersand begins no character reference")
		}
		raw = after[len(name)+1:]
		if text := entities[name]; text != "" {
			b.WriteString(text)
			continue
		}
		r, ok := reference(name)
		if !ok {
			return "", x.fail("there is a reference to an entity or to a character that does not exist")
		}
		b.WriteRune(r)
	}
}

// reference returns the character of a reference, such as "#38" or "#x26".
func reference(name string) (r rune, ok bool) {
	digits, ok := strings.CutPrefix(name, "#")
	base := rune(10)
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	if !ok || digits == "" {
		return 0, false
	}
	for i := range len(digits) {
		digit := hexDigit(digits[i])
		if digit < 0 || digit >= base {
			return 0, false
		}
		if r = r*base + digit; r > utf8.MaxRune {
			return 0, false
		}
	}
	return r, isChar(r)
}

// hexDigit returns the value of a hexadecimal digit, -1 for another character.
func hexDigit(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}
