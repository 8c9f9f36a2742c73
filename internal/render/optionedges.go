package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// This file has the options trim and border, which have a length for each edge.

// A Trim is what is cut off a picture before it is flipped, rotated and resized, in pixels. With Border the edges of
// one colour are cut off: all lengths except Keep are zero until a worker has found the edges.
type Trim struct {
	Top, Right, Bottom, Left int
	Width, Height            int // of the part that remains; 0: as far as Right and Bottom

	Border    bool
	Color     string // of the edges, "#rrggbb"; "" for the colour of the first pixel
	Tolerance int    // by which a value of the colour may differ, up to 255; 0 for DefaultTolerance
	Keep      int    // pixels of the edges that are not cut off
}

// DefaultTolerance is the Tolerance of a Trim without one.
const DefaultTolerance = 10

// trimBorder is the part of trim that may be an object in JSON.
const trimBorder = "trim.border"

// lengths are the lengths that cut, and Keep.
func (t *Trim) lengths() []*int { return []*int{&t.Top, &t.Right, &t.Bottom, &t.Left, &t.Keep} }

// sides are the lengths of the text of a Trim, in its order.
func (t *Trim) sides() []*int {
	return []*int{&t.Top, &t.Right, &t.Bottom, &t.Left, &t.Width, &t.Height}
}

// normal returns t without values that have no effect.
func (t Trim) normal() Trim {
	if t.Border {
		if t.Tolerance == DefaultTolerance {
			t.Tolerance = 0
		}
		return Trim{Border: true, Color: t.Color, Tolerance: t.Tolerance, Keep: t.Keep}
	}
	t.Color, t.Tolerance, t.Keep = "", 0, 0
	return t
}

var trimKind = kind{
	must: fmt.Sprintf("border, or pixels of the form top;right;bottom;left, or left, top, width and so on as "+
		"trim.left=10, up to %d each", MaxOptionSide),
	read: readTrim,
	valid: func(o *Options) bool {
		t := o.Trim
		for _, n := range append(t.sides(), &t.Keep) {
			if *n < 0 || *n > MaxOptionSide {
				return false
			}
		}
		return (t.Color == "" || isOpaque(t.Color)) && t.Tolerance >= 0 && t.Tolerance <= 255
	},
	text: trimText,
	json: trimJSON,
	part: func(o *Options, name, text string) bool {
		t := &o.Trim
		var ok bool
		switch name {
		case "top":
			t.Top, ok = pixelNumber(text, MaxOptionSide)
		case "right":
			t.Right, ok = pixelNumber(text, MaxOptionSide)
		case "bottom":
			t.Bottom, ok = pixelNumber(text, MaxOptionSide)
		case "left":
			t.Left, ok = pixelNumber(text, MaxOptionSide)
		case "width":
			t.Width, ok = pixelNumber(text, MaxOptionSide)
			ok = ok && t.Width > 0
		case "height":
			t.Height, ok = pixelNumber(text, MaxOptionSide)
			ok = ok && t.Height > 0
		case "border":
			t.Border, ok = text == "true", text == "true" || text == "false"
		default:
			ok = t.readBorderPart(name, text)
		}
		return ok
	},
}

// readBorderPart reads what an object for trim.border has, each of which asks for it.
func (t *Trim) readBorderPart(name, text string) (ok bool) {
	t.Border = true
	switch name {
	case "border.color":
		t.Color, ok = readOpaque(text)
	case "border.tolerance":
		t.Tolerance, ok = pixelNumber(text, 255)
		// No tolerance at all is not distinguished from one of 1, which differs in no picture that has edges.
		t.Tolerance = max(t.Tolerance, 1)
	case "border.keep":
		t.Keep, ok = pixelNumber(text, MaxOptionSide)
	}
	return ok
}

// readTrim reads "border", "top;right;bottom;left", and what trimText writes: "border;color;tolerance;keep" and
// "top;right;bottom;left;width;height".
func readTrim(o *Options, text string) bool {
	fields := strings.Split(text, ";")
	t := Trim{}
	if fields[0] == "border" {
		t.Border = true
		if len(fields) == 1 {
			o.Trim = t
			return true
		}
		if len(fields) != 4 {
			return false
		}
		ok, okTolerance, okKeep := true, false, false
		if fields[1] != "" {
			t.Color, ok = readOpaque(fields[1])
		}
		t.Tolerance, okTolerance = pixelNumber(fields[2], 255)
		t.Keep, okKeep = pixelNumber(fields[3], MaxOptionSide)
		o.Trim = t
		return ok && okTolerance && okKeep
	}
	if len(fields) != 4 && len(fields) != 6 {
		return false
	}
	for i, side := range t.sides()[:len(fields)] {
		n, ok := pixelNumber(fields[i], MaxOptionSide)
		if !ok {
			return false
		}
		*side = n
	}
	o.Trim = t
	return true
}

