package v4

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"calotype/internal/errs"
)

const (
	drainBytes = 128 << 20 // read and dropped before a refusal
	drainTime  = 30 * time.Second
	drainIdle  = 5 * time.Second // one that sends nothing waits for the answer
)

// A body must bring leastRate bytes a second on average over rateWindow, which is also the grace at
// its beginning. Else a few bytes a minute would hold a connection, a file and a share of the spool
// for as long as a body may take.
const (
	leastRate  = 4 << 10
	rateWindow = 30 * time.Second
	rateStep   = time.Second // between two marks
)

// BodyLimits bound a Body.
type BodyLimits struct {
	Idle  time.Duration // without a byte
	Time  time.Duration // for the whole
	Bytes int64
}

// A Body is a request's body that must keep coming: a read fails when nothing came for a while,
// when the whole takes too long, or when there are more bytes than a form may have.
type Body struct {
	io.ReadCloser
	control *http.ResponseController
	limits  BodyLimits
	until   time.Time
	read    int64
	waited  time.Duration // in reads: what the server does with the bytes is not the client's time
	marks   []rateMark    // of the last rateWindow, and the last one before it
	expects bool          // the client waits for "100 Continue" before it sends
	err     error         // what ended the body; io.EOF when it is complete
}

// A rateMark is how much of a body had come at a moment of its waiting time.
type rateMark struct {
	waited time.Duration
	read   int64
}

// NewBody returns the body of r, whose time begins now. It does not take its place in r: net/http
// must find the body it made in its own request, or it reads on where the client still waits for
// "100 Continue".
func NewBody(w http.ResponseWriter, r *http.Request, limits BodyLimits) *Body {
	return &Body{
		ReadCloser: r.Body, control: http.NewResponseController(w),
		limits: limits, until: time.Now().Add(limits.Time),
		marks: []rateMark{{}}, expects: r.Header.Get("Expect") != "",
	}
}

// BytesRead returns how many bytes have come.
func (b *Body) BytesRead() int64 { return b.read }

// Read returns an *errs.Error for what the body is to blame for.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	deadline := time.Now().Add(b.limits.Idle)
	if b.until.Before(deadline) {
		deadline = b.until
	}
	if err := b.control.SetReadDeadline(deadline); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("setting a deadline: %w", err)
	}
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(began)
	b.read += int64(n)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = b.tooSlow()
	case err != nil && err != io.EOF:
		err = errs.Errorf(errs.Aborted, "The request was aborted by the client")
	case b.read > b.limits.Bytes:
		n, err = 0, errs.Errorf(errs.TooLarge, "The request is larger than the %d bytes allowed",
			b.limits.Bytes)
	case err == nil && b.crawls():
		n, err = 0, errs.Errorf(errs.TooSlow, "The upload came too slowly: at least %d bytes a "+
			"second must come, over any %v; send a smaller file, or over a faster connection",
			leastRate, rateWindow)
	}
	if err == io.EOF {
		// Else the deadline would pass for a broken connection while the picture is decoded.
		if err := b.control.SetReadDeadline(time.Time{}); err != nil &&
			!errors.Is(err, http.ErrNotSupported) {
			return n, fmt.Errorf("lifting a deadline: %w", err)
		}
	}
	b.err = err
	return n, err
}

// tooSlow says which deadline has passed.
func (b *Body) tooSlow() error {
	if time.Now().Before(b.until) {
		return errs.Errorf(errs.TooSlow, "The upload came too slowly: nothing came for %v; "+
			"send it again, over a connection that holds", b.limits.Idle)
	}
	return errs.Errorf(errs.TooSlow, "The upload came too slowly: it must be complete within "+
		"%v; send a smaller file, or over a faster connection", b.limits.Time)
}

// crawls reports whether less than the least rate has come over the last rateWindow.
func (b *Body) crawls() bool {
	if b.waited-b.marks[len(b.marks)-1].waited >= rateStep {
		b.marks = append(b.marks, rateMark{b.waited, b.read})
	}
	for len(b.marks) > 1 && b.waited-b.marks[1].waited >= rateWindow {
		b.marks = b.marks[1:]
	}
	over := b.waited - b.marks[0].waited
	return over >= rateWindow && float64(b.read-b.marks[0].read) < leastRate*over.Seconds()
}

// Drain reads what is left of the body, so that a client that sends first and listens later gets
// the answer. One that waits to be told to go on is simply not told.
func (b *Body) Drain() {
	if b.expects && b.read == 0 {
		return
	}
	if errs.AsError(b.err).Kind == errs.TooLarge {
		b.err = nil
	}
	b.limits.Bytes = b.read + drainBytes
	b.until, b.limits.Idle = time.Now().Add(drainTime), min(b.limits.Idle, drainIdle)
	_, _ = io.Copy(io.Discard, b) // the answer is sent whatever came of it
}
