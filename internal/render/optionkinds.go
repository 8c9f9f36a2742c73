package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/csscolour"
	"calotype/internal/text"
)

// A kind holds the functions that all options with the same kind of value share.
type kind struct {
	must  string                             // what a value must be, for a client, after "must be"
	read  func(o *Options, text string) bool // sets the field from a URL's text; false if it is wrong
	valid func(o *Options) bool              // whether the field holds what is allowed
	text  func(o *Options) string            // in the canonical string; "" for the default
	json  func(o *Options) any               // in JSON; nil for what is not given
	// part sets a part of the option from a URL's text, such as trim.left; nil if the option has no parts. The
	// parts are the keys of an object in JSON.
	part func(o *Options, name, text string) bool
}

// plainNumber parses a number of digits and at most one point, without sign and exponent.
func plainNumber(text string) (n float64, ok bool) {
	const longest = 32 // bytes
	if len(text) > longest || strings.Trim(text, ".0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// pixelNumber parses a number of pixels up to most and rounds it. Other leading zeros than in 0.5 are refused.
func pixelNumber(text string, most int) (n int, ok bool) {
	f, ok := plainNumber(text)
	if !ok || len(text) > 1 && text[0] == '0' && text[1] != '.' {
		return 0, false
	}
	f = math.Round(f)
	return int(min(f, float64(most)+1)), f <= float64(most)
}

// number is a whole number from 1 to most, to which decimals are rounded; 0 for an absent option.
func number(most int, field func(*Options) *int) kind {
	return kind{
		must: fmt.Sprintf("a whole number from 1 to %d", most),
		read: func(o *Options, text string) bool {
			n, ok := pixelNumber(text, most)
			*field(o) = n
			return ok && n > 0
		},
		valid: func(o *Options) bool { n := *field(o); return n >= 0 && n <= most },
		text: func(o *Options) string {
			if n := *field(o); n != 0 {
				return strconv.Itoa(n)
			}
			return ""
		},
		json: func(o *Options) any { return unlessZero(*field(o)) },
	}
}

// maxQuality is the best quality.
const maxQuality = 100

// qualityNumber is a number that is rounded and taken as the nearest one from 1 to maxQuality, or one of the names in
// qualities; 0 for an absent option.
func qualityNumber(field func(*Options) *int) kind {
	k := number(maxQuality, field)
	k.must = fmt.Sprintf("a number from 1 to %d, or one of high, medium-high, medium-low or low", maxQuality)
	k.read = func(o *Options, text string) bool {
		if n, named := qualities[text]; named {
			*field(o) = n
			return true
		}
		digits, negative := strings.CutPrefix(text, "-")
		n, ok := plainNumber(digits)
		if negative {
			n = 0
		}
		*field(o) = int(min(max(math.Round(n), 1), maxQuality))
		return ok
	}
	return k
}

// word is one of some values; normal is the default. Validate checks it, not Set.
func word[T ~string](values []T, normal T, field func(*Options) *T) kind {
	return kind{
		must: "one of " + list(values, "or"),
		read: func(o *Options, text string) bool {
			*field(o) = T(text)
			return text != ""
		},
		valid: func(o *Options) bool {
			return *field(o) == normal || slices.Contains(values, *field(o))
		},
		text: func(o *Options) string {
			if v := *field(o); v != normal {
				return string(v)
			}
			return ""
		},
		json: func(o *Options) any { return unlessZero(*field(o)) },
	}
}

// colour is a CSS colour, stored as #rrggbb or #rrggbbaa in lower case; "" for an absent option.
func colour(field func(*Options) *string) kind {
	return kind{
		must: "a CSS colour: a name, transparent, #rgb, #rgba, #rrggbb, #rrggbbaa, rgb(), rgba(), hsl() or hsla(); " +
			"# is written as %23 in a URL",
		read: func(o *Options, text string) (ok bool) {
			*field(o), ok = readColour(text)
			return ok
		},
		valid: func(o *Options) bool { s := *field(o); return s == "" || isColour(s) },
		text: func(o *Options) string {
			return strings.ToLower(strings.Replace(*field(o), "#", "%23", 1))
		},
		json: func(o *Options) any { return unlessZero(*field(o)) },
	}
}

// readColour returns a CSS colour in the text of a URL's value as an Options has it.
func readColour(text string) (colour string, ok bool) {
	return csscolour.Parse(strings.Replace(text, "%23", "#", 1))
}

// readOpaque is readColour for a colour without transparency.
func readOpaque(text string) (colour string, ok bool) {
	colour, ok = readColour(text)
	return colour, ok && isOpaque(colour)
}

// isOpaque reports whether s is "#" and six hexadecimal digits.
func isOpaque(s string) bool { return len(s) == len("#rrggbb") && isColour(s) }

// isColour reports whether s is "#" and six or eight hexadecimal digits.
func isColour(s string) bool {
	return (len(s) == 7 || len(s) == 9) && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

// thousandths is the precision of decimal numbers: a number with more decimals is rounded.
const thousandths = 1000

// amount is a decimal number from 0, which is the default, to most. The field holds thousandths.
func amount(most int, field func(*Options) *Thousandths) kind {
	return kind{
		must: fmt.Sprintf("a number from 0 to %d", most),
		read: func(o *Options, text string) bool {
			n, ok := parseThousandths(text, most)
			*field(o) = n
			return ok
		},
		valid: func(o *Options) bool { n := *field(o); return n >= 0 && int(n) <= most*thousandths },
		text: func(o *Options) string {
			if n := *field(o); n != 0 {
				return n.String()
			}
			return ""
		},
		json: func(o *Options) any {
			if n := *field(o); n != 0 {
				return n.Float()
			}
			return nil
		},
	}
}

// maxFactor bounds a factor. A larger brightness or contrast would change no further value of 8 bits.
const maxFactor = 255

// factor is a decimal number from 0 to maxFactor by which the picture's property is multiplied. 1 is the default. zero
// reports whether 0 is a factor; otherwise 0 means the default, as Cloudflare documents it.
func factor(zero bool, field func(*Options) *Factor) kind {
	return kind{
		must: fmt.Sprintf("a number from 0 to %d", maxFactor),
		read: func(o *Options, text string) bool {
			n, ok := parseThousandths(text, maxFactor)
			if n == 0 && !zero {
				n = thousandths
			}
			*field(o) = Factor(n - thousandths)
			return ok
		},
		valid: func(o *Options) bool {
			n := int(*field(o)) + thousandths
			return n >= 0 && n <= maxFactor*thousandths && (zero || n > 0)
		},
		text: func(o *Options) string {
			if f := *field(o); f != 0 {
				return Thousandths(f + thousandths).String()
			}
			return ""
		},
		json: func(o *Options) any {
			if f := *field(o); f != 0 {
				return f.Float()
			}
			return nil
		},
	}
}

// Thousandths is a decimal number in thousandths, so that spellings of a number are one rendition.
type Thousandths int

// Float returns the number.
func (n Thousandths) Float() float64 { return float64(n) / thousandths }

// String returns the shortest decimal text of the number, with three decimals at most.
func (n Thousandths) String() string { return strconv.FormatFloat(n.Float(), 'f', -1, 64) }

// A Factor is a factor in thousandths above 1, so that its zero is the factor 1, which changes nothing.
type Factor int

// Float returns the factor.
func (f Factor) Float() float64 { return Thousandths(f + thousandths).Float() }

// parseThousandths parses a decimal number from 0 to most without sign and exponent, such as "1.5", "2." or ".5". A
// number above 0 is at least a thousandth.
func parseThousandths(text string, most int) (n Thousandths, ok bool) {
	v, ok := plainNumber(text)
	if !ok || v > float64(most) {
		return 0, false
	}
	n = Thousandths(math.Round(v * thousandths))
	if n == 0 && v > 0 {
		n = 1
	}
	return n, true
}

// flag is true or false; normal is the default. The field is true for the other value.
func flag(normal bool, field func(*Options) *bool) kind {
	return kind{
		must: "true or false",
		read: func(o *Options, text string) bool {
			*field(o) = text == strconv.FormatBool(!normal)
			return text == "true" || text == "false"
		},
		valid: func(*Options) bool { return true },
		text: func(o *Options) string {
			if *field(o) {
				return strconv.FormatBool(!normal)
			}
			return ""
		},
		json: func(o *Options) any {
			if *field(o) {
				return !normal
			}
			return nil
		},
	}
}

// list returns two or more values in text for people: "a, b or c".
func list[T ~string](values []T, last string) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = string(v)
	}
	end := len(words) - 1
	return strings.Join(words[:end], ", ") + " " + last + " " + words[end]
}

// unlessZero returns v, nil for its zero.
func unlessZero[T comparable](v T) any {
	var zero T
	if v == zero {
		return nil
	}
	return v
}

// TextOfJSON returns a JSON value in the form of a URL's value: 100, 1e2 and "100" are "100". null and an absent
// value are "". An object or a list is an error, whose text begins with "must be".
func TextOfJSON(value json.RawMessage) (string, error) {
	switch {
	case len(value) == 0 || string(value) == "null":
		return "", nil
	case value[0] == '{' || value[0] == '[':
		return "", errors.New("must be a single value")
	case value[0] == '"':
		var s string
		if err := json.Unmarshal(value, &s); err != nil {
			return "", errors.New("must be valid JSON")
		}
		return strings.TrimSpace(s), nil
	}
	return text.WholeNumber(string(value)), nil
}
