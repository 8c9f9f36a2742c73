package intake

import (
	"net/http"

	"calotype/internal/cfapi"
)

// errMethod refuses a method.
var errMethod error = &cfapi.Error{Status: http.StatusMethodNotAllowed, Code: 5400, Final: true,
	Message: "Method not allowed: POST a form with the picture in the field file"}
