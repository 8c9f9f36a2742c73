package api

import (
	"errors"
	"slices"
	"strings"
)

// batchAccount is a placeholder for the account in a path of the batch API, until the token is known.
const batchAccount = "accounts/-/"

// batchRoutes are the routes of the batch API.
var batchRoutes = []string{
	"POST images/v2/direct_upload", "POST images/v1", "GET images/v1", "GET images/v2",
	"GET images/v1/{id...}", "PATCH images/v1/{id...}", "DELETE images/v1/{id...}",
}

// IsBatch reports whether an escaped path belongs to the batch API: /images/v1 and /images/v2, and the paths
// below them.
func IsBatch(path string) bool {
	for _, base := range []string{"/images/v1", "/images/v2"} {
		if rest, ok := strings.CutPrefix(path, base); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// findBatch is find for a path of the batch API.
func findBatch(routes []route, method, escapedPath string) (route, params, error) {
	path := Prefix + batchAccount + strings.TrimPrefix(escapedPath, "/")
	r, p, err := find(routes, method, path)
	if refused := (*methodError)(nil); errors.As(err, &refused) {
		refused.allowed = slices.DeleteFunc(refused.allowed, func(other string) bool {
			r, _, err := find(routes, other, path)
			return err != nil || !inBatch(r)
		})
		if len(refused.allowed) == 0 {
			err = errNoRoute
		}
	}
	if err == nil && !inBatch(r) {
		err = errNoRoute
	}
	return r, p, err
}

func inBatch(r route) bool {
	return slices.Contains(batchRoutes,
		r.method+" "+strings.TrimPrefix(r.pattern, "accounts/{account}/"))
}
