// Package api serves Cloudflare's v4 API under /client/v4/ for clients with a token.
//
// routes.go lists all routes. match matches a path, because ids may hold slashes, which net/http's
// patterns cannot match. A handler is a function from the
// request to a result or an error; only frame writes the envelope and the log
// line and recovers panics, only dispatch authenticates. errors.go has the gateway's refusals; package cfapi has
// the table of the core's errors. form.go reads the body of every write
// request, in every encoding that known clients use, and flatten.go joins metadata that
// an SDK has split. The batch API has some of the same routes, without the account in their
// paths: batch.go. Webhooks are in alerting.go, policies.go, history.go and
// streams.go. rate.go counts the requests of a token, guesses.go the wrong tokens of
// a client; answer.go bounds the memory of answers.
//
// The API is not for browsers, so no answer carries CORS headers.
package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/httprange"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/listing"
	"calotype/internal/notify"
	"calotype/internal/trace"
)

// Prefix is the prefix of every path of the API.
const Prefix = "/client/v4/"

// bodyTimeout limits the time of receiving a request's body.
const bodyTimeout = 30 * time.Second

// Config configures the API. All fields except Rate, Local and Observe must be set.
type Config struct {
	Core     *images.Service
	Lists    *listing.Lister
	Notifier *notify.Notifier // sends test events, and builds the messages in the history
	URLs     cfapi.URLs
	Log      *slog.Logger
	Rate     int // requests of a token in 5 minutes; 0 for no limit
	// Local is the token of every request, whose credentials are then not read: for a handler in the process of a
	// command, which no network reaches. nil: each request has its own token.
	Local *accounts.Token
	// Observe returns the observer of the answers on a route; nil for none.
	Observe func(route string) func(status int, took time.Duration)
	Tracer  *trace.Tracer // nil for no traces
}

type api struct {
	Config
	routes          []route
	observers       observers
	bodyTimeout     time.Duration
	rate, batchRate *rateLimit
	guesses         *guesses
	answers         *limit.Pool // bytes
	bounds          pageBounds
}

// A Handler serves the API. Pools returns the pools of its requests, for metrics.
type Handler interface {
	http.Handler
	Pools() []*limit.Pool
}

// New returns the handler of everything under Prefix, and of the batch API: see IsBatch. It must get
// unchanged paths: ServeMux would redirect those with "//".
func New(c Config) Handler {
	a := &api{Config: c, bodyTimeout: bodyTimeout, guesses: newGuesses(),
		answers: newAnswers(), bounds: defaultBounds,
		batchRate: newRateLimit("batch", batchRate, time.Second)}
	if c.Rate > 0 {
		a.rate = newRateLimit("default", c.Rate, rateWindow)
	}
	a.routes = a.list()
	a.observers = observe(c.Observe, a.routes)
	return a
}

// A call is a request with its token and parameters, for its handler.
type call struct {
	*http.Request
	account string // the ID in the token and in the path
	token   accounts.Token
	image   string // the id in the path, if the route has one
	name    string // the name in the path; see params
	body    *body
	writer  http.ResponseWriter // for the deadlines of a body with a picture
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.frame(w, r, a.dispatch) }

// frame answers one request with the result of handle, which is dispatch except in tests, in the frame of httpframe.
func (a *api) frame(bare http.ResponseWriter, r *http.Request, handle handler) {
	line := &logLine{}
	httpframe.Frame{Message: "api", Log: a.Log, Tracer: a.Tracer}.Serve(bare, r, func(w *httpframe.Response) error {
		w.Attrs = line.attrs
		w.Observe = func(status int, took time.Duration) { a.observers.call(line, status, took) }
		cfapi.Prepare(w, r)
		result, err := handle(w, r, line)
		var out sendable
		if err == nil {
			out, err = a.sendable(r, line.account, result)
		}
		if err == nil {
			err = out.send(w, r)
		}
		if w.Status == 0 {
			return err
		}
		w.Note(err)
		return nil
	}, func(w *httpframe.Response, err error) {
		if refusal := new(errs.Error); errors.As(err, &refusal) {
			line.reason = refusal.Reason()
		}
		a.refuse(w, r, err)
	})
}

