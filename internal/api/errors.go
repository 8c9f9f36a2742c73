package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
)

// The gateway's refusals, which come before the core.
var (
	errNoRoute = &cfapi.Error{Status: http.StatusNotFound, Code: 7003, Final: true,
		Message: "Could not route this path: perhaps an identifier in it is missing or invalid."}
	errNoCredentials = &cfapi.Error{Status: http.StatusBadRequest, Code: 9106, Final: true,
		Message: `Missing credentials: send the header "Authorization: Bearer <token>", ` +
			`or "X-Auth-Key: <token>".`}
	errTooLarge = &cfapi.Error{Status: http.StatusRequestEntityTooLarge, Code: codeTooLarge, Final: true,
		Message: fmt.Sprintf("Request entity is too large: this request takes at most %d bytes.",
			maxBody)}
	errRange = &cfapi.Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: codeCondition,
		Message: "Bad request: the range is not within the original.", Final: true}
	errPrecondition = &cfapi.Error{Status: http.StatusPreconditionFailed, Code: codeCondition,
		Message: "Bad request: the original is not the one that If-Match names.", Final: true}
)

// A methodError refuses a method on a path that has others.
type methodError struct{ allowed []string }

func (e *methodError) Error() string { return "method not allowed" }

const (
	codeMethod     = 7001
	codeTooLarge   = 7011
	codeRate       = 971
	codeCondition  = 5400 // the code of Invalid
	authentication = "Authentication error"
)

// wireError returns the wire form of err for the client.
func wireError(r *http.Request, err error) *cfapi.Error {
	var method *methodError
	if errors.As(err, &method) {
		return &cfapi.Error{Status: http.StatusMethodNotAllowed, Code: codeMethod, Final: true,
			Message: fmt.Sprintf("The method %.20q is not available for this path.", r.Method)}
	}
	switch kind := errs.AsError(err).Kind; {
	case kind == errs.Internal && errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		err = errs.Errorf(errs.Aborted, "The client ended the request before it was answered.")
	case kind == errs.AccountUnknown: // same answer as for another's account
		err = errs.Errorf(errs.AccountUnknown, authentication)
	}
	return cfapi.Refusal(err)
}
