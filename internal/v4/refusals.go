package v4

import (
	"errors"
	"net/http"

	"calotype/internal/images"
)

// What a client is told of what is unforeseen; WriteError adds the request's id.
const (
	codeUnforeseen = 5500
	unforeseen     = "Internal Server Error"
)

// refusals is the one table from what the core refuses to its form in this wire. Codes are
// Cloudflare's where they have one; 5410 and 5429 are ours. With final, the same request would
// fail again. Kinds that only deliveries know stand here too, so that none is ever unforeseen.
var refusals = [...]struct {
	status int
	code   int
	final  bool
}{
	images.Internal:         {http.StatusInternalServerError, codeUnforeseen, false},
	images.Unauthenticated:  {http.StatusUnauthorized, 10000, true},
	images.Forbidden:        {http.StatusForbidden, 10000, true},
	images.AccountUnknown:   {http.StatusForbidden, 10000, true},
	images.Invalid:          {http.StatusBadRequest, 5400, true},
	images.InvalidID:        {http.StatusBadRequest, 5411, true},
	images.ImageNotFound:    {http.StatusNotFound, 5404, true},
	images.VariantNotFound:  {http.StatusNotFound, 5401, true},
	images.KeyNotFound:      {http.StatusNotFound, 5404, true},
	images.WebhookNotFound:  {http.StatusNotFound, 5404, true},
	images.PolicyNotFound:   {http.StatusNotFound, 5404, true},
	images.WebhookRefused:   {http.StatusBadRequest, 5402, true},
	images.Exists:           {http.StatusConflict, 5409, true},
	images.TicketUnknown:    {http.StatusNotFound, 5404, true},
	images.TicketUsed:       {http.StatusConflict, 5409, true},
	images.TicketDead:       {http.StatusGone, 5410, true},
	images.TicketCrowded:    {http.StatusTooManyRequests, 5429, false},
	images.NotForm:          {http.StatusUnsupportedMediaType, 5415, true},
	images.TooLarge:         {http.StatusRequestEntityTooLarge, 5413, true},
	images.TooSlow:          {http.StatusRequestTimeout, 5408, false},
	images.Aborted:          {http.StatusBadRequest, 5433, false},
	images.Unsupported:      {http.StatusUnsupportedMediaType, 5455, true},
	images.Undecodable:      {http.StatusUnprocessableEntity, 9422, true},
	images.OverLimits:       {http.StatusUnprocessableEntity, 5443, true},
	images.FetchFailed:      {http.StatusBadRequest, 5454, true},
	images.SignatureRefused: {http.StatusForbidden, 9425, true},
	images.RenditionFailed:  {http.StatusInternalServerError, 9516, true},
	images.LimitReached:     {http.StatusForbidden, 5453, true},
	images.RateReached:      {http.StatusTooManyRequests, 5429, false},
	images.AccountSuspended: {http.StatusForbidden, 5403, true},
	images.Busy:             {http.StatusServiceUnavailable, 5503, false},
	images.NoSpace:          {http.StatusInsufficientStorage, 5540, true},
}

// Refusal returns what the client is told of err: an *Error as it is, what the core refuses by the
// table. Of what is unforeseen the client gets no detail.
func Refusal(err error) *Error {
	if wire := new(Error); errors.As(err, &wire) {
		return wire
	}
	e := images.AsError(err)
	if e.Kind < 0 || int(e.Kind) >= len(refusals) {
		e = &images.Error{Kind: images.Internal}
	}
	w, message := refusals[e.Kind], e.Msg
	if e.Kind == images.Internal {
		message = unforeseen
	} else if message == "" {
		message = http.StatusText(w.status)
	}
	return &Error{
		Status: w.status, Code: w.code, Message: message, RetryAfter: e.RetryAfter, Final: w.final,
	}
}
