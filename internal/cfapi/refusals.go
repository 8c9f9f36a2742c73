package cfapi

import (
	"errors"
	"net/http"

	"calotype/internal/errs"
)

// The answer to an internal error; WriteError adds the request's id.
const (
	codeUnforeseen = 5500
	unforeseen     = "Internal Server Error"
)

// refusals is the table of the API and of the one-time upload URL from kinds of errors to statuses and codes. Codes
// are Cloudflare's if it has one; 5410, 5423, 5429, 5456 and 5457 are ours. final: a repeated request fails too. The
// table also has the kinds that only deliveries use; deliveries have a separate table, delivery.errorTable.
var refusals = [...]struct {
	status int
	code   int
	final  bool
}{
	errs.Internal:         {http.StatusInternalServerError, codeUnforeseen, false},
	errs.Unauthenticated:  {http.StatusUnauthorized, 10000, true},
	errs.Forbidden:        {http.StatusForbidden, 10000, true},
	errs.AccountUnknown:   {http.StatusForbidden, 10000, true},
	errs.Invalid:          {http.StatusBadRequest, 5400, true},
	errs.InvalidID:        {http.StatusBadRequest, 5411, true},
	errs.ImageNotFound:    {http.StatusNotFound, 5404, true},
	errs.VariantNotFound:  {http.StatusNotFound, 5401, true},
	errs.KeyNotFound:      {http.StatusNotFound, 5404, true},
	errs.WebhookNotFound:  {http.StatusNotFound, 5404, true},
	errs.PolicyNotFound:   {http.StatusNotFound, 5404, true},
	errs.EntryNotFound:    {http.StatusNotFound, 5404, true},
	errs.WebhookRefused:   {http.StatusBadRequest, 5402, true},
	errs.Exists:           {http.StatusConflict, 5409, true},
	errs.TicketUnknown:    {http.StatusNotFound, 5404, true},
	errs.TicketUsed:       {http.StatusConflict, 5409, true},
	errs.TicketInvalid:    {http.StatusGone, 5410, true},
	errs.TicketBusy:       {http.StatusTooManyRequests, 5429, false},
	errs.OffsetMismatch:   {http.StatusConflict, 5409, true},
	errs.PartialBusy:      {http.StatusLocked, 5423, false},
	errs.NotForm:          {http.StatusUnsupportedMediaType, 5415, true},
	errs.TooLarge:         {http.StatusRequestEntityTooLarge, 5413, true},
	errs.TooSlow:          {http.StatusRequestTimeout, 5408, false},
	errs.Aborted:          {http.StatusBadRequest, 5433, false},
	errs.Unsupported:      {http.StatusUnsupportedMediaType, 5455, true},
	errs.Undecodable:      {http.StatusUnprocessableEntity, 9422, true},
	errs.OverLimits:       {http.StatusUnprocessableEntity, 5443, true},
	errs.PolicyRefused:    {http.StatusUnprocessableEntity, 5456, true},
	errs.OriginRefused:    {http.StatusForbidden, 5456, true},
	errs.Blocked:          {http.StatusUnprocessableEntity, 5457, true},
	errs.FetchFailed:      {http.StatusBadRequest, 5454, true},
	errs.SignatureRefused: {http.StatusForbidden, 9425, true},
	errs.RenditionFailed:  {http.StatusInternalServerError, 9516, true},
	errs.LimitReached:     {http.StatusForbidden, 5453, true},
	errs.AccountSuspended: {http.StatusForbidden, 5403, true},
	errs.RateLimited:      {http.StatusTooManyRequests, 5429, false},
	errs.Busy:             {http.StatusServiceUnavailable, 5503, false},
	errs.NoSpace:          {http.StatusInsufficientStorage, 5540, true},
}

// Refusal returns the wire form of err for the client: an *Error unchanged, an *errs.Error by the table refusals.
// Any other error becomes an internal error without details.
func Refusal(err error) *Error {
	if wire := new(Error); errors.As(err, &wire) {
		return wire
	}
	e := errs.AsError(err)
	if e.Kind < 0 || int(e.Kind) >= len(refusals) {
		e = &errs.Error{Kind: errs.Internal}
	}
	w, message := refusals[e.Kind], e.Msg
	if e.Kind == errs.Internal {
		message = unforeseen
	} else if message == "" {
		message = http.StatusText(w.status)
	}
	return &Error{
		Status: w.status, Code: w.code, Message: message, RetryAfter: e.RetryAfter, Final: w.final,
	}
}
