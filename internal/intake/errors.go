package intake

import (
	"net/http"

	"calotype/internal/v4"
)

// errMethod refuses a method.
var errMethod error = &v4.Error{Status: http.StatusMethodNotAllowed, Code: 5400, Final: true,
	Message: "Method not allowed: POST a form with the picture in the field file"}

// unforeseen returns the part of err for the log: the details that the answer does not hold.
func unforeseen(err error) error {
	if v4.Refusal(err).Status >= http.StatusInternalServerError {
		return err
	}
	return nil
}
