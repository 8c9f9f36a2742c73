package render

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
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

// Options say what to do to the pixels. The canonical string is their identity: two Options with
// equal strings make the same picture.
type Options struct {
	Width, Height int // pixels; 0 is "not given"
	Fit           Fit
	Metadata      Metadata
	Background    string // CSS colour under transparency and around a pad: "" or "#rrggbb"
	Quality       int    // 1 to 100; 0 is the default of the format
	Still         bool   // only the first frame of an animation
}

// Validate returns nil or an error whose text says to a client what would be right. It wants
// every field set but those whose zero is documented above.
func (o Options) Validate() error {
	for _, side := range []struct {
		name  string
		value int
	}{{"width", o.Width}, {"height", o.Height}} {
		if side.value < 0 || side.value > MaxOptionSide {
			return fmt.Errorf("%s must be a whole number from 1 to %d", side.name, MaxOptionSide)
		}
	}
	if !slices.Contains(fits, o.Fit) {
		return fmt.Errorf("fit must be one of %s", list(fits))
	}
	if !slices.Contains(metadataRules, o.Metadata) {
		return fmt.Errorf("metadata must be one of %s", list(metadataRules))
	}
	if o.Quality < 0 || o.Quality > 100 {
		return errors.New("quality must be a whole number from 1 to 100")
	}
	if o.Background != "" && !isColour(o.Background) {
		return errors.New("background must be a colour of the form #rrggbb")
	}
	return nil
}

// list writes the values of an option for people: "a, b or c".
func list[T ~string](values []T) string {
	var b strings.Builder
	for i, v := range values {
		switch {
		case i == 0:
		case i == len(values)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		b.WriteString(string(v))
	}
	return b.String()
}

// isColour reports whether s is "#" and six hexadecimal digits.
func isColour(s string) bool {
	return len(s) == 7 && s[0] == '#' && strings.Trim(s[1:], "0123456789abcdefABCDEF") == ""
}

// String returns the canonical string: the URL form of the options, sorted, defaults left out,
// such as "fit=cover,height=200,width=300". All defaults make "". An empty Fit or Metadata is its
// default, as in Plan.
func (o Options) String() string {
	var pairs []string
	add := func(given bool, key, value string) {
		if given {
			pairs = append(pairs, key+"="+value)
		}
	}
	add(o.Still, "anim", "false")
	add(o.Background != "", "background",
		strings.ToLower(strings.Replace(o.Background, "#", "%23", 1)))
	add(o.Fit != "" && o.Fit != DefaultFit, "fit", string(o.Fit))
	add(o.Height != 0, "height", strconv.Itoa(o.Height))
	add(o.Metadata != "" && o.Metadata != DefaultMetadata, "metadata", string(o.Metadata))
	add(o.Quality != 0, "quality", strconv.Itoa(o.Quality))
	add(o.Width != 0, "width", strconv.Itoa(o.Width))
	return strings.Join(pairs, ",")
}

// maxOptionsText bounds what ParseOptions reads; a canonical string is shorter by far.
const maxOptionsText = 256

// ParseOptions reads the canonical string of Options. Any order will do, and defaults may be
// spelt out; an unknown, repeated or invalid option is an error whose text says to a client what
// would be right. The Options that it returns are valid.
func ParseOptions(s string) (Options, error) {
	o := Options{Fit: DefaultFit, Metadata: DefaultMetadata}
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

// qualities are the names that stand for a quality, with the numbers that Cloudflare's own local
// simulator gives them.
var qualities = map[string]int{"high": 90, "medium-high": 70, "medium-low": 50, "low": 35}

// undone are the options that Cloudflare documents and the pipeline has no step for yet.
var undone = []string{"blur", "border", "brightness", "compression", "contrast", "dpr", "draw",
	"face-zoom", "flip", "format", "gamma", "gravity", "onerror", "origin-auth", "rotate",
	"saturation", "segment", "sharpen", "slow-connection-quality", "trim", "upscale", "zoom"}

// ErrNoOption says that there is no option of a name.
var ErrNoOption = errors.New("there is no option")

// Set sets the option that a key of the URL form names. The error's text says to a client what
// would be right. What depends on several options is left to Validate.
func (o *Options) Set(key, value string) (err error) {
	switch key {
	case "anim":
		if value != "true" && value != "false" {
			return errors.New("anim must be true or false")
		}
		o.Still = value == "false"
	case "background":
		o.Background, err = parseColour(strings.Replace(value, "%23", "#", 1))
	case "fit":
		o.Fit = Fit(value)
	case "metadata":
		o.Metadata = Metadata(value)
	case "height":
		o.Height, err = parsePositive(key, value, MaxOptionSide)
	case "width":
		o.Width, err = parsePositive(key, value, MaxOptionSide)
	case "quality":
		var named bool
		if o.Quality, named = qualities[value]; !named {
			o.Quality, err = parsePositive(key, value, 100)
		}
	default:
		if name, _, _ := strings.Cut(key, "."); slices.Contains(undone, name) { // as in trim.left
			return fmt.Errorf("%s is not supported here: leave it out", name)
		}
		return fmt.Errorf("%w %.40q; the options are anim, background, fit, height, metadata, "+
			"quality and width", ErrNoOption, key)
	}
	return err
}

// parseColour reads #rrggbb or #rgb and returns the former, in lower case.
func parseColour(s string) (string, error) {
	if len(s) == 4 && s[0] == '#' {
		s = "#" + s[1:2] + s[1:2] + s[2:3] + s[2:3] + s[3:] + s[3:]
	}
	if !isColour(s) {
		return "", errors.New("background must be a colour of the form #rrggbb or #rgb," +
			" # written as %23 in a URL")
	}
	return strings.ToLower(s), nil
}

// parsePositive reads a number from 1 to most, in digits alone and without leading zeros.
func parsePositive(key, value string, most int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != value {
		return 0, fmt.Errorf("%s must be a whole number from 1 to %d", key, most)
	}
	return n, nil
}
