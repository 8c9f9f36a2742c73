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

// A Fit is the way in which a picture is fitted into a box of width x height.
type Fit string

// The fits, as Cloudflare names them.
const (
	ScaleDown Fit = "scale-down" // inside the box, never enlarged
	Contain   Fit = "contain"    // inside the box, enlarged if need be
	Cover     Fit = "cover"      // fills the box, the overflow cut from both sides
	Crop      Fit = "crop"       // as Cover, but never enlarged
	Pad       Fit = "pad"        // as Contain, and the background fills the rest of the box
)

var fits = []Fit{ScaleDown, Contain, Cover, Crop, Pad}

// A Metadata is a rule for the metadata that a rendition copies from its original.
type Metadata string

// The metadata rules, as Cloudflare names them.
const (
	MetadataNone      Metadata = "none"
	MetadataCopyright Metadata = "copyright" // EXIF copyright and artist, JPEG only
	MetadataKeep      Metadata = "keep"      // EXIF, JPEG only
)

var metadataRules = []Metadata{MetadataNone, MetadataCopyright, MetadataKeep}

// The defaults are those that Cloudflare documents for its URL options. A metadata rule has an effect on JPEG output
// only: other formats have no metadata.
const (
	DefaultFit      = ScaleDown
	DefaultMetadata = MetadataCopyright
)

// MaxOptionSide bounds the options width and height, in pixels.
const MaxOptionSide = 12_000

// qualities are the names of qualities, with the numbers of Cloudflare's local simulator.
var qualities = map[string]int{"high": 90, "medium-high": 70, "medium-low": 50, "low": 35}

// Options are the parameters of a rendition: size, fit, metadata, background, quality, animation and format. Two
// Options with equal canonical strings produce the same bytes in the same format. Each field has a row in table.
type Options struct {
	Width, Height int // pixels; 0 if absent. Width may be AutoWidth
	Fit           Fit
	Metadata      Metadata
	Background    string // CSS colour under transparency and around a pad: "" or "#rrggbb"
	Quality       int    // 1 to 100; 0 is the default of the format
	Still         bool   // only the first frame of an animation
	Format        OutputFormat
	Fast          bool // the encoder that takes the least time
	SlowQuality   int  // Quality for clients with a slow connection; 0 if absent
}

// DefaultOptions returns the Options without any option: the default Fit and Metadata, and zero in all other fields.
func DefaultOptions() Options { return Options{Fit: DefaultFit, Metadata: DefaultMetadata} }

// An Option is a row of table. All code that parses, checks or writes Options uses table.
type Option struct {
	Name  string // in URLs, in JSON and in the canonical string
	Alias string // the short name in URLs; "" for none
	kind
}

// table has one row for each option, in the order of the JSON of a variant.
var table = []Option{
	{"fit", "", word(fits, DefaultFit, func(o *Options) *Fit { return &o.Fit })},
	{"width", "w", orAuto(number(MaxOptionSide, nil, func(o *Options) *int { return &o.Width }))},
	{"height", "h", number(MaxOptionSide, nil, func(o *Options) *int { return &o.Height })},
	{"metadata", "", word(metadataRules, DefaultMetadata,
		func(o *Options) *Metadata { return &o.Metadata })},
	{"background", "", colour(func(o *Options) *string { return &o.Background })},
	{"quality", "q", number(100, qualities, func(o *Options) *int { return &o.Quality })},
	{"anim", "", flag(true, func(o *Options) *bool { return &o.Still })},
	{"format", "f", outputFormat()},
	{"compression", "", single("fast", func(o *Options) *bool { return &o.Fast })},
	{"slow-connection-quality", "scq", number(100, qualities, func(o *Options) *int { return &o.SlowQuality })},
}

// documented are the options that Cloudflare documents. The error for one without a row in table names it.
var documented = []string{"anim", "background", "blur", "border", "brightness", "compression",
	"contrast", "dpr", "draw", "face-zoom", "fit", "flip", "format", "gamma", "gravity", "height",
	"metadata", "onerror", "origin-auth", "quality", "rotate", "saturation", "segment", "sharpen",
	"slow-connection-quality", "trim", "upscale", "width", "zoom"}

// canonical is the table in the order of the canonical string.
var canonical = slices.SortedFunc(slices.Values(table), func(a, b Option) int {
	return strings.Compare(a.Name, b.Name)
})

// optionNames are the names of all options, for error messages.
var optionNames = OptionNames()

// AllOptions returns a copy of table.
func AllOptions() []Option { return slices.Clone(table) }

// OptionNames returns the names of all options, and of more, in text for people, sorted: "anim, fit and width".
func OptionNames(more ...string) string {
	for _, row := range table {
		more = append(more, row.Name)
	}
	slices.Sort(more)
	return list(more, "and")
}

// Validate returns nil, or an error whose text names the valid values for the client. Fit and Metadata must be set;
// a zero in another field is its default.
func (o *Options) Validate() error {
	for i := range table {
		if row := &table[i]; !row.valid(o) {
			return row.refusal()
		}
	}
	return nil
}

// String returns the canonical string: the options that differ from their defaults, in the form of a URL, sorted by
// name, such as "fit=cover,height=200,width=300". An empty Fit or Metadata is its default, as in Plan.
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

// Fields yields the name and the JSON value of each option that is not zero, in the order of table.
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
	// maxOptionsText bounds the text of ParseOptions, in bytes. A canonical string is much shorter.
	maxOptionsText   = 256
	usualOptionsText = 64 // most canonical strings are shorter, in bytes
)

// ParseOptions parses options in the form of the canonical string, in any order; defaults may be present. The result
// is valid. An unknown, repeated or invalid option is an error whose text names the valid values for the client.
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

// OptionsOfJSON reads the values of a JSON object, such as {"width": 300, "fit": "cover"}. A number or a boolean may
// also be a string; null and "" mean the default. The text of an error begins with the name of the option, and names
// the valid values for the client. The caller must call Validate, which checks fit and metadata.
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

// ErrNoOption: there is no option with this name.
var ErrNoOption = errors.New("there is no option")

// Set sets the option with a name from the text of its value in a URL. The text of an error names the valid values
// for the client. The caller must call Validate, which checks fit and metadata.
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

// find returns the row with a name, nil if there is no such row.
func find(name string) *Option {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

func (o *Option) refusal() error { return fmt.Errorf("%s must be %s", o.Name, o.must) }