// A handler returns the result of a request and adds properties to its log line.
type handler func(w http.ResponseWriter, r *http.Request, line *logLine) (any, error)

// dispatch finds the route, authenticates and runs the handler, in this order: without a
// token no answer depends on an account.
func (a *api) dispatch(w http.ResponseWriter, r *http.Request, line *logLine) (any, error) {
	body, err := a.openBody(w, r)
	if err != nil {
		return nil, err
	}
	lookUp, batch := find, IsBatch(r.URL.EscapedPath())
	if batch {
		lookUp = findBatch
	}
	route, params, err := lookUp(a.routes, r.Method, r.URL.EscapedPath())
	if err != nil {
		return nil, err
	}
	line.route, line.verb, line.batch = route.pattern, route.method, batch
	token, rate, err := a.authenticate(r, batch)
	line.account = token.Account
	if err != nil {
		return nil, err
	}
	if batch || route.ofToken() {
		params.account = token.Account
	}
	if err := rate.take(w.Header(), a.Core.Now()); err != nil {
		return nil, err
	}
	if err := authorize(token, params.account, route.scope); err != nil {
		return nil, err
	}
	line.image = params.id[:min(len(params.id), maxLoggedID)]
	r = httpframe.New(w, r).Trace(r, true) // only the owner of a token decides on sampling
	return route.handler(&call{
		Request: r, account: params.account, token: token, image: params.id, name: params.name,
		body: body, writer: w,
	})
}

// refuse answers with err.
func (a *api) refuse(w *httpframe.Response, r *http.Request, err error) {
	e := wireError(r, err)
	w.Code = e.Code
	if e.Status >= http.StatusInternalServerError {
		w.Note(err)
	}
	var method *methodError
	if errors.As(err, &method) {
		w.Header().Set("Allow", strings.Join(method.allowed, ", "))
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Note(cfapi.WriteError(w, e))
}

// A stream is a result that is sent without an envelope, completely or in ranges.
type stream struct {
	mime    string
	etag    string // with its quotes
	content io.ReadSeekCloser
}

func (s *stream) send(w *httpframe.Response, r *http.Request) (err error) {
	defer func() { err = errors.Join(err, s.content.Close()) }()
	h := w.Header()
	h.Set("Content-Type", s.mime)
	h.Set("ETag", s.etag)
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	httprange.Clean(r.Header, 1) // the content is closed when this returns
	content := &noting{ReadSeeker: s.content}
	refused := httprange.Serve(w, r, content)
	if refused != 0 {
		for _, name := range []string{"Content-Disposition", "Content-Security-Policy", "ETag"} {
			h.Del(name)
		}
		h.Set("Cache-Control", "no-store") // net/http has deleted it
	}
	switch refused {
	case 0:
	case http.StatusRequestedRangeNotSatisfiable:
		return errRange
	case http.StatusPreconditionFailed:
		return errPrecondition
	default:
		return fmt.Errorf("net/http refused to serve an original with status %d", refused)
	}
	// Fewer bytes than announced make net/http cut the connection, so that no client takes them for
	// the whole.
	if err := errors.Join(content.err, w.SendErr); err != nil {
		return fmt.Errorf("sending an original: %w", err)
	}
	return nil
}

// noting stores the error of a Read, which http.ServeContent drops.
type noting struct {
	io.ReadSeeker
	err error
}

func (n *noting) Read(p []byte) (int, error) {
	read, err := n.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		n.err = err
	}
	return read, err
}

// A logLine holds what the log has of one request besides the attributes of httpframe.
type logLine struct {
	route, account string
	batch          bool
	verb           string // the method of the route, which also answers others
	image          string // the id in the path, once the caller is authorized
	reason         string // the kind of a refusal: its sentence may quote metadata
}

// maxLoggedID bounds an id in the log, in bytes.
const maxLoggedID = 1024

func (l *logLine) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("route", l.route), slog.String("account", l.account),
		slog.Bool("batch", l.batch)}
	if l.image != "" && l.reason != errs.ImageNotFound.String() { // else it may be a secret that a client mixed up
		attrs = append(attrs, slog.String("image", l.image))
	}
	if l.reason != "" {
		attrs = append(attrs, slog.String("reason", l.reason))
	}
	return attrs
}
