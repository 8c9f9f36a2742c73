package delivery

import (
	"net/http"
	"slices"
	"strings"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
	"calotype/internal/renditions"
)

// A choice is what a client gets. Clients with equal choices share a rendition.
type choice struct {
	renditions.Resolved                  // whose options no longer depend on the client
	format              imagefile.Format // or formatInfo
	vary                []string         // the value of Vary: the headers that may decide; nil for none
	negotiated          bool             // the Accept header may decide
	redirect            bool             // the client gets the URL that names the format
	bunnyTags           bool             // the answer has the tags in CDN-Tag too
}

// formatInfo stands for a description of the rendition instead of its pixels.
const formatInfo imagefile.Format = "json"

// choose selects the rendition for a client with the headers h.
func (d *delivery) choose(r renditions.Resolved, h http.Header) choice {
	if !d.Negotiate {
		h = nil
	}
	asked := r.Variant.Options.Scaled()
	if r.Vector() { // whatever the URL and the client ask for, but a description
		c := choice{Resolved: r, format: imagefile.SVG}
		if asked.Format == render.FormatJSON {
			c.format = formatInfo
		}
		return c
	}
	if r.Image.RequireSignedURLs && r.Variant.NeverRequireSignedURLs && r.TooLargeToTransform() {
		// The variant is public because of its options, which do not apply to all frames.
		asked.Still = true
	}
	o, hints := withHints(asked, h)
	c := choice{Resolved: r, format: fallback(r.Image.Original, o)}
	o.Format = ""
	c.Variant.Options = o
	if asked.Format == render.FormatJSON {
		c.format = formatInfo
		c.vary = varyOf(false, hints)
		return c
	}
	formats, negotiated := formatsFor(asked, r.Image.Original)
	if negotiated {
		formats = acceptedFormats(formats, h)
	}
	c.negotiated = negotiated && h != nil
	c.vary = varyOf(c.negotiated, hints)
	for _, format := range formats {
		if format == imagefile.PNG && c.format != format && c.exceeds(maxPNG) {
			break
		}
		c.Variant.Options.Format = identity(asked, format)
		if alwaysMade(format) || d.Renditions.Makes(c.Resolved, format) {
			c.format = format
			break
		}
		c.Variant.Options.Format = render.FormatAuto
		if identity(asked, format) != "" && d.Renditions.Makes(c.Resolved, format) { // lossy instead of lossless
			c.format = format
			break
		}
	}
	return c
}

// maxPNG bounds a PNG of a picture for which PNG is not the usual format, in pixels: it may be incompressible, and a
// rendition has at most 128 MiB.
const maxPNG = 40_000_000

// exceeds reports whether a rendition may have more pixels than most.
func (c choice) exceeds(most int64) bool {
	return c.Variant.Options.MostPixels(c.Image.Original.Header.Shown()) > most
}

// formatsFor returns the formats to use if they are possible, the best one first. negotiated: only those that the
// client accepts.
func formatsFor(o render.Options, from *images.Original) (formats []imagefile.Format, negotiated bool) {
	formats = preferred
	switch {
	case o.Format == render.FormatJPEG, o.Format == render.FormatBaseline:
		return onlyJPEG, false
	case o.Format == render.FormatPNG:
		return onlyPNG, false
	case o.Fast && !from.Alpha && !o.PadsWithAlpha() && (o.Still || !from.Animated()):
		return onlyJPEG, false
	case o.Fast, o.Format == render.FormatWebP:
		formats = onlyWebP
	}
	return formats, o.Format == render.FormatAuto
}

var (
	onlyJPEG = []imagefile.Format{imagefile.JPEG}
	onlyPNG  = []imagefile.Format{imagefile.PNG}
	onlyWebP = []imagefile.Format{imagefile.WebP}
)

// alwaysMade reports whether each accepted original has renditions in a format, on each server.
func alwaysMade(f imagefile.Format) bool { return !slices.Contains(preferred, f) }

// identity returns the option format of a rendition whose bytes depend on it, else "".
func identity(o render.Options, f imagefile.Format) render.OutputFormat {
	switch {
	case f == imagefile.JPEG && o.Format == render.FormatBaseline,
		f == imagefile.WebP && o.Format == render.FormatWebP && o.Quality == render.LosslessQuality:
		return o.Format
	}
	return ""
}

// varyOf returns the value of Vary.
func varyOf(accept bool, hints []string) []string {
	switch {
	case !accept && len(hints) == 0:
		return nil
	case accept && len(hints) == 0:
		return varyAccept
	case accept:
		hints = append([]string{"Accept"}, hints...)
	}
	return []string{strings.Join(hints, ", ")}
}

var varyAccept = []string{"Accept"}
