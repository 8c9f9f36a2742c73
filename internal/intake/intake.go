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
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/v4"
)

// Prefix is the beginning of every path that is served here.
const Prefix = "/upload/"

// Config is what the intake needs.
type Config struct {
	Core *images.Service
	URLs v4.URLs
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

// New returns the handler of everything under Prefix.
func New(c Config) http.Handler {
	if c.Idle == 0 {
		c.Idle = 30 * time.Second
	}
	if c.Time == 0 {
		c.Time = time.Hour
	}
	in := &intake{Config: c, observe: func(int, time.Duration) {}}
	if c.Observe != nil {
		in.observe = c.Observe("upload")
	}
	return in
}

// ServeHTTP answers one request and writes one line about it to the log. Neither the path nor the
// query is logged: they hold the ticket.
func (in *intake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	requestID := v4.Prepare(w, r)
	setHeaders(w.Header(), r)
	b := v4.NewBody(w, r, v4.BodyLimits{
		Idle: in.Idle, Time: in.Time, Bytes: in.Core.MaxUploadBytes + v4.FormOverhead,
	})
	line := logLine{requestID: requestID, method: r.Method[:min(len(r.Method), 16)], status: http.StatusOK}
	result, err := in.answer(r, b, &line)
	switch {
	case err != nil:
		refusal := v4.Refusal(err)
		line.status, line.code, line.reason = refusal.Status, refusal.Code, refusal.Message
		b.Drain()
		if errors.Is(err, errMethod) {
			w.Header().Set("Allow", allowedMethods)
		}
		err = errors.Join(unforeseen(err), v4.WriteError(w, refusal))
	case result == nil: // a preflight
		setPreflightHeaders(w.Header(), r)
		line.status = http.StatusNoContent
		w.WriteHeader(line.status)
	default:
		err = v4.WriteResult(w, result)
	}
	line.err, line.bytes, line.took = err, b.BytesRead(), time.Since(start)
	in.observe(line.status, line.took)
	line.write(r.Context(), in.Log)
}

// answer returns the result of a request, nil for a preflight.
func (in *intake) answer(r *http.Request, b *v4.Body, line *logLine) (result any, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			result, err = nil, fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
		}
		if r.Method == http.MethodPost {
			in.Core.CountUpload(err)
		}
	}()
	switch r.Method {
	case http.MethodOptions:
		return nil, nil
	case http.MethodPost:
		result, err = in.post(r, b, line)
		if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
			err = errs.Errorf(errs.Aborted, "The request was aborted by the client")
		}
		return result, err
	}
	return nil, errMethod
}

// post receives a form and turns the draft into an image.
func (in *intake) post(r *http.Request, b *v4.Body, line *logLine) (any, error) {
	if err := v4.CheckFileForm(r); err != nil {
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
	variants, err := in.variants(r.Context(), upload)
	if err != nil {
		return nil, err
	}
	if err := v4.CheckDeclaredSize(r, in.Core.MaxUploadBytes); err != nil {
		return nil, err
	}
	filename, err := v4.ReadFileForm(r, b, upload, ignore)
	if err != nil {
		return nil, upload.Refuse(r.Context(), err)
	}
	img, err := upload.Finish(r.Context(), filename)
	if err != nil {
		return nil, err
	}
	return v4.WithInfo{Result: v4.UploaderImage(img, variants)}, nil
}

// ignore passes over a field: only the file is taken, and nothing is ever fetched.
func ignore(string, io.Reader) error { return nil }

// variants returns the delivery URLs of the image to be. They are read before the ticket is used:
// after that no step may fail.
func (in *intake) variants(ctx context.Context, upload *images.Upload) ([]string, error) {
	draft := upload.Draft()
	account, err := in.Core.Account(ctx, draft.Account)
	if err != nil {
		return nil, err
	}
	names, err := in.Core.VariantNames(ctx, draft.Account)
	if err != nil {
		return nil, err
	}
	return in.URLs.Variants(account.Hash, draft.ID, names), nil
}
