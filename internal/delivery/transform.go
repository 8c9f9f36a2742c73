package delivery

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/outbound"
	"calotype/internal/renditions"
)

// transformPrefix is the prefix of the URLs that other people's loaders make:
//
//	/cdn-cgi/image/{options}/{source}
//
// A source that is a path or a URL of this server's deliveries is resolved here, without a request: the options apply
// to the original of its image, under the rules of flexible variants. The source's variant must exist, and has no
// effect. For sources at other servers see remote.go.
const transformPrefix = "/cdn-cgi/image/"

// Cloudflare's codes for a source.
const (
	codeLoop          = 9403
	codeInvalidSource = 9406
)

// A source is the picture that a transformation begins with.
type source struct {
	scheme string // http or https; "" for a path at this server
	host   string // in lower case, with a port unless it is the scheme's; "" for a path at this server
	path   string // escaped, begins with "/"
	query  string // raw
}

// transform answers a request for a transformation.
func (d *delivery) transform(w *httpframe.Response, r *request, path string) error {
	if isLoop(r.Header) {
		return &refusal{status: http.StatusLoopDetected, code: codeLoop,
			sentence: "The request comes from a transformation: the source leads back to this server"}
	}
	options, from, redirect, err := splitTransform(path, r.query)
	if err != nil {
		return err
	}
	if !d.isOwn(from) {
		return d.remote(w, r, options, from, redirect)
	}
	t, err := transformTarget(path, options, from)
	if err != nil {
		return err
	}
	return d.deliver(w, r, t)
}

// isLoop reports whether a request comes from a transformation, which must not cause another one.
func isLoop(h http.Header) bool {
	for _, line := range h.Values("Via") {
		for hop := range strings.SplitSeq(line, ",") {
			fields := strings.Fields(hop)
			if len(fields) > 1 && strings.EqualFold(fields[1], renditions.SourceVia) {
				return true
			}
		}
	}
	return false
}

// splitTransform splits the escaped path and the raw query of a transformation into options and source. redirect: a
// failure redirects to the source.
func splitTransform(escaped, rawQuery string) (options string, from source, redirect bool, err error) {
	if len(escaped) > maxPath {
		return "", source{}, false, errs.Errorf(errs.Invalid,
			"The path is longer than %d bytes, which no image's can be", maxPath)
	}
	text, rest, _ := strings.Cut(strings.TrimPrefix(escaped, transformPrefix), "/")
	options, err = url.PathUnescape(text)
	if err == nil {
		options, redirect = cutOnError(options)
	}
	if err != nil || !strings.Contains(options, "=") && !redirect {
		return "", source{}, false, &refusal{status: http.StatusBadRequest, code: codeOptions,
			sentence: "The path must have the form /cdn-cgi/image/<options>/<source>, with options such as " +
				"width=400,fit=cover"}
	}
	from, err = parseSource(rest, rawQuery)
	return options, from, redirect, err
}

// cutOnError cuts onerror=redirect from options. It has an effect on sources at other servers only.
func cutOnError(options string) (rest string, redirect bool) {
	all := strings.Split(options, ",")
	rest = strings.Join(slices.DeleteFunc(all, func(one string) bool { return one == "onerror=redirect" }), ",")
	return rest, rest != options
}

