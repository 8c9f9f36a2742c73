// Package httpframe is the frame of a request on every surface: the request id, write deadlines for slow
// readers, recovery of panics, metrics, the span of a trace and one line in the log.
package httpframe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"calotype/internal/limit"
	"calotype/internal/requestid"
	"calotype/internal/trace"
)

const (
	// ChunkSize is the number of bytes of a body that share one write deadline.
	ChunkSize = 64 << 10
	// MaxMethod bounds the method in the log, in bytes: a client may send any text.
	MaxMethod = 16
)

// A Frame is the frame of one surface.
type Frame struct {
	Message string // message of its log lines
	Log     *slog.Logger
	// Quiet logs failed requests only.
	Quiet bool
	// Tracer starts the traces of requests; nil for none.
	Tracer *trace.Tracer
	// Public: refusals below 500 are no failures in traces, because any stranger causes them.
	Public bool
}

// A Response is the http.ResponseWriter of one request. It records what was sent, and closes the connection
// of a client that reads slower than Pace allows. It carries what the log and the metrics need.
type Response struct {
	http.ResponseWriter
	Pace      limit.Pace
	RequestID string

	Status int   // 0 before the header is sent
	Bytes  int64 // of the body that were sent
	// SendErr is the first error of sending the body.
	SendErr error
	// Broken closes the connection at the end, so that no client takes the body for complete.
	Broken bool

	Code    int                                  // of a refusal; 0 for none
	Err     error                                // of the server, for the log; nil for none
	Attrs   func() []slog.Attr                   // more attributes of the log line; nil for none
	Observe func(status int, took time.Duration) // the metrics of the route; nil for none

	control     *http.ResponseController
	began       time.Time // zero before the first deadline
	deadlineSet bool      // and nothing was sent since
	panicked    bool

	traced *traced // nil without a Tracer, so that a request without traces costs nothing more
}

// New returns the Response of a request, which it gives an id. A w that is a Response is returned itself.
func New(w http.ResponseWriter, r *http.Request) *Response {
	if made, ok := w.(*Response); ok {
		return made
	}
	return &Response{ResponseWriter: w, Pace: limit.Readers, RequestID: requestid.Give(w, r),
		control: http.NewResponseController(w)}
}

// Serve answers a request by serve. If serve fails or panics, refuse answers, unless the header is sent
// already: then the connection is closed. At the end Serve calls Observe and writes the log line, which has
// neither the path nor the query: they name the client's business, and may hold a secret.
func (f Frame) Serve(bare http.ResponseWriter, r *http.Request,
	serve func(*Response) error, refuse func(*Response, error)) {
	start, w := time.Now(), New(bare, r)
	if f.Tracer != nil {
		w.traced = &traced{frame: f, arrived: start}
	}
	fail := func(err error) {
		if w.Status == 0 {
			refuse(w, err)
			return
		}
		w.Note(err)
		w.Broken = true
	}
	defer func() {
		if cause := recover(); cause != nil {
			w.panicked = true
			fail(fmt.Errorf("panic: %v\n%s", cause, debug.Stack()))
		}
		took := time.Since(start)
		if w.Observe != nil {
			w.Observe(w.Status, took)
		}
		w.endTrace(r)
		if !f.Quiet || w.Err != nil {
			f.log(w, r, took)
		}
		if w.Broken {
			panic(http.ErrAbortHandler)
		}
	}()
	if err := serve(w); err != nil {
		fail(err)
	}
}

// log writes the log line. Its level is Error with an Err; Warn if the server is busy, or if the request was
// cancelled, or its response not sent, because the client left. A panic is always an Error.
func (f Frame) log(w *Response, r *http.Request, took time.Duration) {
	attrs := []slog.Attr{
		slog.String("request_id", w.RequestID),
		slog.String("method", r.Method[:min(len(r.Method), MaxMethod)]),
	}
	if w.Attrs != nil {
		attrs = append(attrs, w.Attrs()...)
	}
	attrs = append(attrs, slog.Int("status", w.Status), slog.Int("code", w.Code),
		slog.Duration("took", took))
	if w.traced != nil {
		attrs = w.traced.span.Attrs(attrs)
	}
	level := slog.LevelInfo
	if w.Err != nil {
		level = slog.LevelError
		left := r.Context().Err() != nil && (errors.Is(w.Err, context.Canceled) || w.SendErr != nil)
		if !w.panicked && (w.Status == http.StatusServiceUnavailable || left) {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.Any("err", w.Err))
	}
	if w.SendErr != nil {
		attrs = append(attrs, slog.Any("cut", w.SendErr))
	}
	f.Log.LogAttrs(r.Context(), level, f.Message, attrs...)
}

// A traced is the trace of a request.
type traced struct {
	frame   Frame
	arrived time.Time
	span    *trace.Span // nil before Trace
}

// Trace starts the trace of a request, and returns the request to continue with: its context has the span. A trusted
// request may continue the trace of its caller. Without a Tracer, and after the first call, it returns r.
func (w *Response) Trace(r *http.Request, trusted bool) *http.Request {
	if w.traced == nil || w.traced.span != nil {
		return r
	}
	f := &w.traced.frame
	r, w.traced.span = f.Tracer.Serve(r, f.Message, w.traced.arrived, trusted)
	return r
}

// spanAttrs are the attributes of log lines that are attributes of spans too, with their names there.
var spanAttrs = map[string]string{"account": "calotype.account", "image": "calotype.image", "key": "calotype.key",
	"route": "http.route", "bytes": "calotype.bytes"}

