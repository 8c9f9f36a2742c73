package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// maxOptionsText bounds the text of ParseOptions, in bytes. A canonical string is shorter.
const maxOptionsText = 512

// documented are the options that Cloudflare documents. The error for one without a row in table names it.
var documented = []string{"anim", "background", "blur", "border", "brightness", "compression",
	"contrast", "dpr", "draw", "face-zoom", "fit", "flip", "format", "gamma", "gravity", "height",
	"metadata", "onerror", "origin-auth", "quality", "rotate", "saturation", "segment", "sharpen",
	"slow-connection-quality", "trim", "upscale", "width", "zoom"}

// ErrNoOption: there is no option with this name.
var ErrNoOption = errors.New("there is no option")

// An UnavailableOptionError refuses an option that Cloudflare documents and that is not available here.
type UnavailableOptionError struct{ Option string }

func (e *UnavailableOptionError) Error() string {
	return e.Option + " is not supported here: leave it out"
}

// A Parser collects options one by one, in any order.
type Parser struct {
	// Lenient makes Set leave out the options that are not available here, instead of refusing them. LeftOut returns
	// their names.
	Lenient bool

	options Options
	given   []string // the names of the options so far
	zooms   bool     // a zoom to faces is asked for
	leftOut []string
}

// NewParser returns a Parser of default Options.
func NewParser() *Parser { return &Parser{options: DefaultOptions()} }

// Set sets an option, or a part of one such as trim.left, from the text of its value in a URL. The text of an error
// names the valid values for the client and quotes the name at most. Errors: ErrNoOption,
// *UnavailableOptionError, a repeated option, an invalid value.
func (p *Parser) Set(name, value string) error {
	if p.isGiven(name) {
		return fmt.Errorf("%.40s is given twice", name)
	}
	err := p.set(name, value)
	if err != nil {
		return err
	}
	p.given = append(p.given, name)
	return nil
}

// isGiven reports whether an option is given already: itself, or the whole of which it is a part.
func (p *Parser) isGiven(name string) bool {
	whole, _, part := strings.Cut(name, ".")
	for _, other := range p.given {
		if other == name || part && other == whole || !part && strings.HasPrefix(other, name+".") {
			return true
		}
	}
	return false
}

func (p *Parser) set(name, value string) error {
	if name == "zoom" || name == "face-zoom" {
		n, ok := plainNumber(value)
		if !ok || n > 1 {
			return fmt.Errorf("%s must be a number from 0 to 1", name)
		}
		p.zooms = p.zooms || n > 0
		return nil
	}
	return p.leave(p.options.set(name, value))
}

// leave notes an option that is not available and returns nil if the Parser is lenient. It returns all other errors.
func (p *Parser) leave(err error) error {
	var unavailable *UnavailableOptionError
	if !p.Lenient || !errors.As(err, &unavailable) {
		return err
	}
	if !slices.Contains(p.leftOut, unavailable.Option) {
		p.leftOut = append(p.leftOut, unavailable.Option)
	}
	return nil
}

