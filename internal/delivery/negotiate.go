package delivery

import (
	"net/http"
	"strings"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
)

// preferred are the formats for clients whose Accept header names them, best first. A format that is added here is
// negotiated. Not every picture can have them on every server.
var preferred = []imagefile.Format{imagefile.AVIF, imagefile.WebP}

// acceptedFormats returns the formats that the Accept header of a client names.
func acceptedFormats(formats []imagefile.Format, h http.Header) (accepted []imagefile.Format) {
	for _, format := range formats {
		if acceptNames(h["Accept"], format.MIME()) {
			accepted = append(accepted, format)
		}
	}
	return accepted
}

// fallback returns a format that all clients support and that preserves the animation and the transparency of a
// rendition.
func fallback(from *images.Original, o render.Options) imagefile.Format {
	switch {
	case from.Animated() && !o.Still:
		return imagefile.GIF
	case from.Header.Format == imagefile.PNG, from.Alpha, o.PadsWithAlpha():
		return imagefile.PNG
	default:
		return imagefile.JPEG
	}
}

// maxAccept bounds an Accept header, in bytes. A longer one is ignored.
const maxAccept = 4096

// acceptNames reports whether the lines of an Accept header name a media type with a weight above zero. Ranges like
// image/* and */* do not count: clients also send them for formats that they do not support.
func acceptNames(lines []string, mime string) bool {
	accept := strings.Join(lines, ",")
	if len(accept) > maxAccept {
		return false
	}
	for _, element := range splitUnquoted(accept, ',') {
		parameters := splitUnquoted(element, ';')
		if strings.EqualFold(strings.TrimSpace(parameters[0]), mime) && wanted(parameters[1:]) {
			return true
		}
	}
	return false
}

// wanted reports whether the weight among the parameters of a media range, if any, is above zero.
func wanted(parameters []string) bool {
	for _, parameter := range parameters {
		name, weight, _ := strings.Cut(parameter, "=")
		if strings.EqualFold(strings.TrimSpace(name), "q") {
			return aboveZero(strings.TrimSpace(weight))
		}
	}
	return true
}

// aboveZero reports whether a weight is a decimal number above zero. The header's grammar has no
// sign, exponent or infinity.
func aboveZero(weight string) bool {
	whole, fraction, _ := strings.Cut(weight, ".")
	digits := whole + fraction
	return whole != "" && strings.Trim(digits, "0123456789") == "" && strings.Trim(digits, "0") != ""
}

// splitUnquoted splits s at each sep outside of quoted strings. There is always one part.
func splitUnquoted(s string, sep byte) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