// methods are the methods that spans name; other methods are text of a client.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions}

// endTrace ends the span of the request, which it starts if the request was refused before Trace.
func (w *Response) endTrace(r *http.Request) {
	if w.traced == nil {
		return
	}
	w.Trace(r, false)
	span := w.traced.span
	defer span.End(nil)
	if !span.Recording() {
		return
	}
	method := r.Method
	if !slices.Contains(methods, method) {
		method = "_OTHER"
	}
	span.Set(slog.String("http.request.method", method), slog.Int("http.response.status_code", w.Status),
		slog.String("calotype.request_id", w.RequestID))
	if w.Attrs != nil {
		for _, a := range w.Attrs() {
			if name := spanAttrs[a.Key]; name != "" && a.Value.String() != "" {
				span.Set(slog.Attr{Key: name, Value: a.Value})
			}
			if a.Key == "route" && a.Value.String() != "" {
				span.Name(method + " " + a.Value.String())
			}
		}
	}
	switch {
	case w.panicked:
		span.Fail("panic")
	case w.Code != 0 && (w.Status >= http.StatusInternalServerError || !w.traced.frame.Public):
		span.Fail(strconv.Itoa(w.Code))
	case w.Status >= http.StatusInternalServerError:
		span.Fail(strconv.Itoa(w.Status))
	case w.Err != nil:
		span.Fail(trace.Reason(w.Err))
	}
}

// Note adds an error that the client does not get to the log line; nil adds nothing.
func (w *Response) Note(err error) { w.Err = errors.Join(w.Err, err) }

// Unwrap is for http.ResponseController.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the header, and begins the time of the response.
func (w *Response) WriteHeader(status int) {
	w.Status = status
	_ = w.Sending(w.extend(w.Bytes))
	w.ResponseWriter.WriteHeader(status)
}

// Interim sends an interim answer, whose status is from 102 to 199, with these headers only, before the
// header of the answer is sent. It does not begin the time of the answer. A client of HTTP/1.0 gets none.
func (w *Response) Interim(r *http.Request, status int, headers http.Header) error {
	if !r.ProtoAtLeast(1, 1) || w.Status != 0 {
		return nil
	}
	err := w.control.SetWriteDeadline(time.Now().Add(w.Pace.Piece))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("setting a write deadline: %w", err)
	}
	h := w.Header()
	final := maps.Clone(h)
	clear(h)
	maps.Copy(h, headers)
	w.ResponseWriter.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
	return nil
}

// Write sends a part of the body in chunks, each with its own deadline.
func (w *Response) Write(p []byte) (n int, err error) {
	if w.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	for {
		chunk := p[n:min(n+ChunkSize, len(p))]
		if err := w.extend(w.Bytes); err != nil {
			return n, w.Sending(err)
		}
		w.deadlineSet = false
		m, err := w.ResponseWriter.Write(chunk)
		n += m
		w.Bytes += int64(m)
		if err != nil || n == len(p) {
			return n, w.Sending(err)
		}
	}
}

// ReadFrom sends a part of the body in chunks. A file goes to the connection by sendfile. Another source may
// be slow itself, such as a blob store. So it goes through Write, which sets the deadline after each read.
func (w *Response) ReadFrom(src io.Reader) (n int64, err error) {
	if w.Status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	// Package net finds the file through one LimitedReader, not through two.
	whole, limited := src.(*io.LimitedReader)
	if !limited {
		whole = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	if _, file := whole.R.(*os.File); !file {
		return io.CopyBuffer(afterRead{w}, src, make([]byte, ChunkSize))
	}
	for whole.N > 0 {
		if err := w.extend(w.Bytes); err != nil {
			return n, w.Sending(err)
		}
		w.deadlineSet = false
		chunk := &io.LimitedReader{R: whole.R, N: min(ChunkSize, whole.N)}
		m, err := io.Copy(w.ResponseWriter, chunk)
		n += m
		whole.N -= m
		w.Bytes += m
		if err != nil || chunk.N > 0 {
			return n, w.Sending(err)
		}
	}
	return n, nil
}

// afterRead writes what was read just now: the deadline of the header is of the time before.
type afterRead struct{ to *Response }

func (a afterRead) Write(p []byte) (int, error) {
	a.to.deadlineSet = false
	return a.to.Write(p)
}

// Extend sets the deadline of the next chunk of a body that is sent without Write and ReadFrom; sent are its
// bytes so far, which are not in Bytes yet.
func (w *Response) Extend(sent int64) error {
	w.deadlineSet = false
	return w.extend(w.Bytes + sent)
}

// extend sets the deadline of the next chunk; sent are the bytes of the body before it. net/http removes
// the deadline after the response.
func (w *Response) extend(sent int64) error {
	if w.deadlineSet {
		return nil
	}
	w.deadlineSet = true
	now := time.Now()
	if w.began.IsZero() {
		w.began = now
	}
	err := w.control.SetWriteDeadline(w.Pace.Deadline(w.began, now, sent+ChunkSize))
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // not a connection, as in some tests
		return fmt.Errorf("setting a write deadline: %w", err)
	}
	return nil
}

// Sending records the first error of sending, and returns err.
func (w *Response) Sending(err error) error {
	if err != nil && w.SendErr == nil {
		w.SendErr = fmt.Errorf("sending the body: %w", err)
	}
	return err
}