// SetJSON is Set for a JSON value: a number or a boolean may also be a string; null and "" mean the default; an
// object has the parts of an option. The text of an error begins with the name of the option.
func (p *Parser) SetJSON(name string, value json.RawMessage) error {
	if text := string(value); text == "" || text == "null" || text == `""` {
		return nil
	}
	if len(value) > 0 && value[0] == '{' && hasParts(name) {
		var parts map[string]json.RawMessage
		if err := json.Unmarshal(value, &parts); err != nil {
			return fmt.Errorf("%.80s must be valid JSON", name)
		}
		for _, part := range slices.Sorted(maps.Keys(parts)) {
			if err := p.SetJSON(name+"."+part, parts[part]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := p.leave(unavailable(name)); err != nil || unavailable(name) != nil {
		return wrapName(name, err)
	}
	text, err := TextOfJSON(value)
	if err != nil {
		return fmt.Errorf("%.80s %w", name, err)
	}
	if text == "" {
		return nil
	}
	return wrapName(name, p.Set(name, text))
}

// wrapName puts the name of an option before the text of an error; nil for nil.
func wrapName(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%.80s: %w", name, err)
}

// hasParts reports whether an option or a part of one may be an object: trim, and trim.border in it.
func hasParts(name string) bool {
	if name == trimBorder {
		return true
	}
	row := find(name)
	return row != nil && row.part != nil
}

// LeftOut returns the names of the options that a lenient Parser has left out, in the order in which they came.
func (p *Parser) LeftOut() []string { return p.leftOut }

// Options returns the collected Options in their normal form. The caller must call Validate, which checks fit, metadata
// and the parts of options. Error: *UnavailableOptionError for a zoom to faces, which is known only after all options.
func (p *Parser) Options() (Options, error) {
	o := p.options.normal()
	if p.zooms && o.Gravity == GravityFace {
		if err := p.leave(&UnavailableOptionError{"zoom"}); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

// normal returns the Options without values that have no effect.
func (o Options) normal() Options {
	o.Trim, o.Border = o.Trim.normal(), o.Border.normal()
	return o
}

// ParseOptions parses options in the form of the canonical string, in any order; defaults may be present. The result
// is valid. An unknown, repeated or invalid option is an error whose text names the valid values for the client.
func ParseOptions(s string) (Options, error) {
	if len(s) > maxOptionsText {
		return Options{}, fmt.Errorf("the options are longer than %d bytes", maxOptionsText)
	}
	if s == "" {
		return DefaultOptions(), nil
	}
	p := NewParser()
	for pair := range SplitOptions(s) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return Options{}, errors.New("an option must have the form name=value")
		}
		if err := p.Set(key, value); err != nil {
			return Options{}, err
		}
	}
	o, err := p.Options()
	if err == nil {
		err = o.Validate()
	}
	if err != nil {
		return Options{}, err
	}
	return o, nil
}

// SplitOptions yields the items of a list of options: what is between commas. A comma between brackets, as in
// background=rgb(1,2,3), does not separate items.
func SplitOptions(s string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, depth := 0, 0
		for i := range len(s) {
			switch {
			case s[i] == '(':
				depth++
			case s[i] == ')' && depth > 0:
				depth--
			case s[i] == ',' && depth == 0:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}

// OptionsOfJSON reads the values of a JSON object, such as {"width": 300, "fit": "cover"}, by SetJSON. The caller must
// call Validate.
func OptionsOfJSON(given map[string]json.RawMessage) (Options, error) {
	p := NewParser()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if err := p.SetJSON(name, given[name]); err != nil {
			return Options{}, err
		}
	}
	return p.Options()
}

// set sets the option or the part of an option with a name from the text of its value in a URL.
func (o *Options) set(name, value string) error {
	if row := find(name); row != nil {
		if !row.read(o, value) {
			return row.refusal()
		}
		return nil
	}
	base, part, dotted := strings.Cut(name, ".")
	if row := find(base); dotted && row != nil && row.part != nil {
		if !row.part(o, part, value) {
			return row.refusal()
		}
		return nil
	}
	if f := withoutField[name]; f != nil {
		return f(value)
	}
	if err := unavailable(name); err != nil {
		return err
	}
	return fmt.Errorf("%w %.40q; the options are %s", ErrNoOption, name, optionNames)
}

// unavailable returns an *UnavailableOptionError for an option, or a part of one, that is documented and neither in
// table nor in withoutField; else nil.
func unavailable(name string) error {
	base, _, _ := strings.Cut(name, ".")
	_, known := withoutField[base]
	if known || find(base) != nil || base == "zoom" || base == "face-zoom" || !slices.Contains(documented, base) {
		return nil
	}
	return &UnavailableOptionError{base}
}

// withoutField are the options without a field: each has one value that changes nothing here, or one value that is
// not available, or both. onerror has an effect on remote sources only, which the caller applies.
var withoutField = map[string]func(value string) error{
	"onerror": oneOf("onerror", "redirect", ""),
	"segment": oneOf("segment", "", "foreground"),
	"upscale": oneOf("upscale", "interpolate", "generate"),
}

// oneOf accepts a value, and refuses another one as not available; "" for neither.
func oneOf(name, accepted, missing string) func(string) error {
	return func(value string) error {
		switch {
		case value == accepted && value != "":
			return nil
		case value == missing && value != "":
			return &UnavailableOptionError{name}
		case accepted == "" || missing == "":
			return fmt.Errorf("%s must be %s", name, accepted+missing)
		}
		return fmt.Errorf("%s must be %s or %s", name, accepted, missing)
	}
}