func trimText(o *Options) string {
	t := o.Trim
	switch {
	case t == Trim{}:
		return ""
	case t == Trim{Border: true}:
		return "border"
	case t.Border:
		return fmt.Sprintf("border;%s;%d;%d", strings.Replace(t.Color, "#", "%23", 1), t.Tolerance, t.Keep)
	}
	text := joinPixels(t.sides()[:4])
	if t.Width != 0 || t.Height != 0 {
		text = joinPixels(t.sides())
	}
	return text
}

func joinPixels(lengths []*int) string {
	words := make([]string, len(lengths))
	for i, n := range lengths {
		words[i] = strconv.Itoa(*n)
	}
	return strings.Join(words, ";")
}

// trimJSON returns the object of the Workers API.
func trimJSON(o *Options) any {
	t := o.Trim
	if t == (Trim{}) {
		return nil
	}
	object := map[string]any{}
	for i, name := range []string{"top", "right", "bottom", "left", "width", "height"} {
		if n := *t.sides()[i]; n != 0 {
			object[name] = n
		}
	}
	if t.Border {
		object["border"] = true
	}
	if border := (Trim{Border: true}); t.Border && t != border {
		inner := map[string]any{}
		for name, v := range map[string]any{
			"color": unlessZero(t.Color), "tolerance": unlessZero(t.Tolerance), "keep": unlessZero(t.Keep),
		} {
			if v != nil {
				inner[name] = v
			}
		}
		object["border"] = inner
	}
	return object
}

// A Border is drawn around the finished rendition, which it enlarges, in pixels.
type Border struct {
	Color                    string // "#rrggbb"; "" without a border
	Top, Right, Bottom, Left int    // up to MaxBorder

	named uint8 // while it is parsed: the sides with a separate width, one bit each
}

// MaxBorder bounds each side of a Border, in pixels.
const MaxBorder = 1000

func (b *Border) sides() []*int { return []*int{&b.Top, &b.Right, &b.Bottom, &b.Left} }

// wide reports whether a side of b is not zero.
func (b Border) wide() bool { return b.Top+b.Right+b.Bottom+b.Left != 0 }

// normal returns b without a colour of nothing.
func (b Border) normal() Border {
	if b.named = 0; !b.wide() {
		return Border{}
	}
	return b
}

var borderKind = kind{
	must: fmt.Sprintf("an opaque colour and a width, or four widths from the top clockwise, of up to %d pixels, "+
		"such as %%23ff0000;5 or %%23ff0000;5;0;5;0", MaxBorder),
	read: func(o *Options, text string) bool {
		fields := strings.Split(text, ";")
		if len(fields) == 2 {
			fields = []string{fields[0], fields[1], fields[1], fields[1], fields[1]}
		}
		if len(fields) != 5 {
			return false
		}
		b, ok := Border{}, false
		if b.Color, ok = readOpaque(fields[0]); !ok {
			return false
		}
		for i, side := range b.sides() {
			if *side, ok = pixelNumber(fields[i+1], MaxBorder); !ok {
				return false
			}
		}
		o.Border = b
		return true
	},
	valid: func(o *Options) bool {
		b := o.Border
		for _, n := range b.sides() {
			if *n < 0 || *n > MaxBorder {
				return false
			}
		}
		return !b.wide() && b.Color == "" || isOpaque(b.Color)
	},
	text: func(o *Options) string {
		b := o.Border
		if !b.wide() {
			return ""
		}
		text := strings.Replace(b.Color, "#", "%23", 1) + ";"
		if b.Top == b.Right && b.Top == b.Bottom && b.Top == b.Left {
			return text + strconv.Itoa(b.Top)
		}
		return text + joinPixels(b.sides())
	},
	json: borderJSON,
	part: func(o *Options, name, text string) (ok bool) {
		b := &o.Border
		if name == "color" {
			b.Color, ok = readOpaque(text)
			return ok
		}
		n, ok := pixelNumber(text, MaxBorder)
		if name == "width" { // of the sides without a separate one, before or after it
			for i, side := range b.sides() {
				if b.named&(1<<i) == 0 {
					*side = n
				}
			}
			return ok
		}
		i := slices.Index(edges, name)
		if i >= 0 {
			*b.sides()[i] = n
			b.named |= 1 << i
		}
		return ok && i >= 0
	},
}

// edges are the names of edges, in the order of sides.
var edges = []string{"top", "right", "bottom", "left"}

// borderJSON returns the object of the Workers API.
func borderJSON(o *Options) any {
	b := o.Border
	if !b.wide() {
		return nil
	}
	if b.Top == b.Right && b.Top == b.Bottom && b.Top == b.Left {
		return map[string]any{"color": b.Color, "width": b.Top}
	}
	object := map[string]any{"color": b.Color}
	for i, name := range edges {
		object[name] = *b.sides()[i]
	}
	return object
}
