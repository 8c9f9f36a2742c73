package delivery

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/imagefile"
	"calotype/internal/renditions"
)

// A FormatInURL says how the URL of a picture names its format, for caches that ignore Vary. The name is the kind of
// client that the picture is for, so it selects among the formats of the Accept header only, and gives no client
// access to a rendition that it could not have without the name. It has no effect where the variant or the options
// name a format.
type FormatInURL string

// The values of FormatInURL.
const (
	FormatNotInURL FormatInURL = "off"      // URLs name no format
	FormatRedirect FormatInURL = "redirect" // a client is redirected to the URL with its format
	FormatNamed    FormatInURL = "name"     // a URL without a name gets the format for all clients
)

// CheckFormatInURL returns an error for values of -format-in-url and -negotiate that contradict each other.
func CheckFormatInURL(value FormatInURL, negotiate bool) error {
	if !negotiate && cmp.Or(value, FormatNotInURL) != FormatNotInURL {
		return errs.Errorf(errs.Invalid,
			"-format-in-url=%s has no effect with -no-negotiate: leave one of them out", value)
	}
	return nil
}

// formatKey is the key of the name in the query. It contains the name of this program, because the query of a
// transformation may be that of its source at another server.
const formatKey = "calotype-format"

// cutFormat cuts the name of the format from a raw query. client is "" for a query without one. Error: a refusal.
func cutFormat(rawQuery string) (rest, client string, err error) {
	if !strings.Contains(rawQuery, formatKey) {
		return rawQuery, "", nil
	}
	var others []string
	for pair := range strings.SplitSeq(rawQuery, "&") {
		key, value, _ := strings.Cut(pair, "=")
		switch {
		case key != formatKey:
			others = append(others, pair)
		case client != "" || !slices.Contains(clientNames, value):
			return "", "", &refusal{status: http.StatusBadRequest, code: codeOptions, sentence: fmt.Sprintf(
				"The query must have %s once, as %s", formatKey, strings.Join(clientNames, ", "))}
		default:
			client = value
		}
	}
	return strings.Join(others, "&"), client, nil
}

// checkSignature is the function checkSignature for a request. The signature covers the name of the format or not: a
// client can add a name to a URL that was signed without one.
func (r *request) checkSignature(path string, keys []accounts.SigningKey, now time.Time) (signature, error) {
	s, err := checkSignature(path, r.query, keys, now)
	if r.client != "" && errors.Is(err, errSignature) {
		return checkSignature(path, r.URL.RawQuery, keys, now)
	}
	return s, err
}

// nameFormats reports whether URLs name the formats of pictures that shared caches may not store, or of others. A
// redirect for the former would be in vain.
func (d *delivery) nameFormats(private bool) bool {
	return d.FormatInURL == FormatNamed || d.FormatInURL == FormatRedirect && !private
}

// chooseBy selects the rendition for a client with the headers h, or for the kind of client that the URL names.
// private: shared caches may not store it.
func (d *delivery) chooseBy(r renditions.Resolved, h http.Header, client string, private bool) choice {
	named := client != "" || d.nameFormats(private)
	if named { // a cache would store one answer for all client hints
		r.Variant.Options, _ = withHints(r.Variant.Options.Scaled(), nil)
	}
	switch {
	case client != "":
		h = http.Header{"Accept": {acceptOf(client)}}
	case named && d.FormatInURL == FormatNamed:
		h = nil
	}
	c := d.choose(r, h)
	c.bunnyTags = d.BunnyTags
	if named {
		c.vary = nil
		c.redirect = c.negotiated && client == ""
	}
	return c
}

// acceptOf returns the Accept header of a kind of clients.
func acceptOf(client string) string {
	for _, c := range clients {
		if c.name == client {
			return c.accepts
		}
	}
	return ""
}

// clientOf returns the kind of clients that get a format.
func clientOf(f imagefile.Format) string {
	switch f {
	case imagefile.AVIF:
		return "avif"
	case imagefile.WebP:
		return "webp"
	}
	return "fallback"
}

// redirectToFormat redirects to the URL with the name of the format. The location is a query only, because a proxy may
// have changed the path. Browsers may store the answer for an hour, and shared caches must not.
func redirectToFormat(w *httpframe.Response, r *request, c choice) {
	query := formatKey + "=" + clientOf(c.format)
	if r.query != "" {
		query = r.query + "&" + query
	}
	h := w.Header()
	h["Vary"] = varyAccept
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("Content-Length", "0")
	h.Set("Location", "?"+query)
	w.WriteHeader(http.StatusFound)
}
