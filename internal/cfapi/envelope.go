package cfapi

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
	Code       int    // Cloudflare's code if it has one
	Message    string // one sentence, shown to the client
	RetryAfter time.Duration
	// Final: a repeated request fails too. The official SDKs retry 408, 409, 429 and 5xx unless x-should-retry is
	// false, and a repeated upload is expensive.
	Final bool
}

func (e *Error) Error() string { return fmt.Sprintf("%d/%d %s", e.Status, e.Code, e.Message) }

// WithInfo is a result whose envelope also has the key result_info, null if Info is nil.
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

// An envelope has its keys in the recorded order.
type envelope struct {
	Result   any    `json:"result"`
	Info     *any   `json:"result_info,omitempty"` // nil: no such key; a nil value: null
	Success  bool   `json:"success"`
	Errors   []item `json:"errors"`
	Messages []item `json:"messages"`
}

type item struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Prepare sets the request id and the common headers of the answer, and returns the request id.
func Prepare(w http.ResponseWriter, r *http.Request) (requestID string) {
	requestID = requestid.Give(w, r)
	h := w.Header()
	h.Set("Cache-Control", "no-store") // answers hold one-time URLs
	h.Set("X-Content-Type-Options", "nosniff")
	return requestID
}

// contentType is the Content-Type of all answers in this wire format.
const contentType = "application/json; charset=UTF-8"

// WriteResult answers 200 with result, or with the form of a WithInfo, WithMessage or Created. If result
// has no JSON form, it answers 500 instead. The error is for the log only: the client has an answer.
func WriteResult(w http.ResponseWriter, result any) error {
	status, body, err := EncodeResult(result)
	if err != nil {
		return unencoded(w, err)
	}
	return Write(w, status, body)
}

// EncodeResult returns the body that WriteResult sends. Error: result has no JSON form.
func EncodeResult(result any) (status int, body []byte, err error) {
	status, e := enveloped(result)
	body, err = encode(e)
	if err != nil {
		return 0, nil, fmt.Errorf("encoding a result: %w", err)
	}
	return status, body, nil
}

// enveloped returns the status and the envelope of a result.
func enveloped(result any) (status int, e envelope) {
	status, e = http.StatusOK, envelope{Result: result, Success: true, Errors: []item{}, Messages: []item{}}
	switch r := result.(type) {
	case WithInfo:
		e.Result, e.Info = r.Result, &r.Info
	case Created:
		status, e.Result = http.StatusCreated, r.Result
	case WithMessage:
		e.Result, e.Messages = r.Result, []item{{r.Code, r.Message}}
	}
	return status, e
}

// unencoded answers 500 instead of a result without a JSON form, and returns the error for the log.
func unencoded(w http.ResponseWriter, err error) error {
	return errors.Join(err, WriteError(w, &Error{
		Status: http.StatusInternalServerError, Code: codeUnforeseen, Message: unforeseen,
	}))
}

// WriteError answers with a refusal. The caller sets special headers, such as Allow, before. The error is for the
// log only.
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
		message += "; the request's id is " + id // to find its lines in the log
	}
	body, err := encode(envelope{Errors: []item{{e.Code, message}}, Messages: []item{}})
	if err != nil {
		return fmt.Errorf("encoding a refusal: %w", err)
	}
	return Write(w, e.Status, body)
}

// Write sends a complete answer. For HEAD net/http sends the headers only, with the length of the body.
func Write(w http.ResponseWriter, status int, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}

// encode formats JSON as Cloudflare does.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := newEncoder(&b, "").Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// newEncoder returns an encoder that indents all lines after the first one. It does not escape HTML
// characters: URLs hold & and clients show messages as text.
func newEncoder(b *bytes.Buffer, indent string) *json.Encoder {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(indent, "  ")
	return enc
}
