package svg

import (
	"bufio"
	"io"
)

// A writer writes well-formed XML. After an error it writes nothing; flush returns the error.
type writer struct {
	b    *bufio.Writer
	open bool // a start tag is not ended yet
}

func newWriter(out io.Writer) *writer { return &writer{b: bufio.NewWriter(out)} }

func (w *writer) flush() error { return w.b.Flush() }

func (w *writer) put(s string) { _, _ = w.b.WriteString(s) } // flush returns the error

// start writes a start tag, whose attributes follow.
func (w *writer) start(name string) {
	w.content()
	w.put("<")
	w.put(name)
	w.open = true
}

// attr writes an attribute of the last start tag.
func (w *writer) attr(name, value string) {
	w.put(" ")
	w.put(name)
	w.put(`="`)
	w.escape(value, true)
	w.put(`"`)
}

// content ends the last start tag, if it is open.
func (w *writer) content() {
	if w.open {
		w.put(">")
		w.open = false
	}
}

func (w *writer) text(s string) {
	if s != "" {
		w.content()
		w.escape(s, false)
	}
}

// end writes the end tag of an element.
func (w *writer) end(name string) {
	if w.open {
		w.put("/>")
		w.open = false
		return
	}
	w.put("</")
	w.put(name)
	w.put(">")
}

// escape writes a value between double quotes, or text. A carriage return can only come from a reference.
func (w *writer) escape(s string, value bool) {
	from := 0
	for i := range len(s) {
		var reference string
		switch c := s[i]; {
		case c == '&':
			reference = "&amp;"
		case c == '<':
			reference = "&lt;"
		case c == '>':
			reference = "&gt;"
		case c == '\r':
			reference = "&#13;"
		case c == '"' && value:
			reference = "&quot;"
		case c == '\n' && value:
			reference = "&#10;"
		case c == '\t' && value:
			reference = "&#9;"
		default:
			continue
		}
		w.put(s[from:i])
		w.put(reference)
		from = i + 1
	}
	w.put(s[from:])
}
