package intake

import (
	"errors"
	"net/http"

	"calotype/internal/images"
	"calotype/internal/v4"
)

// wire is how a kind of refusal looks outside. With final, the same request would fail again.
type wire struct {
	status, code int
	final        bool
}

// wires is the one table of refusals of the upload URL. 5410, 5429 and 5456 are ours. Kinds that
// cannot occur here stand as what they would mean.
var wires = [...]wire{
	images.Internal:         {http.StatusInternalServerError, 5500, false},
	images.Unauthenticated:  {http.StatusForbidden, 10000, true},
	images.Forbidden:        {http.StatusForbidden, 5456, true},
	images.AccountUnknown:   {http.StatusNotFound, 5404, true},
	images.Invalid:          {http.StatusBadRequest, 5400, true},
	images.InvalidID:        {http.StatusBadRequest, 5411, true},
	images.ImageNotFound:    {http.StatusNotFound, 5404, true},
	images.VariantNotFound:  {http.StatusNotFound, 5401, true},
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
	images.SignatureRefused: {http.StatusForbidden, 9425, true},
	images.RenditionFailed:  {http.StatusInternalServerError, 9516, true},
	images.Busy:             {http.StatusServiceUnavailable, 5503, false},
	images.NoSpace:          {http.StatusInsufficientStorage, 5540, true},
}

// errMethod refuses a method.
var errMethod error = &v4.Error{Status: http.StatusMethodNotAllowed, Code: 5400, Final: true,
	Message: "Method not allowed: POST a form with the picture in the field file"}

// wireError returns what the client is told of err; of what is unforeseen, nothing.
func wireError(err error) *v4.Error {
	if refusal := new(v4.Error); errors.As(err, &refusal) {
		return refusal
	}
	e := images.AsError(err)
	w := wires[e.Kind]
	message := e.Msg
	if e.Kind == images.Internal {
		message = "Internal Server Error"
	}
	return &v4.Error{
		Status: w.status, Code: w.code, Message: message, RetryAfter: e.RetryAfter, Final: w.final,
	}
}

// unforeseen returns what the log must hold of err: all that the client was not told.
func unforeseen(err error) error {
	if wireError(err).Status >= http.StatusInternalServerError {
		return err
	}
	return nil
}
