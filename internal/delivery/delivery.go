// Package delivery serves pictures to all clients: GET and HEAD of an image in a variant, under
//
//	/{hash}/{image id}/{variant}
//	/cdn-cgi/imagedelivery/{hash}/{image id}/{variant}
//	/cdn-cgi/image/{options}/{source}
//
// A variant is a name, or options such as w=400,fit=cover if the account permits options: flexible.go.
// transform.go has the third form, and remote.go sources at other servers. path.go splits the URL.
// renditions.Service.Resolve reads the rows. signature.go has the rule for private images: without a valid signature
// the answer is a refusal. choice.go selects the rendition for the client, by the Accept header (negotiate.go), by
// client hints (hints.go) or by the URL (formaturl.go). info.go describes a rendition. headers.go sets the caching. The
// entity tag is known before the bytes, so a picture that the client has cached is neither rendered nor read.
// errors.go has the table of deliveries from kinds of errors to their wire form. answer.go sends the bytes. eager.go
// has what is rendered before it is requested.
package delivery

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"calotype/internal/httpframe"
	"calotype/internal/httprange"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/purges"
	"calotype/internal/renditions"
	"calotype/internal/trace"
)

// Config configures the delivery. Renditions and Log must be set.
type Config struct {
	Renditions *renditions.Service
	Log        *slog.Logger
	URL        string // the public base URL of deliveries, by which a source is one of them; "" for none
	// Negotiate selects the format by the Accept header, and options by client hints. Without it, for caches that
	// ignore Vary, no header decides.
	Negotiate bool
	// FormatInURL has URLs name the format, for caches that ignore Vary; "" is FormatNotInURL.
	FormatInURL FormatInURL
	BunnyTags   bool             // send the tags in CDN-Tag too
	Accel       bool             // nginx may read files of the cache
	Now         func() time.Time // nil for time.Now
	// Observe returns the observer of the answers on a route; nil for none.
	Observe func(route string) func(status int, took time.Duration)
	Tracer  *trace.Tracer // nil for no traces
}

type delivery struct {
	Config
	pace    limit.Pace // of those who read answers
	observe func(status int, took time.Duration)
}

// New returns the handler of all delivery URLs. It must get unchanged paths: ServeMux would redirect paths with "//"
// or "..", which may be parts of an id.
func New(c Config) http.Handler {
	c.FormatInURL = cmp.Or(c.FormatInURL, FormatNotInURL)
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &delivery{Config: c, pace: limit.Readers}
	if c.Observe != nil {
		d.observe = c.Observe("picture")
	}
	return d
}

const allowedMethods = "GET, HEAD"

// ServeHTTP answers one request in the frame of httpframe.
func (d *delivery) ServeHTTP(bare http.ResponseWriter, r *http.Request) {
	line := &logLine{}
	frame := httpframe.Frame{Message: "delivery", Log: d.Log, Tracer: d.Tracer, Public: true}
	frame.Serve(bare, r, func(w *httpframe.Response) error {
		w.Pace, w.Observe = d.pace, d.observe
		w.Attrs = func() []slog.Attr { return line.attrs(w) }
		setCommonHeaders(w.Header())
		err := d.serve(w, &request{Request: w.Trace(r, false), line: line})
		w.Broken = w.SendErr != nil
		return err
	}, func(w *httpframe.Response, err error) { d.refuse(w, r, err, line) })
}

// A request is a request for a picture.
type request struct {
	*http.Request
	line   *logLine
	query  string // the raw query without the format
	client string // the kind of client whose format the URL names; "" for none
}

