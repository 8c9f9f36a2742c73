package render

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Fit is the way in which a picture is fitted into a box of width x height.
type Fit string

// The fits, as Cloudflare names them.
const (
	ScaleDown  Fit = "scale-down"  // inside the box, never enlarged
	ScaleUp    Fit = "scale-up"    // inside the box, never made smaller
	Contain    Fit = "contain"     // inside the box, enlarged if need be
	Cover      Fit = "cover"       // fills the box, the overflow cut off
	Crop       Fit = "crop"        // as Cover, but never enlarged
	AspectCrop Fit = "aspect-crop" // always cut to the proportions of the box, never enlarged
	Pad        Fit = "pad"         // as Contain, and the background fills the rest of the box
	Squeeze    Fit = "squeeze"     // exactly the box, in its proportions
)

var fits = []Fit{ScaleDown, ScaleUp, Contain, Cover, Crop, AspectCrop, Pad, Squeeze}

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

// Options are the parameters of a rendition. Two Options with equal canonical strings produce the same bytes in the
// same format. Each field has a row in table.
type Options struct {
	Width, Height int // pixels; 0 if absent. Width may be AutoWidth
	Fit           Fit
	Metadata      Metadata
	Background    string // colour under transparency and around a pad: "", "#rrggbb" or "#rrggbbaa"
	Quality       int    // 1 to 100; 0 is the default of the format. May be AutoQuality
	Still         bool   // only the first frame of an animation
	Gravity       Gravity
	Flip          Flip
	Rotate        int // degrees clockwise, after Flip: 0, 90, 180 or 270
	Trim          Trim
	Border        Border
	DPR           float64 // factor for Width, Height, Trim and Border, up to maxDPR; 0 for 1
	Format        OutputFormat
	Fast          bool // the encoder that takes the least time
	SlowQuality   int  // Quality for clients with a slow connection; 0 if absent

	// The effects. docs/decisions/0027-effects.md has their formulas.
	Blur       Thousandths // standard deviation in pixels of the rendition, to MaxBlur; 0 for none
	Brightness Factor
	Contrast   Factor
	Gamma      Factor
	Saturation Factor
	Sharpen    Thousandths // to MaxSharpen; 0 for none
}

// The bounds of the effects, as Cloudflare documents them.
const (
	MaxBlur    = 250
	MaxSharpen = 10
)

// usualOptionsText is the size of most canonical strings or more, in bytes.
const usualOptionsText = 64

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
	{"width", "w", orAuto(number(MaxOptionSide, widthField), AutoWidth, widthField)},
	{"height", "h", number(MaxOptionSide, func(o *Options) *int { return &o.Height })},
	{"metadata", "", word(metadataRules, DefaultMetadata,
		func(o *Options) *Metadata { return &o.Metadata })},
	{"background", "", colour(func(o *Options) *string { return &o.Background })},
	{"quality", "q", orAuto(qualityNumber(qualityField), AutoQuality, qualityField)},
	{"anim", "", flag(true, func(o *Options) *bool { return &o.Still })},
	{"format", "f", outputFormat()},
	{"compression", "", single("fast", func(o *Options) *bool { return &o.Fast })},
	{"slow-connection-quality", "scq", qualityNumber(func(o *Options) *int { return &o.SlowQuality })},
	{"gravity", "g", gravityKind},
	{"flip", "", flipKind},
	{"rotate", "", rotateKind},
	{"trim", "", trimKind},
	{"border", "", borderKind},
	{"dpr", "", dprKind},
	{"blur", "", amount(MaxBlur, func(o *Options) *Thousandths { return &o.Blur })},
	{"brightness", "", factor(false, func(o *Options) *Factor { return &o.Brightness })},
	{"contrast", "", factor(false, func(o *Options) *Factor { return &o.Contrast })},
	{"gamma", "", factor(false, func(o *Options) *Factor { return &o.Gamma })},
	{"saturation", "", factor(true, func(o *Options) *Factor { return &o.Saturation })},
	{"sharpen", "", amount(MaxSharpen, func(o *Options) *Thousandths { return &o.Sharpen })},
}

func widthField(o *Options) *int { return &o.Width }

func qualityField(o *Options) *int { return &o.Quality }

// canonical is the table in the order of the canonical string.
var canonical = slices.SortedFunc(slices.Values(table), func(a, b Option) int {
	return strings.Compare(a.Name, b.Name)
})

// optionNames are the names of all options, sorted, for error messages: "anim, fit and width".
var optionNames = func() string {
	var names []string
	for _, row := range table {
		names = append(names, row.Name)
	}
	slices.Sort(names)
	return list(names, "and")
}()

// AllOptions returns a copy of table.
func AllOptions() []Option { return slices.Clone(table) }

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

// PadsWithAlpha reports whether a pad makes an opaque picture transparent, if the format supports that.
func (o *Options) PadsWithAlpha() bool {
	return o.Fit == Pad && o.Width != 0 && o.Height != 0 && len(o.Background) == len("#rrggbbaa")
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
