package cfapi

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
	drainBytes = 128 << 20 // read and discarded before a refusal
	drainTime  = 30 * time.Second
	drainIdle  = 5 * time.Second // a client that sends nothing waits for the answer
)

// A client must send leastRate bytes a second on average over rateWindow, which is also the grace period
// at the start of a body. Otherwise a few bytes a minute would occupy a connection, a file and a share of
// the spool for the maximal time of a body.
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

// A Body is a request's body with limits: a read fails if no bytes arrive for BodyLimits.Idle, if the
// whole takes longer than BodyLimits.Time, or if the body has more bytes than a form may have.
type Body struct {
	io.ReadCloser
	control *http.ResponseController
	limits  BodyLimits
	until   time.Time
	read    int64
	waited  time.Duration // in reads; the server's processing time does not count
	marks   []rateMark    // those of the last rateWindow, and the last one before it
	expects bool          // the client waits for "100 Continue" before it sends
	err     error         // the error that ended the body; io.EOF if it is complete
}

// A rateMark holds the number of bytes received at a time, in waiting time.
type rateMark struct {
	waited time.Duration
	read   int64
}

// NewBody returns the body of r, whose time begins now. It does not replace r.Body: net/http must find its
// body in the request, or it reads on while the client still waits for "100 Continue".
func NewBody(w http.ResponseWriter, r *http.Request, limits BodyLimits) *Body {
	return &Body{
		ReadCloser: r.Body, control: http.NewResponseController(w),
		limits: limits, until: time.Now().Add(limits.Time),
		marks: []rateMark{{}}, expects: r.Header.Get("Expect") != "",
	}
}

// BytesRead returns the number of bytes received.
func (b *Body) BytesRead() int64 { return b.read }

// Read returns an *errs.Error for faults of the body: Aborted, TooLarge or TooSlow.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	deadline := time.Now().Add(b.limits.Idle)
	if b.until.Before(deadline) {
		deadline = b.until
	}
	if err := SetReadDeadline(b.control, deadline); err != nil {
		return 0, err
	}
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.waited += time.Since(began)
	b.read += int64(n)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = b.tooSlow()
	case err != nil && err != io.EOF:
		err = errs.ClientAborted(nil)
	case b.read > b.limits.Bytes:
		n, err = 0, errs.Errorf(errs.TooLarge, "The request is larger than the %d bytes allowed",
			b.limits.Bytes)
	case err == nil && b.crawls():
		n, err = 0, errs.Errorf(errs.TooSlow, "The upload came too slowly: at least %d bytes a "+
			"second must come, over any %v; send a smaller file, or over a faster connection",
			leastRate, rateWindow)
	}
	if err == io.EOF {
		// Otherwise the deadline would expire while the picture is decoded, and count as a broken
		// connection.
		if err := SetReadDeadline(b.control, time.Time{}); err != nil {
			return n, err
		}
	}
	b.err = err
	return n, err
}

// SetReadDeadline sets the deadline of a request's body; zero for none.
func SetReadDeadline(control *http.ResponseController, deadline time.Time) error {
	err := control.SetReadDeadline(deadline)
	if err != nil && !errors.Is(err, http.ErrNotSupported) { // a test's recorder has none
		return fmt.Errorf("setting the deadline of a body: %w", err)
	}
	return nil
}

// tooSlow returns the error for the expired deadline.
func (b *Body) tooSlow() error {
	if time.Now().Before(b.until) {
		return errs.Errorf(errs.TooSlow, "The upload came too slowly: nothing came for %v; "+
			"send it again, over a connection that holds", b.limits.Idle)
	}
	return errs.Errorf(errs.TooSlow, "The upload came too slowly: it must be complete within "+
		"%v; send a smaller file, or over a faster connection", b.limits.Time)
}

// crawls reports whether the rate over the last rateWindow is below leastRate.
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

// Drain reads the rest of the body, so that a client that reads the answer only after sending gets it. A
// client that waits for "100 Continue" does not get it, and reads the answer at once.
func (b *Body) Drain() {
	if b.expects && b.read == 0 {
		return
	}
	if errs.AsError(b.err).Kind == errs.TooLarge {
		b.err = nil
	}
	b.limits.Bytes = b.read + drainBytes
	b.until, b.limits.Idle = time.Now().Add(drainTime), min(b.limits.Idle, drainIdle)
	_, _ = io.Copy(io.Discard, b) // the answer is sent in any case
}
