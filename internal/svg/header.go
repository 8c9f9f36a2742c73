package svg

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

const (
	// HeadBytes is the size of the beginning of a document that Head needs: the root element must begin in it.
	HeadBytes = 64 << 10

	// The size in pixels of an SVG that states none, as browsers show it.
	defaultWidth, defaultHeight = 300, 150
)

// MaybeSVG reports whether a file that begins with these bytes may be an SVG: its first character is a less-than
// sign, in an accepted encoding.
func MaybeSVG(head []byte) bool {
	s := string(head)
	if _, wide := wideOrder(s); wide {
		return true
	}
	s = strings.TrimLeft(strings.TrimPrefix(s, byteOrderMark), " \t\r\n")
	return s == "" && len(head) > 0 || strings.HasPrefix(s, "<")
}

// Head returns the size of an SVG in CSS pixels, from its beginning: HeadBytes or the whole document. The size is that
// of the attributes width and height, else of the viewBox, else 300 x 150. It is at least 1 x 1, and at most the
// largest int32 a side. Errors: ErrNotSVG, *Error, *LimitError.
func Head(head []byte) (width, height int, err error) {
	s := string(head)
	if _, wide := wideOrder(s); wide {
		s = s[:len(s)&^1]
		if n := len(s); n >= 2 { // half of a pair at the end of the piece
			if a, b := s[n-2]&0xfc, s[n-1]&0xfc; a == 0xd8 || b == 0xd8 {
				s = s[:n-2]
			}
		}
	}
	text, err := decode(s)
	if err != nil {
		return 0, 0, err
	}
	scan := scanner{s: text}
	if _, err := scan.declaration(); err != nil {
		return 0, 0, notRoot(err, false)
	}
	for {
		e, err := scan.next()
		switch {
		case err != nil:
			return 0, 0, notRoot(err, e.local == "svg")
		case e.kind == eventStart && e.local == "svg":
			width, height = size(e.attrs)
			return width, height, nil
		case e.kind != eventText || strings.Trim(e.text, " \t\n") != "":
			return 0, 0, ErrNotSVG
		}
	}
}

// size returns the size that the attributes of a root element state.
func size(attrs []attr) (width, height int) {
	var w, h float64
	var box []float64
	for _, a := range attrs {
		switch {
		case a.prefix != "":
		case a.local == "width":
			w = length(a.value)
		case a.local == "height":
			h = length(a.value)
		case a.local == "viewBox":
			box = numbers(a.value)
		}
	}
	if len(box) == 4 && box[2] > 0 && box[3] > 0 {
		switch {
		case w == 0 && h == 0:
			w, h = box[2], box[3]
		case w == 0:
			w = h * box[2] / box[3]
		case h == 0:
			h = w * box[3] / box[2]
		}
	}
	if w == 0 {
		w = defaultWidth
	}
	if h == 0 {
		h = defaultHeight
	}
	return pixels(w), pixels(h)
}

func pixels(v float64) int { return int(math.Round(min(max(v, 1), math.MaxInt32))) }

// units are the pixels of a unit of length.
var units = map[string]float64{
	"": 1, "px": 1, "pt": 96.0 / 72, "pc": 16, "mm": 96 / 25.4, "cm": 96 / 2.54, "in": 96, "q": 96 / 101.6,
	"em": 16, "rem": 16, "ex": 8,
}

// length returns a length in pixels; 0 if it is not positive, relative to a page, or not valid.
func length(s string) float64 {
	s = strings.ToLower(strings.TrimSpace(s))
	end := len(s)
	for end > 0 && (s[end-1] >= 'a' && s[end-1] <= 'z' || s[end-1] == '%') {
		end--
	}
	unit, known := units[s[end:]]
	value := number(s[:end]) * unit
	if !known || !(value > 0) {
		return 0
	}
	return value
}

// numbers returns the numbers of a list; nil if one is not valid.
func numbers(s string) (all []float64) {
	if len(s) > 200 {
		return nil
	}
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r <= ' ' }) {
		value := number(part)
		if math.IsNaN(value) {
			return nil
		}
		all = append(all, value)
	}
	return all
}

// number returns a decimal number; NaN if it is not valid.
func number(s string) float64 {
	value, err := strconv.ParseFloat(s, 64)
	if s == "" || strings.Trim(s, "+-.0123456789eE") != "" || err != nil && !errors.Is(err, strconv.ErrRange) {
		return math.NaN()
	}
	return value
}
