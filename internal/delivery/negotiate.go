package delivery

import (
	"net/http"

	"calotype/internal/accept"
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
		if accept.Names(h["Accept"], format.MIME()) {
			accepted = append(accepted, format)
		}
	}
	return accepted
}

// clients are the kinds of clients that get different formats, by their names in -eager-formats and in URLs, with their
// Accept headers. A browser that accepts AVIF accepts WebP too, and gets it for a picture that has no AVIF.
var clients = []struct{ name, accepts string }{
	{"avif", "image/avif,image/webp,*/*"},
	{"webp", "image/webp,*/*"},
	{"fallback", "*/*"},
}

// clientNames are the names of clients.
var clientNames = func() (names []string) {
	for _, client := range clients {
		names = append(names, client.name)
	}
	return names
}()

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
