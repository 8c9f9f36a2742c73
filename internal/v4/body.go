package v4

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"calotype/internal/images"
)

const (
	drainBytes = 128 << 20 // read and dropped before a refusal
	drainTime  = 30 * time.Second
	drainIdle  = 5 * time.Second // one that sends nothing waits for the answer
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
	expects bool  // the client waits for "100 Continue" before it sends
	err     error // what ended the body; io.EOF when it is complete
}

// NewBody returns the body of r, whose time begins now. It does not take its place in r: net/http
// must find the body it made in its own request, or it reads on where the client still waits for
// "100 Continue".
func NewBody(w http.ResponseWriter, r *http.Request, limits BodyLimits) *Body {
	return &Body{
		ReadCloser: r.Body, control: http.NewResponseController(w),
		limits: limits, until: time.Now().Add(limits.Time),
		expects: r.Header.Get("Expect") != "",
	}
}

// BytesRead returns how many bytes have come.
func (b *Body) BytesRead() int64 { return b.read }

// Read returns an *images.Error for what the body is to blame for.
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
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = images.Errorf(images.TooSlow, "The upload came too slowly: nothing for %v, "+
			"or longer in all than is allowed", b.limits.Idle)
	case err != nil && err != io.EOF:
		err = images.Errorf(images.Aborted, "The request was aborted by the client")
	case b.read > b.limits.Bytes:
		n, err = 0, images.Errorf(images.TooLarge, "The request is larger than the %d bytes allowed",
			b.limits.Bytes)
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

// Drain reads what is left of the body, so that a client that sends first and listens later gets
// the answer. One that waits to be told to go on is simply not told.
func (b *Body) Drain() {
	if b.expects && b.read == 0 {
		return
	}
	if images.AsError(b.err).Kind == images.TooLarge {
		b.err = nil
	}
	b.limits.Bytes = b.read + drainBytes
	b.until, b.limits.Idle = time.Now().Add(drainTime), min(b.limits.Idle, drainIdle)
	_, _ = io.Copy(io.Discard, b) // the answer is sent whatever came of it
}
