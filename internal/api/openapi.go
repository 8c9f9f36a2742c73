package api

import (
	_ "embed"
	"net/http"
)

// OpenAPIPath is the path of the API's description. A request for it needs no token, because it has no secrets.
const OpenAPIPath = "/openapi.json"

// openAPI describes this version's answers in OpenAPI 3.1. Tests compare it with the list of routes and
// with the answers in other tests.
//
//go:embed openapi.json
var openAPI []byte

// ServeOpenAPI answers with the description of the API in OpenAPI.
func ServeOpenAPI(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed: GET reads this description", http.StatusMethodNotAllowed)
		return
	}
	h.Set("Content-Type", "application/json; charset=UTF-8")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*") // viewers of such descriptions run in browsers
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(openAPI) // the error cannot be reported
	}
}
