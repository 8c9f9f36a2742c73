// Package intake serves the one-time upload URL: an end user's browser posts a picture to it
// without any key, and the draft behind it becomes an image.
//
// The ticket in the query alone finds the draft; the path is decoration. The core admits a body
// before a byte of it is read, and decides what it is; this package reads the form, in time, and
// gives every outcome its wire form. Every answer, refusals included, carries CORS headers and an
// envelope, and the rest of the body is drained, within bounds, before it: a browser that is still
// sending when the connection ends shows its user a network error instead of the reason.
package intake

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/httpframe"
	"calotype/internal/images"
)

// Prefix is the beginning of every path that is served here.
const Prefix = "/upload/"

// Config configures the intake. Core, URLs and Log must be set.
type Config struct {
	Core *images.Service
	URLs cfapi.URLs
	Log  *slog.Logger
	Idle time.Duration // without a byte of a body; 0 for 30 s
	Time time.Duration // for a whole body; 0 for an hour
	// Observe returns the observer of the answers on a route; nil for none.
	Observe func(route string) func(status int, took time.Duration)
}

type intake struct {
	Config
	observe func(status int, took time.Duration)
}

// errMethod refuses a method.
var errMethod error = &cfapi.Error{Status: http.StatusMethodNotAllowed, Code: 5400, Final: true,
	Message: "Method not allowed: POST a form with the picture in the field file"}

// New returns the handler of everything under Prefix.
func New(c Config) http.Handler {
	c.Idle, c.Time = cmp.Or(c.Idle, 30*time.Second), cmp.Or(c.Time, time.Hour)
	in := &intake{Config: c}
	if c.Observe != nil {
		in.observe = c.Observe("upload")
	}
	return in
}

// ServeHTTP answers one request in the frame of httpframe.
func (in *intake) ServeHTTP(bare http.ResponseWriter, r *http.Request) {
	line := &logLine{}
	// Before the frame: a request that fails at any point has a body to drain.
	body := cfapi.NewBody(bare, r, cfapi.BodyLimits{
		Idle: in.Idle, Time: in.Time, Bytes: in.Core.MaxUploadBytes() + cfapi.FormOverhead,
	})
	httpframe.Frame{Message: "upload", Log: in.Log}.Serve(bare, r, func(w *httpframe.Response) error {
		cfapi.Prepare(w, r)
		setHeaders(w.Header(), r)
		w.Observe = in.observe
		w.Attrs = func() []slog.Attr { return line.attrs(body.BytesRead()) }
		return in.serve(w, r, body, line)
	}, func(w *httpframe.Response, err error) { in.refuse(w, r, err, body, line) })
}

// serve answers a request that is not refused.
func (in *intake) serve(w *httpframe.Response, r *http.Request, body *cfapi.Body, line *logLine) error {
	switch r.Method {
	case http.MethodOptions:
		setPreflightHeaders(w.Header(), r)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case http.MethodPost:
		result, err := in.post(r, body, line)
		if err != nil {
			return err
		}
		in.Core.CountUpload(nil)
		w.Note(cfapi.WriteResult(w, result))
		return nil
	}
	return errMethod
}

// refuse answers with err. The rest of the body is drained before.
func (in *intake) refuse(w *httpframe.Response, r *http.Request, err error, body *cfapi.Body, line *logLine) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		err = errs.ClientAborted(nil)
	}
	if r.Method == http.MethodPost {
		in.Core.CountUpload(err)
	}
	refusal := cfapi.Refusal(err)
	w.Code, line.reason = refusal.Code, refusal.Message
	body.Drain()
	if errors.Is(err, errMethod) {
		w.Header().Set("Allow", allowedMethods)
	}
	if refusal.Status >= http.StatusInternalServerError {
		w.Note(err)
	}
	w.Note(cfapi.WriteError(w, refusal))
}

// post receives a form and turns the draft into an image.
func (in *intake) post(r *http.Request, b *cfapi.Body, line *logLine) (any, error) {
	if err := cfapi.CheckFileForm(r); err != nil {
		return nil, err
	}
	upload, err := in.Core.BeginUpload(r.Context(), images.UploadRequest{
		Ticket:         r.URL.Query().Get("ticket"),
		IdempotencyKey: r.Header.Get("Idempotency-Key"),
		Size:           r.ContentLength,
	})
	if of := new(images.DraftError); errors.As(err, &of) {
		line.image = of.Draft
	}
	if err != nil {
		return nil, err
	}
	defer upload.Close()
	line.image = upload.Draft()
	if err := cfapi.CheckDeclaredSize(r, in.Core.MaxUploadBytes()); err != nil {
		return nil, err
	}
	filename, err := cfapi.ReadFileForm(r, b, upload, ignore)
	if err != nil {
		return nil, upload.Refuse(r.Context(), err)
	}
	img, err := upload.Finish(r.Context(), filename)
	if err != nil {
		return nil, err
	}
	return in.URLs.Uploaded(img), nil
}

// ignore passes over a field: only the file is taken, and nothing is ever fetched.
func ignore(string, io.Reader) error { return nil }

// A logLine holds what the log has of one request besides the attributes of httpframe: no ticket, no
// metadata and no file name.
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
