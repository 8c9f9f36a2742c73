// Package delivery serves pictures to everyone: GET and HEAD of an image in a variant, under
//
//	/{hash}/{image id}/{variant}
//	/cdn-cgi/imagedelivery/{hash}/{image id}/{variant}
//
// path.go splits the URL. The core resolves what it names. signature.go holds the rule for private
// images: without a good signature there is no answer but the refusal. negotiate.go chooses the
// kind of file, and headers.go says how long it may be kept and by whom. The entity tag is known
// before the bytes are, so what a client already has is neither rendered nor read again. errors.go
// is the one table from the core's refusals to their wire form, and answer.go the response that
// the bytes go through: it counts them for the log and cuts off readers that stand still.
package delivery

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"calotype/internal/images"
)

// stallTime is how long a client may take for each piece of an answer; see answer.
const stallTime = 30 * time.Second

// Config is what the delivery needs.
type Config struct {
	Core *images.Service
	Log  *slog.Logger
	// Negotiate lets the Accept header choose the kind of file. Off is for caches in front of us
	// that ignore Vary: all clients then get the kind that every client knows.
	Negotiate bool
	Now       func() time.Time // nil for time.Now
}

type delivery struct {
	Config
	stall time.Duration
}

// New returns the handler of all delivery URLs. It must see paths as they came: ServeMux would
// redirect those that hold "//" or "..", which in an id need not mean what it means in a path.
func New(c Config) http.Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &delivery{c, stallTime}
}

const allowedMethods = "GET, HEAD"

// ServeHTTP answers one request and writes one line about it to the log. Neither path nor query is
// logged: they name the client's business, and the query holds the signature.
func (d *delivery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := newAnswer(w, d.stall)
	line := newLogLine(r)
	defer func() {
		if cause := recover(); cause != nil {
			d.refuse(a, r, fmt.Errorf("panic: %v\n%s", cause, debug.Stack()), line)
		}
		line.write(r.Context(), d.Log, a)
		if a.err != nil {
			// The client must not take what it has for whole.
			panic(http.ErrAbortHandler)
		}
	}()
	setCommonHeaders(w.Header())
	if err := d.serve(a, r, line); err != nil {
		d.refuse(a, r, err, line)
	}
}

// serve answers a request, or returns why it is refused, in which case nothing has been sent.
func (d *delivery) serve(a *answer, r *http.Request, line *logLine) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		setPreflightHeaders(a.Header())
		a.WriteHeader(http.StatusNoContent)
		return nil
	default:
		a.Header().Set("Allow", allowedMethods)
		return &refusal{status: http.StatusMethodNotAllowed, code: codeRequest,
			sentence: "Pictures are got with GET or HEAD"}
	}
	t, err := splitPath(receivedPath(r.URL))
	if err != nil {
		return err
	}
	resolved, err := d.Core.Resolve(r.Context(), t.hash, t.id, t.name())
	line.account, line.image = resolved.Account.ID, resolved.Image.Key
	if err != nil {
		if t.flexible() && images.AsError(err).Kind == images.VariantNotFound {
			return refuseFlexible(resolved.Image)
		}
		return err
	}
	caching := publicCaching
	if resolved.Private() {
		now := d.Now()
		s, err := checkSignature(t.path, r.URL.RawQuery, resolved.Keys, now)
		if err != nil {
			return err
		}
		caching = privateCaching(s, now)
	}
	return d.send(a, r, resolved, caching)
}

// refuseFlexible refuses a variant that is spelt out as options. Private images never take one,
// so that nobody who may see a thumbnail can ask for the whole picture.
func refuseFlexible(img images.Image) error {
	if img.RequireSignedURLs {
		return images.Errorf(images.SignatureRefused,
			"A private image is delivered in named variants only")
	}
	return images.Errorf(images.Forbidden, "Flexible variants are not enabled for this account")
}

var varyAccept = []string{"Accept"}

// send answers with the picture, or says that the client has it already.
func (d *delivery) send(
	a *answer, r *http.Request, resolved images.Resolved, caching string,
) (err error) {
	format := fallback(resolved.Image.Original, resolved.Variant.Options.Still)
	h := a.Header()
	if d.Negotiate {
		format = negotiate(r.Header.Values("Accept"), format)
		h["Vary"] = varyAccept
	}
	etag := d.Core.ETag(resolved, format)
	if matchesETag(r.Header.Values("If-None-Match"), etag) {
		setPictureHeaders(h, resolved, etag, caching)
		a.WriteHeader(http.StatusNotModified)
		return nil
	}
	rendition, err := d.Core.Rendition(r.Context(), resolved, format)
	if err != nil {
		return err
	}
	defer func() {
		if closing := rendition.Content.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("closing a rendition: %w", closing))
		}
	}()
	setPictureHeaders(h, resolved, etag, caching)
	h["Content-Type"] = []string{rendition.Format.MIME()}
	if a.serveWhole(r, rendition) {
		return nil
	}
	return a.serveContent(r, rendition.Content)
}
