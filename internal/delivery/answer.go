package delivery

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"calotype/internal/httprange"
	"calotype/internal/images"
	"calotype/internal/limit"
)

// An answer is the response of one request. It remembers for the log what was sent, and holds the
// reader to a pace: one that stands still or trickles loses its connection, and with it the file that
// it holds open.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	pace    limit.Pace
	began   time.Time // zero before the first deadline

	status int   // 0 before the header
	bytes  int64 // of the body
	err    error // why the body could not be sent whole

	fresh bool // a deadline was set and nothing was sent since
}

func newAnswer(w http.ResponseWriter, pace limit.Pace) *answer {
	return &answer{ResponseWriter: w, control: http.NewResponseController(w), pace: pace}
}

// piece is the number of bytes of a body with a separate deadline.
const piece = 64 << 10

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.note(a.extend(0))
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (n int, err error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	for {
		part := p[n:min(n+piece, len(p))]
		if err := a.extend(a.bytes); err != nil {
			return n, a.note(err)
		}
		a.fresh = false
		m, err := a.ResponseWriter.Write(part)
		n += m
		a.bytes += int64(m)
		if err != nil || n == len(p) {
			return n, a.note(err)
		}
	}
}

// ReadFrom keeps the way open for sendfile, by which the kernel copies a file to a connection.
func (a *answer) ReadFrom(src io.Reader) (n int64, err error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	// The kernel's way is found through one LimitedReader, not through two.
	whole, limited := src.(*io.LimitedReader)
	if !limited {
		whole = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	for whole.N > 0 {
		if err := a.extend(a.bytes); err != nil {
			return n, a.note(err)
		}
		a.fresh = false
		part := &io.LimitedReader{R: whole.R, N: min(piece, whole.N)}
		m, err := io.Copy(a.ResponseWriter, part)
		n += m
		whole.N -= m
		a.bytes += m
		if err != nil || part.N > 0 {
			return n, a.note(err)
		}
	}
	return n, nil
}

// extend sets the deadline of the next piece; sent are the bytes before it. The server lifts the
// deadline when the answer is complete.
func (a *answer) extend(sent int64) error {
	if a.fresh {
		return nil
	}
	a.fresh = true
	now := time.Now()
	if a.began.IsZero() {
		a.began = now
	}
	err := a.control.SetWriteDeadline(a.pace.Deadline(a.began, now, sent+piece))
	if errors.Is(err, http.ErrNotSupported) { // not a connection, as in some tests
		return nil
	}
	if err != nil {
		return fmt.Errorf("setting a write deadline: %w", err)
	}
	return nil
}

// note keeps the first error of the body.
func (a *answer) note(err error) error {
	if err != nil && a.err == nil {
		a.err = fmt.Errorf("sending a picture: %w", err)
	}
	return err
}

// serveWhole sends all of a rendition, as most clients want it; false when this one asks for a part
// or for nothing, which serveContent knows about. What is small and in memory goes out together
// with its header, in one write; a file goes by sendfile.
func (a *answer) serveWhole(r *http.Request, rendition images.Rendition) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, name := range conditions {
		if _, asked := r.Header[name]; asked {
			return false
		}
	}
	h := a.Header()
	h["Accept-Ranges"] = acceptRanges
	h["Content-Length"] = []string{strconv.FormatInt(rendition.Size, 10)}
	c := connOf(r.Context())
	switch {
	case rendition.Bytes == nil && c != nil:
		c.gather()
		a.note(a.sendFile(rendition))
		a.note(c.send())
	case rendition.Bytes == nil:
		n, err := io.Copy(a, rendition.Content)
		if err == nil && n < rendition.Size {
			a.note(io.ErrUnexpectedEOF)
		}
	case c != nil && len(rendition.Bytes) >= 2*firstSize: // less is one write to net/http too
		c.gather()
		a.Write(rendition.Bytes) // answer keeps the error
		a.note(c.send())
	default:
		a.Write(rendition.Bytes)
	}
	return true
}

// sendFile sends the whole of a file. The connection keeps the header until it comes.
func (a *answer) sendFile(rendition images.Rendition) error {
	a.WriteHeader(http.StatusOK)
	// With the header sent, net/http hands the file to the connection as it is.
	if err := a.control.Flush(); err != nil {
		return err
	}
	n, err := a.ResponseWriter.(io.ReaderFrom).ReadFrom(&filePart{
		file: rendition.File, size: rendition.Size,
		extend: func(sent int64) error { a.fresh = false; return a.extend(a.bytes + sent) },
	})
	a.bytes += n
	return err
}

// conditions are the headers by which a client asks for less than the whole, or under a condition
// other than If-None-Match, which was answered before.
var conditions = []string{
	"Range", "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
}

var acceptRanges = []string{"bytes"}

// maxRanges limits the ranges of an answer: each has a separate header.
const maxRanges = 10

// serveContent sends content, or the ranges of it that are asked for. A refusal by net/http, of a
// range outside of the picture or of a precondition, is returned in our own form.
func (a *answer) serveContent(r *http.Request, content io.ReadSeeker) error {
	switch refused := httprange.Serve(a, r, content); refused {
	case 0:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		return &refusal{status: refused, code: codeRequest,
			sentence: "The range is not within the picture"}
	case http.StatusPreconditionFailed:
		return &refusal{status: refused, code: codeRequest,
			sentence: "The picture is not the one that If-Match names"}
	default:
		return fmt.Errorf("delivery: net/http refused to serve a rendition with status %d", refused)
	}
}
