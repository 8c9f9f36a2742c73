package intake

import (
	"cmp"
	"net/http"
	"strings"

	"calotype/internal/requestid"
)

// exposed are the headers that pages may read.
var exposed = strings.Join([]string{"Allow", "Retry-After", "X-Should-Retry", requestid.Header, "Location",
	"Upload-Offset", "Upload-Length", "Upload-Metadata", "Upload-Expires", "Upload-Complete", "Upload-Limit",
	"Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Accept-Patch"}, ", ")

// setHeaders lets any page of any site upload here and read the answer, also a page whose HTTP client
// sends credentials along. Nothing here reads them: the secret in the URL is the only right.
func setHeaders(h http.Header, r *http.Request) {
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	} else {
		h.Set("Access-Control-Allow-Origin", "*")
	}
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", exposed)
	h.Set("Referrer-Policy", "no-referrer") // the URL holds the ticket
}

// setPreflightHeaders allows every requested method, so that the page can read a 405 instead of a network error. It
// names the methods and headers, because a star is no wildcard for a request with credentials.
func setPreflightHeaders(h http.Header, r *http.Request) {
	h.Set("Access-Control-Allow-Methods", cmp.Or(r.Header.Get("Access-Control-Request-Method"),
		"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
	h.Set("Access-Control-Allow-Headers", cmp.Or(r.Header.Get("Access-Control-Request-Headers"),
		"*, Authorization"))
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	h.Set("Access-Control-Max-Age", "7200")
}
