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

// A Fit says how a picture is brought into a box of width x height.
type Fit string

// The fits, as Cloudflare names them.
const (
	ScaleDown Fit = "scale-down" // inside the box, never enlarged
	Contain   Fit = "contain"    // inside the box, enlarged if need be
	Cover     Fit = "cover"      // fills the box, the overflow cut from both sides
	Crop      Fit = "crop"       // as Cover, but never enlarged
	Pad       Fit = "pad"        // as Contain, the rest filled with the background
)

var fits = []Fit{ScaleDown, Contain, Cover, Crop, Pad}

// Metadata says what a rendition keeps of the original's metadata.
type Metadata string

// The metadata rules, as Cloudflare names them.
const (
	MetadataNone      Metadata = "none"
	MetadataCopyright Metadata = "copyright" // EXIF copyright and artist, JPEG only
	MetadataKeep      Metadata = "keep"      // EXIF, JPEG only
)

var metadataRules = []Metadata{MetadataNone, MetadataCopyright, MetadataKeep}

// The defaults are those that Cloudflare documents for its URL options. A metadata rule touches
// JPEG output only: in other formats nothing is ever kept.
const (
	DefaultFit      = ScaleDown
	DefaultMetadata = MetadataCopyright
)

// MaxOptionSide bounds the width and height that can be asked for, in pixels.
const MaxOptionSide = 12_000

// qualities are the names that stand for a quality, with the numbers that Cloudflare's own local
// simulator gives them.
var qualities = map[string]int{"high": 90, "medium-high": 70, "medium-low": 50, "low": 35}

// Options say what to do to the pixels. The canonical string is their identity: two Options with
// equal strings make the same picture. Each field has a row in table.
type Options struct {
	Width, Height int // pixels; 0 is "not given"
	Fit           Fit
	Metadata      Metadata
	Background    string // CSS colour under transparency and around a pad: "" or "#rrggbb"
	Quality       int    // 1 to 100; 0 is the default of the format
	Still         bool   // only the first frame of an animation
}

// DefaultOptions returns the Options of which none is given. Of the fields that are not named here
// the default is zero.
func DefaultOptions() Options { return Options{Fit: DefaultFit, Metadata: DefaultMetadata} }

// An Option is a row of the table of options. All that reads, checks or writes options goes through
// the table.
type Option struct {
	Name  string // in URLs, in JSON and in the canonical string
	Alias string // the short name in URLs; "" for none
	kind
}

// table has one row for each option, in the order of the JSON of a variant.
var table = []Option{
	{"fit", "", word(fits, DefaultFit, func(o *Options) *Fit { return &o.Fit })},
	{"width", "w", number(MaxOptionSide, nil, func(o *Options) *int { return &o.Width })},
	{"height", "h", number(MaxOptionSide, nil, func(o *Options) *int { return &o.Height })},
	{"metadata", "", word(metadataRules, DefaultMetadata,
		func(o *Options) *Metadata { return &o.Metadata })},
	{"background", "", colour(func(o *Options) *string { return &o.Background })},
	{"quality", "q", number(100, qualities, func(o *Options) *int { return &o.Quality })},
	{"anim", "", flag(true, func(o *Options) *bool { return &o.Still })},
}

// documented are the options that Cloudflare documents. One without a row is refused by its name.
var documented = []string{"anim", "background", "blur", "border", "brightness", "compression",
	"contrast", "dpr", "draw", "face-zoom", "fit", "flip", "format", "gamma", "gravity", "height",
	"metadata", "onerror", "origin-auth", "quality", "rotate", "saturation", "segment", "sharpen",
	"slow-connection-quality", "trim", "upscale", "width", "zoom"}

// canonical is the table in the order of the canonical string.
var canonical = slices.SortedFunc(slices.Values(table), func(a, b Option) int {
	return strings.Compare(a.Name, b.Name)
})

// optionNames names all options for a client.
var optionNames = OptionNames()

// AllOptions returns the table of options.
func AllOptions() []Option { return slices.Clone(table) }

