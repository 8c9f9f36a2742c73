// Package terminal is what commands print: tables and details for people, and one JSON object for programs.
//
// A command embeds Output, which has the flag --json, and calls Print with a value for programs and a function that
// prints the same for people. escape.go makes texts of others harmless, units.go writes sizes and times for people.
package terminal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// Output is embedded in the commands that print a result.
type Output struct {
	JSON bool `name:"json" help:"Print one JSON object for programs, instead of text." env:"-"`
}

// Print writes a result to w: the value as JSON with --json, otherwise what people prints. The value is a struct, a
// map or a List, with keys in camelCase, times as Time, and sizes as integers of bytes.
func (o Output) Print(w io.Writer, value any, people func(io.Writer)) error {
	if !o.JSON {
		return printed(w, people)
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("encoding the result: %w", err)
	}
	return printed(w, func(w io.Writer) { Show(w, "%s", text.Bytes()) })
}

// printed runs fn with a writer, and returns the first error of w.
func printed(w io.Writer, fn func(io.Writer)) error {
	noting := &noting{Writer: w}
	fn(noting)
	if noting.err != nil {
		return fmt.Errorf("printing the result: %w", noting.err)
	}
	return nil
}

// noting stores the first error of a writer.
type noting struct {
	io.Writer
	err error
}

func (n *noting) Write(p []byte) (int, error) {
	written, err := n.Writer.Write(p)
	if n.err == nil {
		n.err = err
	}
	return written, err
}

// columns returns the width of the terminal below, as Columns does.
func (n *noting) columns() int { return Columns(n.Writer) }

// A List is the JSON of a list. Next is the cursor of the next page, empty on the last one.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// ListOf returns a List, whose items are never null.
func ListOf[T any](items []T) List[T] {
	if items == nil {
		items = []T{}
	}
	return List[T]{Items: items}
}

// Time is a time in JSON: RFC 3339 in UTC with milliseconds, or null for the zero time.
type Time time.Time

// MarshalJSON writes the time.
func (t Time) MarshalJSON() ([]byte, error) {
	if time.Time(t).IsZero() {
		return []byte("null"), nil
	}
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05.000Z07:00"`)), nil
}

// IsTerminal reports whether a file is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Columns returns the width of the terminal that w writes to, 0 if it is no terminal or its width is unknown.
func Columns(w io.Writer) int {
	switch w := w.(type) {
	case interface{ columns() int }:
		return w.columns()
	case *os.File:
		width, _, err := term.GetSize(int(w.Fd()))
		if err == nil {
			return width
		}
	}
	return 0
}

// ErrNoTerminal is returned if a secret would have to be typed where there is no terminal.
var ErrNoTerminal = errors.New("the standard input is no terminal")

// ReadSecret asks for a secret on the terminal, and reads it without showing it.
func ReadSecret(prompt string) (string, error) {
	if !IsTerminal(os.Stdin) {
		return "", ErrNoTerminal
	}
	fmt.Fprint(os.Stderr, prompt)
	secret, err := term.ReadPassword(int(os.Stdin.Fd()))
	fmt.Fprintln(os.Stderr)
	if err != nil {
		return "", fmt.Errorf("reading the secret: %w", err)
	}
	return string(bytes.TrimSpace(secret)), nil
}