// serve answers a request, or returns the reason of a refusal before the header is sent.
func (d *delivery) serve(w *httpframe.Response, r *request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		setPreflightHeaders(w.Header())
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		w.Header().Set("Allow", allowedMethods)
		return &refusal{status: http.StatusMethodNotAllowed, code: codeRequest,
			sentence: "Pictures are got with GET or HEAD"}
	}
	r.query = r.URL.RawQuery
	if d.FormatInURL != FormatNotInURL {
		var err error
		if r.query, r.client, err = cutFormat(r.query); err != nil {
			return err
		}
	}
	path := receivedPath(r.URL)
	if strings.HasPrefix(path, transformPrefix) {
		return d.transform(w, r, path)
	}
	t, err := splitPath(path)
	if err != nil {
		return err
	}
	return d.deliver(w, r, t)
}

// deliver answers with the picture that t names.
func (d *delivery) deliver(w *httpframe.Response, r *request, t target) error {
	var resolved renditions.Resolved
	var err error
	if t.flexible() {
		resolved, err = d.resolveFlexible(r.Context(), t)
	} else {
		resolved, err = d.Renditions.Resolve(r.Context(), t.hash, t.id, t.variant)
	}
	r.line.account, r.line.image = resolved.Account.ID, resolved.Image
	if err != nil {
		return err
	}
	caching := publicCaching(resolved.BrowserTTL())
	if resolved.Private() {
		now := d.Now()
		s, err := r.checkSignature(t.path, resolved.Keys, now)
		if err != nil {
			return err
		}
		caching = privateCaching(resolved.BrowserTTL(), s, now)
	}
	if t.flexible() { // after the signature: a refusal of options has facts about the picture
		wanted, err := transformOf(t.variant, resolved)
		if err != nil {
			return err
		}
		resolved.Variant = images.Variant{Options: wanted.options}
		setIgnored(w.Header(), wanted.leftOut)
	}
	return d.answer(w, r, resolved, caching)
}

// answer sends the picture in its variant, or what else the options ask for.
func (d *delivery) answer(w *httpframe.Response, r *request, resolved renditions.Resolved, caching string) error {
	if err := checkTrim(resolved); err != nil {
		return err
	}
	c := d.chooseBy(resolved, r.Header, r.client, isPrivate(caching))
	switch {
	case c.redirect:
		redirectToFormat(w, r, c)
		return nil
	case c.format == formatInfo:
		return d.sendInfo(w, r.Request, c, caching)
	}
	return d.send(w, r.Request, c, caching)
}

// lateAnswer is the time after which no cache may store a public picture: the image may have been made private or
// deleted since, and the last purge of it may come before the answer.
const lateAnswer = purges.RepeatAfter / 2

// send answers with the picture, or with 304 if the client has it.
func (d *delivery) send(w *httpframe.Response, r *http.Request, c choice, caching string) (err error) {
	began := d.Now()
	if c.Resolved, err = d.Renditions.Settle(r.Context(), c.Resolved, c.format); err != nil {
		return err
	}
	etag := d.Renditions.ETag(c.Resolved, c.format)
	if notModified(w, r, c, etag, caching) {
		return nil
	}
	rendition, err := d.Renditions.Rendition(r.Context(), c.Resolved, c.format)
	if err != nil {
		return err
	}
	defer func() {
		if closing := rendition.Content.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("closing a rendition: %w", closing))
		}
	}()
	if d.Now().Sub(began) > lateAnswer && !c.Private() {
		caching = "no-store"
	}
	setPictureHeaders(w.Header(), c, etag, caching)
	w.Header()["Content-Type"] = []string{rendition.Format.MIME()}
	httprange.Clean(r.Header, maxRanges)
	if d.redirectToFile(w, r, rendition) || serveWhole(w, r, rendition) {
		return nil
	}
	return serveContent(w, r, rendition.Content)
}

// notModified answers 304 if the client has the entity, and reports whether it did.
func notModified(w *httpframe.Response, r *http.Request, c choice, etag, caching string) bool {
	if !matchesETag(r.Header.Values("If-None-Match"), etag) {
		return false
	}
	setPictureHeaders(w.Header(), c, etag, caching)
	w.WriteHeader(http.StatusNotModified)
	return true
}