// OptionNames writes the names of all options and some more for a client, sorted: "anim, fit and width".
func OptionNames(more ...string) string {
	for _, row := range table {
		more = append(more, row.Name)
	}
	slices.Sort(more)
	return list(more, "and")
}

// Validate returns nil or an error whose text says to a client what would be right. It wants
// every field set but those whose zero is documented above.
func (o *Options) Validate() error {
	for i := range table {
		if row := &table[i]; !row.valid(o) {
			return row.refusal()
		}
	}
	return nil
}

// String returns the canonical string: the URL form of the options, sorted, defaults left out,
// such as "fit=cover,height=200,width=300". All defaults make "". An empty Fit or Metadata is its
// default, as in Plan.
func (o Options) String() string {
	var b strings.Builder
	for i := range canonical {
		row := &canonical[i]
		text := row.text(&o)
		if text == "" {
			continue
		}
		if b.Len() == 0 {
			b.Grow(usualOptionsText)
		} else {
			b.WriteByte(',')
		}
		b.WriteString(row.Name)
		b.WriteByte('=')
		b.WriteString(text)
	}
	return b.String()
}

// Fields yields the name and the JSON value of each option that is given, and of fit and metadata
// always.
func (o Options) Fields() iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		for i := range table {
			if value := table[i].json(&o); value != nil && !yield(table[i].Name, value) {
				return
			}
		}
	}
}

const (
	// maxOptionsText bounds what ParseOptions reads, in bytes. A canonical string is shorter by far.
	maxOptionsText   = 256
	usualOptionsText = 64 // most canonical strings are shorter, in bytes
)

// ParseOptions reads the canonical string of Options. Any order will do, and defaults may be
// spelt out; an unknown, repeated or invalid option is an error whose text says to a client what
// would be right. The Options that it returns are valid.
func ParseOptions(s string) (Options, error) {
	o := DefaultOptions()
	if len(s) > maxOptionsText {
		return Options{}, fmt.Errorf("the options are longer than %d bytes", maxOptionsText)
	}
	if s == "" {
		return o, nil
	}
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return Options{}, errors.New("an option must have the form name=value")
		}
		if seen[key] {
			return Options{}, fmt.Errorf("%s is given twice", key)
		}
		if err := o.Set(key, value); err != nil {
			return Options{}, err
		}
		seen[key] = true
	}
	if err := o.Validate(); err != nil {
		return Options{}, err
	}
	return o, nil
}

// OptionsOfJSON reads the values of a JSON object, such as {"width": 300, "fit": "cover"}. A number or
// a boolean may also be a string; null and "" leave an option at its default. An error begins with the
// name of the option and says to a client what would be right. What depends on several options is left
// to Validate.
func OptionsOfJSON(given map[string]json.RawMessage) (Options, error) {
	o := DefaultOptions()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		text, err := TextOfJSON(given[name])
		if err != nil {
			return Options{}, fmt.Errorf("%.80s %w", name, err)
		}
		if text == "" {
			continue
		}
		if err := o.Set(name, text); err != nil {
			return Options{}, fmt.Errorf("%.80s: %w", name, err)
		}
	}
	return o, nil
}

// ErrNoOption says that there is no option of a name.
var ErrNoOption = errors.New("there is no option")

// Set sets the option of a name from the text that a URL has for its value. The error's text says to a
// client what would be right. Words, and what depends on several options, are left to Validate.
func (o *Options) Set(name, value string) error {
	if row := find(name); row != nil {
		if !row.read(o, value) {
			return row.refusal()
		}
		return nil
	}
	base, _, _ := strings.Cut(name, ".") // as in trim.left
	if slices.Contains(documented, base) && find(base) == nil {
		return fmt.Errorf("%s is not supported here: leave it out", base)
	}
	return fmt.Errorf("%w %.40q; the options are %s", ErrNoOption, name, optionNames)
}

// find returns the row of a name, nil if it does not exist.
func find(name string) *Option {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

func (o *Option) refusal() error { return fmt.Errorf("%s must be %s", o.Name, o.must) }