// parseSource parses the source of a transformation and the query of the request. A source without a slash is
// percent-encoded as a whole, and may hold its own query. Proxies and browsers collapse slashes, so that a scheme has
// one or more of them. Errors are refusals, which do not quote the source.
func parseSource(text, rawQuery string) (source, error) {
	if !strings.Contains(text, "/") && strings.Contains(strings.ToLower(text), "%2f") {
		plain, err := url.PathUnescape(text)
		if err != nil {
			return source{}, invalidSource("it is not well escaped")
		}
		given, query, own := strings.Cut(plain, "?")
		text = given
		if own {
			rawQuery = query
		}
	}
	if strings.ContainsFunc(text+rawQuery, mustBeEscaped) {
		return source{}, invalidSource("it holds a character that must be escaped")
	}
	from := source{query: rawQuery}
	rest := strings.TrimLeft(text, "/")
	if scheme, after, ok := cutScheme(rest); ok {
		from.scheme, rest = scheme, strings.TrimLeft(after, "/")
	}
	first, path, slash := strings.Cut(rest, "/")
	switch {
	case first == "":
		return source{}, invalidSource("it is missing")
	case from.scheme == "" && (first == "cdn-cgi" || isHash(first)):
		from.path = "/" + rest
		return from, nil
	case from.scheme == "" && strings.Trim(first, "0123456789") != "" && !strings.ContainsAny(first, ".:"):
		return source{}, errs.Errorf(errs.ImageNotFound, "There is nothing at the path of the source: it must "+
			"have the form /<account hash>/<image id>/<variant>")
	case from.scheme == "": // //host/path
		from.scheme = "https"
	}
	if !slash {
		return source{}, invalidSource("it has no path")
	}
	var err error
	if from.host, err = plainAuthority(from.scheme, first); err != nil {
		return source{}, err
	}
	from.path = "/" + path
	return from, nil
}

// mustBeEscaped reports whether a URL may not hold a character, or programs read it in different ways.
func mustBeEscaped(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' || c == '#' }

// cutScheme cuts the scheme from a URL, whose colon may be escaped. ok is false for a text without a scheme.
func cutScheme(text string) (scheme, rest string, ok bool) {
	first, _, _ := strings.Cut(text, "/")
	for _, scheme := range []string{"https", "http"} {
		for _, colon := range []string{":", "%3a"} {
			if strings.EqualFold(first, scheme+colon) {
				return scheme, text[len(first):], true
			}
		}
	}
	return "", text, false
}

// plainAuthority returns the host of a URL for comparisons: in lower case, without the port of its scheme and without
// a final dot. It refuses a user, a password and everything that is no host.
func plainAuthority(scheme, authority string) (string, error) {
	if strings.ContainsAny(authority, "@%") {
		return "", invalidSource("its host has a user, a password or an escaped character")
	}
	u, err := url.Parse(scheme + "://" + authority)
	// A scheme of another kind, as in ftp://host, looks like a host with an empty port.
	if err != nil || u.Hostname() == "." || strings.HasSuffix(u.Hostname(), "..") || u.Hostname() == "" ||
		u.Host != authority || strings.HasSuffix(authority, ":") {
		return "", invalidSource("it must begin with http:// or https:// and a host, or be a path of this server")
	}
	return outbound.PlainAuthority(u), nil
}

func invalidSource(why string) error {
	return &refusal{status: http.StatusForbidden, code: codeInvalidSource,
		sentence: "The URL of the source is not valid: " + why}
}

// isOwn reports whether a source is a picture of this server.
func (d *delivery) isOwn(from source) bool {
	if from.host == "" {
		return true
	}
	own, err := url.Parse(d.URL)
	if err != nil || d.URL == "" {
		return false
	}
	// TLS may end at a proxy: the scheme of the own URL is no part of the comparison, a port of either is.
	host, err := plainAuthority(own.Scheme, own.Host)
	if err != nil {
		return false
	}
	return from.host == host
}

// transformTarget returns the target of a transformation of a picture of this server. Its options replace the
// source's variant, and a signature signs the whole path with the options, as received.
func transformTarget(escaped, options string, from source) (target, error) {
	if strings.HasPrefix(from.path+"/", transformPrefix) {
		return target{}, &refusal{status: http.StatusLoopDetected, code: codeLoop,
			sentence: "The source is a transformation itself: put all options into one URL"}
	}
	t, err := splitPath(from.path)
	if err != nil {
		return target{}, err
	}
	if t.flexible() {
		return target{}, &refusal{status: http.StatusBadRequest, code: codeOptions,
			sentence: "Invalid options: the source has options itself; put all options into one list, and name " +
				"a variant in the source"}
	}
	t.source, t.variant, t.path, t.transform = t.variant, options, escaped, true
	return t, nil
}

// checkSource returns VariantNotFound if the variant in the source of a transformation does not exist.
func (d *delivery) checkSource(ctx context.Context, t target) error {
	if !t.transform {
		return nil
	}
	_, err := d.Renditions.Resolve(ctx, t.hash, t.id, t.source)
	return err
}
