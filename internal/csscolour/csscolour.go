// Package csscolour parses colours of CSS.
package csscolour

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// An rgba is a colour with its opacity, of 8 bits each.
type rgba [4]byte

// maxColourText bounds the text of a colour, in bytes.
const maxColourText = 100

// Parse returns a colour of CSS Color 4, as parseColour reads it, as "#rrggbb", or as "#rrggbbaa" if it is not opaque.
func Parse(s string) (colour string, ok bool) {
	c, ok := parseColour(s)
	if !ok {
		return "", false
	}
	return c.hex(), true
}

// parseColour parses a colour of CSS Color 4: a name, "transparent", hexadecimal digits with or without #, or rgb,
// rgba, hsl or hsla with their values between brackets. Values outside their range are clamped, as in CSS. ok is false
// for any other text.
func parseColour(s string) (c rgba, ok bool) {
	if len(s) > maxColourText {
		return rgba{}, false
	}
	s = strings.ToLower(strings.Trim(s, cssSpace))
	if n, named := colourNames[s]; named {
		return rgba{byte(n >> 16), byte(n >> 8), byte(n), 255}, true
	}
	if s == "transparent" {
		return rgba{}, true
	}
	if c, ok := parseHex(strings.TrimPrefix(s, "#")); ok {
		return c, true
	}
	name, inside, ok := strings.Cut(s, "(")
	inside, closed := strings.CutSuffix(inside, ")")
	if !ok || !closed {
		return rgba{}, false
	}
	switch name {
	case "rgb", "rgba":
		return parseRGB(inside)
	case "hsl", "hsla":
		return parseHSL(inside)
	}
	return rgba{}, false
}

// cssSpace are the characters that CSS counts as white space.
const cssSpace = " \t\n\r\f"

// hex returns the colour as "#rrggbb", or as "#rrggbbaa" if it is not opaque. All colours without opacity are the
// same.
func (c rgba) hex() string {
	switch c[3] {
	case 255:
		return fmt.Sprintf("#%x", c[:3])
	case 0:
		c = rgba{}
	}
	return fmt.Sprintf("#%x", c[:])
}

// parseHex parses 3, 4, 6 or 8 hexadecimal digits in lower case.
func parseHex(s string) (c rgba, ok bool) {
	if strings.Trim(s, "0123456789abcdef") != "" {
		return rgba{}, false
	}
	if len(s) == 3 || len(s) == 4 {
		long := make([]byte, 0, 8)
		for i := range len(s) {
			long = append(long, s[i], s[i])
		}
		s = string(long)
	}
	if len(s) == 6 {
		s += "ff"
	}
	n, err := strconv.ParseUint(s, 16, 32)
	return rgba{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, err == nil && len(s) == 8
}

// A cssValue is one value between the brackets of a colour.
type cssValue struct {
	number float64
	unit   string // "", "%" or a unit of angles; "none" for the keyword
}

// cssValues splits the values between the brackets of a colour: three with an optional opacity, which is opaque if it
// is missing. commas reports the older syntax.
func cssValues(s string) (values [4]cssValue, commas, ok bool) {
	commas = strings.Contains(s, ",")
	var parts []string
	if commas {
		parts = strings.Split(s, ",")
	} else {
		colour, opacity, slash := strings.Cut(s, "/")
		parts = strings.FieldsFunc(colour, func(r rune) bool { return strings.ContainsRune(cssSpace, r) })
		if len(parts) != 3 {
			return values, commas, false
		}
		if slash {
			parts = append(parts, opacity)
		}
	}
	if len(parts) != 3 && len(parts) != 4 {
		return values, commas, false
	}
	values[3] = cssValue{number: 1}
	for i, part := range parts {
		if values[i], ok = parseCSSValue(strings.Trim(part, cssSpace)); !ok || commas && values[i].unit == "none" {
			return values, commas, false
		}
	}
	return values, commas, true
}

// parseCSSValue parses a number with an optional unit, or "none", which is zero.
func parseCSSValue(s string) (v cssValue, ok bool) {
	if s == "none" {
		return cssValue{unit: "none"}, true
	}
	end := len(strings.TrimRight(s, "%abcdefghijklmnopqrstuvwxyz"))
	v.unit = s[end:]
	// The rest has no letters except the e of an exponent, so it is neither "inf" nor "nan" nor hexadecimal.
	if end == 0 || strings.Trim(s[:end], "+-.e0123456789") != "" || s[end-1] == '.' {
		return cssValue{}, false
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	if err != nil {
		return cssValue{}, false
	}
	v.number = n
	return v, true
}

// share returns a value as a share of whole, from 0 to 1. plain reports whether it may be a number without a percent
// sign; ok is false for another unit.
func (v cssValue) share(whole float64, plain bool) (share float64, ok bool) {
	switch v.unit {
	case "none":
		return 0, true
	case "%":
		whole = 100
	case "":
		if !plain {
			return 0, false
		}
	default:
		return 0, false
	}
	return min(max(v.number/whole, 0), 1), true
}

// degrees returns a hue from 0 to 360.
func (v cssValue) degrees() (degrees float64, ok bool) {
	turn, ok := map[string]float64{"": 360, "none": 360, "deg": 360, "grad": 400, "rad": 2 * math.Pi, "turn": 1}[v.unit]
	if !ok {
		return 0, false
	}
	share := math.Mod(v.number/turn, 1)
	if share < 0 {
		share++
	}
	return 360 * share, true
}

func parseRGB(s string) (c rgba, ok bool) {
	values, commas, ok := cssValues(s)
	if !ok {
		return rgba{}, false
	}
	var shares [4]float64
	for i, v := range values {
		whole := 255.0
		if i == 3 {
			whole = 1
		} else if commas && v.unit != values[0].unit {
			return rgba{}, false // the older syntax does not mix numbers and percentages
		}
		if shares[i], ok = v.share(whole, true); !ok {
			return rgba{}, false
		}
	}
	return colourOf(shares), true
}

func parseHSL(s string) (c rgba, ok bool) {
	values, commas, ok := cssValues(s)
	if !ok {
		return rgba{}, false
	}
	hue, ok := values[0].degrees()
	saturation, ok1 := values[1].share(100, !commas)
	lightness, ok2 := values[2].share(100, !commas)
	opacity, ok3 := values[3].share(1, true)
	if !ok || !ok1 || !ok2 || !ok3 {
		return rgba{}, false
	}
	// CSS Color 4, 7.1: from HSL to RGB.
	channel := func(n float64) float64 {
		k := math.Mod(n+hue/30, 12)
		return lightness - saturation*min(lightness, 1-lightness)*max(-1, min(k-3, 9-k, 1))
	}
	return colourOf([4]float64{channel(0), channel(8), channel(4), opacity}), true
}

// colourOf returns the colour of shares from 0 to 1.
func colourOf(shares [4]float64) (c rgba) {
	for i, share := range shares {
		c[i] = byte(math.Round(255 * min(max(share, 0), 1)))
	}
	return c
}
