package render

import (
	"slices"

	"calotype/internal/imagefile"
)

// The options of this file depend on the client: a surface resolves them before it requests a rendition. The Options
// of a Job have no AutoWidth, no SlowQuality, and only a Format that changes the bytes: FormatBaseline for a JPEG that
// is not progressive, FormatWebP for a WebP that is lossless at the quality 100.

// An OutputFormat is the value of the option format.
type OutputFormat string

// The output formats, as Cloudflare names them.
const (
	FormatAuto     OutputFormat = "" // the one that suits the client; in URLs also "auto"
	FormatAVIF     OutputFormat = "avif"
	FormatWebP     OutputFormat = "webp"
	FormatJPEG     OutputFormat = "jpeg" // in URLs also "jpg"
	FormatBaseline OutputFormat = "baseline-jpeg"
	FormatPNG      OutputFormat = "png"  // in URLs also "png-force"
	FormatJSON     OutputFormat = "json" // the sizes of the rendition and of its original
)

// outputFormats are the formats in the order of an error message.
var outputFormats = []OutputFormat{
	FormatAVIF, FormatWebP, FormatJPEG, FormatBaseline, FormatPNG, FormatJSON,
}

// otherFormats are further values of the option format.
var otherFormats = map[string]OutputFormat{
	"auto": FormatAuto, "jpg": FormatJPEG, "png-force": FormatPNG,
}

// outputFormat is the kind of the option format.
func outputFormat() kind {
	k := word(outputFormats, FormatAuto, func(o *Options) *OutputFormat { return &o.Format })
	k.must = "auto or " + k.must
	k.read = func(o *Options, text string) bool {
		format, ok := otherFormats[text]
		if !ok {
			format, ok = OutputFormat(text), slices.Contains(outputFormats, OutputFormat(text))
		}
		o.Format = format
		return ok
	}
	return k
}

// AutoWidth is the value of Options.Width for the option width=auto: a width that suits the client. Plan takes it for
// an absent width.
const AutoWidth = -1

const auto = "auto"

// orAuto is the kind of an option that is a number or "auto", for which the field has the value automatic.
func orAuto(number kind, automatic int, field func(*Options) *int) kind {
	k := number
	k.must += ", or auto"
	k.read = func(o *Options, text string) bool {
		if text == auto {
			*field(o) = automatic
			return true
		}
		return number.read(o, text)
	}
	k.valid = func(o *Options) bool { return *field(o) == automatic || number.valid(o) }
	k.text = func(o *Options) string {
		if *field(o) == automatic {
			return auto
		}
		return number.text(o)
	}
	k.json = func(o *Options) any {
		if *field(o) == automatic {
			return auto
		}
		return number.json(o)
	}
	return k
}

// single is an option with a single value; the field is true for it.
func single(value string, field func(*Options) *bool) kind {
	return kind{
		must: value,
		read: func(o *Options, text string) bool {
			*field(o) = text == value
			return text == value
		},
		valid: func(*Options) bool { return true },
		text: func(o *Options) string {
			if *field(o) {
				return value
			}
			return ""
		},
		json: func(o *Options) any {
			if *field(o) {
				return value
			}
			return nil
		},
	}
}

// LosslessQuality is the quality of a lossless WebP.
const LosslessQuality = 100

// maxLosslessPixels bounds a lossless WebP, whose encoder needs five times the memory of another WebP's. A larger one
// is not lossless.
const maxLosslessPixels = 12_500_000

// Lossless reports whether the rendition is a lossless WebP: a still with the quality 100 that names the format.
func (j Job) Lossless() bool {
	o := j.Options
	if j.Format != imagefile.WebP || o.Format != FormatWebP || o.Quality != LosslessQuality || moves(j) {
		return false
	}
	width, height, _ := expected(j)
	return width*height <= maxLosslessPixels
}
