package cfapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"
)

// A Series is a result with a list whose items are encoded and written one after the other, so that the
// answer is never in memory completely.
type Series struct {
	Result any           // a result for WriteResult, with ItemsHere instead of the list
	Items  iter.Seq[any] // encoded in turn
}

// ItemsHere marks the position of the list in the Result of a Series, exactly once.
type ItemsHere struct{}

// itemsMark is ItemsHere in JSON. No text of a client holds a control character.
const itemsMark = `"\u0000items"`

// MarshalJSON returns itemsMark.
func (ItemsHere) MarshalJSON() ([]byte, error) { return []byte(itemsMark), nil }

// ErrCut says that an answer was begun and could not be completed. The caller must close the connection;
// otherwise the client would take the part for the whole answer.
var ErrCut = errors.New("the answer is cut short")

// seriesBuffer is the size of the output buffer, in bytes. A shorter answer has a Content-Length.
const seriesBuffer = 64 << 10

// WriteSeries answers as WriteResult does. The error is for the log; it is ErrCut if the client has
// received a part of the answer only.
func WriteSeries(w http.ResponseWriter, s Series) error {
	status, e := enveloped(s.Result)
	frame, err := encode(e)
	if err != nil {
		return unencoded(w, err)
	}
	head, tail, found := bytes.Cut(frame, []byte(itemsMark))
	if !found {
		return unencoded(w, errors.New("a series has no ItemsHere"))
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	out := &lateWriter{ResponseWriter: w, status: status}
	b := bufio.NewWriterSize(out, seriesBuffer)
	_, _ = b.Write(head) // a bufio.Writer returns its first error again
	err = writeItems(b, s.Items, indentOf(head))
	if err != nil && !out.begun {
		return unencoded(w, err)
	}
	_, _ = b.Write(tail)
	if err == nil && !out.begun {
		h.Set("Content-Length", strconv.Itoa(b.Buffered()))
	}
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		return fmt.Errorf("writing an answer: %w: %w", ErrCut, err)
	}
	return nil
}

// indentOf returns the white space before the last line.
func indentOf(text []byte) string {
	line := text[bytes.LastIndexByte(text, '\n')+1:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " "))])
}

// writeItems writes a JSON array as encode would.
func writeItems(b *bufio.Writer, items iter.Seq[any], indent string) error {
	inner := indent + "  "
	var text bytes.Buffer
	enc := newEncoder(&text, inner)
	open, between := "[", "\n"
	for item := range items {
		text.Reset()
		if err := enc.Encode(item); err != nil {
			return fmt.Errorf("encoding an item: %w", err)
		}
		_, _ = b.WriteString(open + between + inner)
		if _, err := b.Write(bytes.TrimSuffix(text.Bytes(), []byte("\n"))); err != nil {
			return err
		}
		open, between = "", ",\n"
	}
	if open == "" {
		open = "\n" + indent
	}
	_, err := b.WriteString(open + "]")
	return err
}

// lateWriter sends the header with the first bytes.
type lateWriter struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (l *lateWriter) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.WriteHeader(l.status)
	}
	return l.ResponseWriter.Write(p)
}

// A Scale measures the bytes of an item in a Series. It is not safe for concurrent use.
type Scale struct {
	text bytes.Buffer
	enc  *json.Encoder
}

// itemIndent is the indent of items in the deepest list of an answer.
const itemIndent = "      "

// Weigh returns the bytes of an item, including those between it and the next one.
func (s *Scale) Weigh(item any) (int64, error) {
	if s.enc == nil {
		s.enc = newEncoder(&s.text, itemIndent)
	}
	s.text.Reset()
	if err := s.enc.Encode(item); err != nil {
		return 0, fmt.Errorf("encoding an item: %w", err)
	}
	return int64(s.text.Len() + len(",") + len(itemIndent)), nil
}
