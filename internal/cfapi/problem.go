package cfapi

import (
	"fmt"
	"net/http"
	"strconv"
)

// A Problem is what a refusal says to clients of the resumable uploads of the IETF, as RFC 9457 has it.
type Problem struct {
	Type  string `json:"type"` // a URI
	Title string `json:"title"`
	// The offsets of a mismatch; nil for another problem.
	Expected *int64 `json:"expected-offset,omitempty"`
	Provided *int64 `json:"provided-offset,omitempty"`
}

// WriteProblem answers like WriteError. The body is a problem and an envelope in one object: the members of
// the envelope are extension members of the problem.
func WriteProblem(w http.ResponseWriter, e *Error, p Problem) error {
	body, err := encode(struct {
		Problem
		Status int `json:"status"`
		envelope
	}{p, e.Status, envelope{Errors: []item{{e.Code, e.Message}}, Messages: []item{}}})
	if err != nil {
		return fmt.Errorf("encoding a problem: %w", err)
	}
	h := w.Header()
	if e.Final {
		h.Set("X-Should-Retry", "false")
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("writing an answer: %w", err)
	}
	return nil
}
