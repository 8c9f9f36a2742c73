// Package intake serves the one-time upload URL: an end user's browser sends a picture to it without any
// key, and the draft behind it becomes an image.
//
// There are four ways in: a form and the bare picture, which come in one request (whole.go, raw.go), and
// two protocols for uploads that survive their connection, tus 1.0 (tus.go) and the resumable uploads of
// the IETF (resumable.go). All of them end in the same reception of the core.
//
// The ticket in the query selects the draft, not the path. The secret in the path of an upload resource selects
// the resumable upload. The core admits a body before a byte of it is read, and examines it; this package reads
// the request, in time, and gives every outcome its wire form. Every answer has CORS headers, and every refusal
// an envelope, except the refusal of an origin, which has no CORS headers. The rest of the body is drained, within
// bounds, before the answer: a browser that is still sending when the connection ends shows its user a network
// error instead of the reason.
package intake

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/images"
	"calotype/internal/trace"
)

// Prefix is the beginning of every path that is served here.
const Prefix = "/upload/"

// Config configures the intake. Core, URLs and Log must be set.
type Config struct {
	Core *images.Service
	URLs cfapi.URLs
	Log  *slog.Logger
	// Page answers GET and HEAD of a browser on a one-time URL; nil: a browser gets JSON.
	Page http.Handler
	Idle time.Duration // without a byte of a body; 0 for 30 s
	Time time.Duration // for a whole body; 0 for an hour
	// Observe returns the observer of the answers on a route; nil for none.
	Observe func(route string) func(status int, took time.Duration)
	Tracer  *trace.Tracer // nil for no traces
}

type intake struct {
	Config
	observe func(status int, took time.Duration)
}

// New returns the handler of everything under Prefix.
func New(c Config) http.Handler {
	c.Idle, c.Time = cmp.Or(c.Idle, 30*time.Second), cmp.Or(c.Time, time.Hour)
	in := &intake{Config: c}
	if c.Observe != nil {
		in.observe = c.Observe("upload")
	}
	return in
}

// A call is one request with its answer.
type call struct {
	*intake
	w        *httpframe.Response
	r        *http.Request
	body     *cfapi.Body
	protocol *protocol // of its answers
	line     logLine
	// transmitted: the body came whole, and the refusal is the result of the upload
	transmitted bool
	counts      bool // its refusal counts as an upload in the metrics
}

// A protocol gives an answer the headers that the clients of the protocol expect.
type protocol struct {
	prefix string // of its upload resources
	// prepare sets the headers of all answers.
	prepare func(c *call)
	// refuse changes the refusal for err, and sets its headers. It returns a problem type, nil for none.
	refuse func(c *call, refusal *cfapi.Error, err error) *cfapi.Problem
}

// single is the protocol of uploads in one request.
var single = &protocol{
	prepare: func(*call) {},
	refuse:  func(*call, *cfapi.Error, error) *cfapi.Problem { return nil },
}

// ServeHTTP answers one request in the frame of httpframe.
func (in *intake) ServeHTTP(bare http.ResponseWriter, r *http.Request) {
	// Before the frame: a request that fails at any point has a body to drain.
	c := &call{intake: in, r: r, protocol: single, body: cfapi.NewBody(bare, r, cfapi.BodyLimits{
		Idle: in.Idle, Time: in.Time, Bytes: in.Core.MaxUploadBytes() + cfapi.FormOverhead,
	})}
	frame := httpframe.Frame{Message: "upload", Log: in.Log, Tracer: in.Tracer}
	frame.Serve(bare, r, func(w *httpframe.Response) error {
		c.w, c.r = w, w.Trace(r, false)
		cfapi.Prepare(w, r)
		setHeaders(w.Header(), r)
		w.Observe = in.observe
		w.Attrs = func() []slog.Attr { return c.line.attrs(c.body.BytesRead()) }
		return c.serve()
	}, func(_ *httpframe.Response, err error) { c.refuse(err) })
}

// serve answers a request that is not refused.
func (c *call) serve() error {
	if err := c.checkOrigin(); err != nil {
		return err
	}
	if p, secret := resourceOf(c.r.URL.Path); p != nil {
		c.protocol = p
		p.prepare(c)
		if p == tus {
			return c.tusResource(secret)
		}
		return c.resumableResource(secret)
	}
	switch c.r.Method {
	case http.MethodOptions:
		return c.options()
	case http.MethodGet, http.MethodHead:
		return c.state()
	case http.MethodPost, http.MethodPut:
		c.counts = true
		return c.upload()
	}
	return c.notAllowed("GET, HEAD, POST, PUT, OPTIONS", "POST a form with the picture in the field file, or the "+
		"picture itself")
}

