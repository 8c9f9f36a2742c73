package v4

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"calotype/internal/requestid"
)

// An Error is a refusal in its wire form.
type Error struct {
	Status     int
	Code       int    // of Cloudflare's tables where they have one
	Message    string // one sentence, shown to the client
	RetryAfter time.Duration
	// Final says that the same request would fail again. The official SDKs repeat 408, 409, 429
	// and 5xx unless told not to, and a repeated upload is expensive.
	Final bool
}

func (e *Error) Error() string { return fmt.Sprintf("%d/%d %s", e.Status, e.Code, e.Message) }

// WithInfo is a result whose envelope also has the key result_info, null when Info is nil.
type WithInfo struct {
	Result any
	Info   any
}

// WithMessage is a result whose envelope also has a message.
type WithMessage struct {
	Result  any
	Code    int
	Message string
}

// Created is a result that is answered with the status 201.
type Created struct{ Result any }

type envelope struct {
	Result   any    `json:"result"`
	Success  bool   `json:"success"`
	Errors   []item `json:"errors"`
	Messages []item `json:"messages"`
}

// envelopeWithInfo repeats the keys of envelope, since result_info has its recorded place among
// them and may be null.
type envelopeWithInfo struct {
	Result   any    `json:"result"`
	Info     any    `json:"result_info"`
	Success  bool   `json:"success"`
	Errors   []item `json:"errors"`
	Messages []item `json:"messages"`
}

type item struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Prepare gives the answer its request id, which it returns, and the headers that every answer in
// this wire carries.
func Prepare(w http.ResponseWriter, r *http.Request) (requestID string) {
	requestID = requestid.Give(w, r)
	h := w.Header()
	h.Set("Cache-Control", "no-store") // answers hold one-time URLs
	h.Set("X-Content-Type-Options", "nosniff")
	return requestID
}

// WriteResult answers 200 with result, or with another success where it is a WithInfo, WithMessage or
// Created. When result has no JSON form it answers 500 in its place. The error is for the log: an
// answer has been given.
func WriteResult(w http.ResponseWriter, result any) error {
	status := http.StatusOK
	var e any = envelope{result, true, []item{}, []item{}}
	switch r := result.(type) {
	case WithInfo:
		e = envelopeWithInfo{r.Result, r.Info, true, []item{}, []item{}}
	case Created:
		status = http.StatusCreated
		e = envelope{r.Result, true, []item{}, []item{}}
	case WithMessage:
		e = envelope{r.Result, true, []item{}, []item{{r.Code, r.Message}}}
	}
	body, err := encode(e)
	if err != nil {
		err = fmt.Errorf("encoding a result: %w", err)
		return errors.Join(err, WriteError(w, &Error{
			Status: http.StatusInternalServerError, Code: codeUnforeseen, Message: unforeseen,
		}))
	}
	return write(w, status, body)
}

// WriteError answers with a refusal. Headers that belong to it alone, such as Allow, are set
// before. The error is for the log.
func WriteError(w http.ResponseWriter, e *Error) error {
	h := w.Header()
	if e.Final {
		h.Set("X-Should-Retry", "false")
	}
	if e.RetryAfter > 0 {
		seconds := (e.RetryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	message := e.Message
	if id := h.Get(requestid.Header); e.Code == codeUnforeseen && id != "" {
		message += "; the request's id is " + id // by which the log says more
	}
	body, err := encode(envelope{nil, false, []item{{e.Code, message}}, []item{}})
	if err != nil {
		return fmt.Errorf("encoding a refusal: %w", err)
	}
	return write(w, e.Status, body)
}

// write sends a whole answer. To HEAD net/http sends the headers only; the length is the body's.
func write(w http.ResponseWriter, status int, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}

// encode prints as the service does. HTML characters stay as they are: URLs hold & and clients show
// messages as text.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
