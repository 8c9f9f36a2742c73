package delivery

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"calotype/internal/errs"
	"calotype/internal/httpframe"
)

// codeRequest is Cloudflare's code for parameters of HTTP itself that cannot be served.
const codeRequest = 9424

// An errorRow is the wire form of a kind of error. sentence is the message of an error without a message.
type errorRow struct {
	status, code int
	sentence     string
}

// defaultRow is the row of the kinds that are not in errorTable, because only other surfaces answer with them. The
// message of such an error is logged, not sent.
var defaultRow = errorRow{http.StatusInternalServerError, 9523, "Internal server error"}

// errorTable is the table of deliveries from kinds of errors to statuses and codes, all Cloudflare's. The API and
// the upload URL have a separate table, cfapi.refusals. Of Forbidden, deliveries have one case: flexible variants.
var errorTable = map[errs.Kind]errorRow{
	errs.Forbidden:        {http.StatusForbidden, 9429, "This is not enabled for the account"},
	errs.AccountUnknown:   {http.StatusForbidden, 9427, "There is no account of this hash"},
	errs.Invalid:          {http.StatusBadRequest, 9432, "Bad request"},
	errs.InvalidID:        {http.StatusNotFound, 9431, "Image not found"},
	errs.ImageNotFound:    {http.StatusNotFound, 9431, "Image not found"},
	errs.VariantNotFound:  {http.StatusForbidden, 9425, "The account has no such variant"},
	errs.Aborted:          {http.StatusBadGateway, 9528, "The client ended the request"},
	errs.Unsupported:      {http.StatusUnsupportedMediaType, 9520, "Unsupported format"},
	errs.Undecodable:      {http.StatusUnprocessableEntity, 9516, "The image cannot be decoded"},
	errs.OverLimits:       {http.StatusForbidden, 9413, "The image is too large to transform"},
	errs.SignatureRefused: {http.StatusForbidden, 9425, "Image access denied"},
	errs.RenditionFailed:  {http.StatusInternalServerError, 9516, "Encoding failed"},
	errs.AccountSuspended: {http.StatusForbidden, 9427, "The account is suspended"},
	errs.RateLimited:      {http.StatusTooManyRequests, 9422, "Too many new pictures"},
	errs.Busy:             {http.StatusServiceUnavailable, 9529, "The server is busy"},
	errs.NoSpace:          {http.StatusServiceUnavailable, 9529, "The server is out of space"},
}

// A refusal is an error in its wire form. Refusals of HTTP itself, which have no Kind, are created in this form.
type refusal struct {
	status, code int
	sentence     string
	retryAfter   time.Duration // 0 is "not said"
	cause        error         // for the log only
}

func (e *refusal) Error() string { return fmt.Sprintf("%d/%d %s", e.status, e.code, e.sentence) }

func (e *refusal) Unwrap() error { return e.cause }

// wireError returns the wire form of err. For a kind without a row the client gets only the request's id.
func wireError(ctx context.Context, err error, requestID string) *refusal {
	var made *refusal
	if errors.As(err, &made) {
		return made
	}
	e := errs.AsError(err)
	if e.Kind == errs.Internal && errors.Is(err, context.Canceled) && ctx.Err() != nil {
		e = &errs.Error{Kind: errs.Aborted, Err: err}
	}
	row, known := errorTable[e.Kind]
	if !known {
		row = defaultRow
	}
	sent := &refusal{status: row.status, code: row.code, sentence: row.sentence, retryAfter: e.RetryAfter}
	switch {
	case !known:
		sent.sentence += "; the request's id is " + requestID
		sent.retryAfter = 0
	case e.Msg != "":
		sent.sentence = e.Msg
	}
	if row.status == http.StatusServiceUnavailable {
		sent.retryAfter = max(sent.retryAfter, time.Second)
	}
	if e.Err != nil || row.status >= http.StatusInternalServerError {
		sent.cause = err
	}
	return sent
}

func (d *delivery) refuse(w *httpframe.Response, r *http.Request, err error, line *logLine) {
	e := wireError(r.Context(), err, w.RequestID)
	line.refusal, w.Code = e, e.code
	if e.status == http.StatusInternalServerError || e.status == http.StatusServiceUnavailable {
		w.Note(e.cause)
	}
	h := w.Header()
	for _, name := range pictureHeaders {
		h.Del(name)
	}
	body := fmt.Sprintf("ERROR %d: %s\n", e.code, e.sentence)
	h.Set("Cache-Control", "no-store")
	h.Set("Cf-Resized", fmt.Sprintf("err=%d", e.code))
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Content-Type", "text/plain; charset=utf-8")
	if e.retryAfter > 0 {
		seconds := (e.retryAfter + time.Second - 1) / time.Second
		h.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		w.Write([]byte(body)) // w records the error
	}
}
