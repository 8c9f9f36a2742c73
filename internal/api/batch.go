package api

import (
	"slices"
	"strings"
)

// batchAccount stands for the account in a path of the batch API, until the token is known.
const batchAccount = "accounts/-/"

// batchRoutes are what the batch API has of the list of routes.
var batchRoutes = []string{
	"POST images/v2/direct_upload", "POST images/v1", "GET images/v1", "GET images/v2",
	"GET images/v1/{id...}", "PATCH images/v1/{id...}", "DELETE images/v1/{id...}",
}

// IsBatch reports whether an escaped path is one of the batch API: /images/v1 and /images/v2, and
// what is below them.
func IsBatch(path string) bool {
	for _, base := range []string{"/images/v1", "/images/v2"} {
		if rest, ok := strings.CutPrefix(path, base); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// batchPath is the path of the same thing in the API.
func batchPath(path string) string {
	return Prefix + batchAccount + strings.TrimPrefix(path, "/")
}

// batchable refuses what the batch API does not have; err is that of the search for the route.
func batchable(r route, err error) error {
	pattern := r.method + " " + strings.TrimPrefix(r.pattern, "accounts/{account}/")
	if err == nil && !slices.Contains(batchRoutes, pattern) {
		err = errNoRoute
	}
	return err
}
