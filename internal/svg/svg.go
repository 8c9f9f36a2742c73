// Package svg reads and sanitises SVG documents: text in, text out. It draws nothing.
//
// A document is decoded to UTF-8 (encoding.go), split into tags and text (xml.go), and written again (write.go)
// from what the lists in names.go allow: elements, attributes and properties of CSS. The output never has a piece
// of the input that this package does not understand. href.go decides which references stay, css.go parses style
// sheets, and graph.go bounds what references draw repeatedly. decisions/0026-svg.md has the reasons.
package svg

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Version is the version of the rules. Raise it if the output of Sanitise changes for any input.
const Version = "svg2"

// The limits of a document.
const (
	MaxBytes     = 10 << 20  // of the file
	maxDepth     = 256       // elements in elements
	maxElements  = 250_000   // in the file, and with those that each use element repeats
	maxAttrs     = 256       // of an element, namespace declarations included
	maxBindings  = 64        // namespace declarations in scope
	maxNameBytes = 1000      // of an element or attribute
	maxStyle     = 256 << 10 // bytes of CSS in style elements, sanitised
)

// ErrNotSVG: the document does not begin like an SVG.
var ErrNotSVG = errors.New("svg: not an SVG")

// An Error is the reason why a document is refused. It holds figures and fixed words, never text of the document.
type Error struct {
	// Unsupported: the document uses a feature that is not accepted. Otherwise it is not well-formed.
	Unsupported bool
	Reason      string
}

func (e *Error) Error() string { return "the SVG " + e.Reason }

// A LimitError names the limit that a document exceeds.
type LimitError struct {
	What    string // such as "elements"
	Allowed int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the SVG has too many %s; at most %d are allowed", e.What, e.Allowed)
}

// An Embedded checks the bytes of an embedded picture. It returns its media type, and the bytes to embed, which may
// be the same. ok is false if the picture is to be left out. An error ends the sanitising.
type Embedded func(picture []byte) (mime string, clean []byte, ok bool, err error)

// Sanitise writes the document in the first size bytes of r to out with only the parts that are harmless in a
// browser: nothing runs, and nothing is fetched. The output is well-formed UTF-8 without a declaration, has at most
// 8 bytes for a byte of the input and 1 KiB more, and is its own sanitised form.
//
// Errors: ErrNotSVG, *Error, *LimitError; those of r, out and embedded. Then the output is incomplete.
func Sanitise(out io.Writer, r io.Reader, size int64, embedded Embedded) error {
	if size > MaxBytes {
		return &LimitError{"bytes", MaxBytes}
	}
	text, err := read(r, size)
	if err != nil {
		return err
	}
	s := &sanitiser{scan: scanner{s: text}, out: newWriter(out), embedded: embedded}
	if err := s.document(); err != nil {
		return err
	}
	if err := s.graph.check(); err != nil {
		return err
	}
	return s.out.flush()
}

// read reads a document as UTF-8.
func read(r io.Reader, size int64) (string, error) {
	var b strings.Builder
	b.Grow(int(size))
	n, err := io.CopyN(&b, r, size)
	if errors.Is(err, io.EOF) && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("reading the SVG: %w", err)
	}
	text, err := decode(b.String())
	if err != nil {
		return "", err
	}
	return text, checkText(text)
}
