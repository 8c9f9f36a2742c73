package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"calotype/internal/text"
)

// A kind holds the functions that all options with the same kind of value share.
type kind struct {
	must  string                             // what a value must be, for a client, after "must be"
	read  func(o *Options, text string) bool // sets the field from a URL's text; false if it is wrong
	valid func(o *Options) bool              // whether the field holds what is allowed
	text  func(o *Options) string            // in the canonical string; "" for the default
	json  func(o *Options) any               // in JSON; nil for what is not given
}

// number is a whole number from 1 to most; 0 for an absent option. names are texts for some numbers.
func number(most int, names map[string]int, field func(*Options) *int) kind {
	return kind{
		must: fmt.Sprintf("a whole number from 1 to %d", most),
		read: func(o *Options, text string) bool {
			n, named := names[text]
			if !named {
				n, _ = strconv.Atoi(text)
				// Digits alone, without leading zeros.
				named = n > 0 && n <= most && text[0] >= '1' && text[0] <= '9'
			}
			*field(o) = n
			return named
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

// colour is a CSS colour, stored as #rrggbb in lower case; "" for an absent option.
func colour(field func(*Options) *string) kind {
	return kind{
		must: "a colour of the form #rrggbb or #rgb, # written as %23 in a URL",
		read: func(o *Options, text string) bool {
			s := strings.Replace(text, "%23", "#", 1)
			if len(s) == 4 && s[0] == '#' {
				s = "#" + s[1:2] + s[1:2] + s[2:3] + s[2:3] + s[3:] + s[3:]
			}
			*field(o) = strings.ToLower(s)
			return isColour(s)
		},
		valid: func(o *Options) bool { s := *field(o); return s == "" || isColour(s) },
		text: func(o *Options) string {
			return strings.ToLower(strings.Replace(*field(o), "#", "%23", 1))
		},
		json: func(o *Options) any { return unlessZero(*field(o)) },
	}
}

// isColour reports whether s is "#" and six hexadecimal digits.
func isColour(s string) bool {
	return len(s) == 7 && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
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