// resourceOf returns the protocol of an upload resource, and the secret in its path; nil for another path.
func resourceOf(path string) (p *protocol, secret string) {
	for _, p := range []*protocol{tus, ietf} {
		if secret, of := strings.CutPrefix(path, p.prefix); of {
			return p, secret
		}
	}
	return nil, ""
}

// upload receives a picture, or creates a resumable upload.
func (c *call) upload() error {
	if c.r.Method == http.MethodPost && c.r.Header.Get(tusVersionHeader) != "" {
		c.protocol = tus
		c.protocol.prepare(c)
		return c.createTus()
	}
	kind, err := classify(c.r)
	if err != nil {
		return err
	}
	if complete, asked := boolHeader(c.r.Header, "Upload-Complete"); asked {
		version := interopVersion(c.r.Header)
		switch {
		case kind == rawBody && (!complete || version != nil):
			c.protocol = ietf
			c.protocol.prepare(c)
			return c.createResumable(complete, version)
		case !complete:
			return errPartOfForm
		}
		// The client asks for a resumable upload, which is optional: it is answered as one request.
	} else if name := cfapi.ChunkHeader(c.r); name != "" {
		return errs.Errorf(errs.NotForm, "A request with %s has only a part of a picture: send the whole picture, or "+
			"begin a resumable upload with the header Tus-Resumable (tus 1.0) or Upload-Complete (IETF)", name)
	}
	return c.whole(kind)
}

// options answers a preflight, and a client that looks for the protocols. It does not look up the ticket.
func (c *call) options() error {
	h := c.w.Header()
	setPreflightHeaders(h, c.r)
	setTusSupport(h, c.Core.MaxUploadBytes())
	setResumableSupport(h, c.Core.MaxUploadBytes())
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// notAllowed refuses a method; right says what is allowed.
func (c *call) notAllowed(methods, right string) error {
	c.w.Header().Set("Allow", methods)
	return &cfapi.Error{Status: http.StatusMethodNotAllowed, Code: 5400, Final: true,
		Message: "Method not allowed: " + right}
}

// refuse answers with err. The rest of the body is drained before.
func (c *call) refuse(err error) {
	if errors.Is(err, context.Canceled) && c.r.Context().Err() != nil {
		err = errs.ClientAborted(nil)
	}
	if of := new(images.DraftError); errors.As(err, &of) {
		c.line.image = of.Draft
	}
	if c.counts {
		c.Core.CountUpload(c.line.image.Account, err)
	}
	refusal := *cfapi.Refusal(err)
	problem := c.protocol.refuse(c, &refusal, err)
	c.w.Code, c.line.reason = refusal.Code, refusal.Message
	c.body.Drain()
	if refusal.Status >= http.StatusInternalServerError {
		c.w.Note(err)
	}
	if errs.AsError(err).Kind == errs.OriginRefused {
		removeCORS(c.w.Header())
	} else if c.redirectToPage(refusal.Code) ||
		redirect(c.w, c.r, c.line.image, c.line.image.ID, strconv.Itoa(refusal.Code)) {
		return
	}
	if problem != nil {
		c.w.Note(cfapi.WriteProblem(c.w, &refusal, *problem))
		return
	}
	c.w.Note(cfapi.WriteError(c.w, &refusal))
}

// accepted answers a status with an image, and counts it if this request has uploaded it.
func (c *call) accepted(img images.UploadedImage, status int) error {
	if c.counts {
		c.Core.CountUpload(img.Account, nil)
	}
	draft := c.line.image
	c.line.image = img.Image
	if redirect(c.w, c.r, draft, img.ID, statusOK) || c.redirectToPage(0) {
		return nil
	}
	_, body, err := cfapi.EncodeResult(c.result(img))
	if err != nil {
		return err
	}
	c.w.Note(cfapi.Write(c.w, status, body))
	return nil
}

// result returns the answer of an accepted upload, which is the same on every way.
func (in *intake) result(img images.UploadedImage) any {
	return in.URLs.Uploaded(img)
}

// A logLine holds what the log has of one request besides the attributes of httpframe: no ticket, no
// secret of a resumable upload, no metadata and no file name.
type logLine struct {
	image  images.Image // the draft; zero when it was not found
	reason string       // in the response; "" without a refusal
}

func (l *logLine) attrs(bodyBytes int64) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("account", l.image.Account), slog.String("image", l.image.ID),
		slog.String("key", l.image.Key), slog.Int64("bytes", bodyBytes),
	}
	if l.image.Creator != nil {
		attrs = append(attrs, slog.String("creator", *l.image.Creator))
	}
	if l.reason != "" {
		attrs = append(attrs, slog.String("reason", l.reason))
	}
	return attrs
}
