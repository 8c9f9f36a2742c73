package cdn

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"calotype/internal/purges"
)

// Deliveries of an image are at three kinds of paths. The options of the third kind come before the image, and only
// the end of a path can be a wildcard: so all transformations are purged.
const (
	secondPrefix = "/cdn-cgi/imagedelivery"
	transforms   = "/cdn-cgi/image/*"
	everything   = "/*"
)

// pathsOf returns the beginnings of the paths of purges, each with a "*" at its end, sorted, at most most of them. If
// there are more, it returns those of whole accounts, or that of everything.
func pathsOf(batch []purges.Purge, most int) []string {
	for _, whole := range []bool{false, true} {
		paths := map[string]bool{}
		for _, p := range batch {
			for _, path := range pathsOfOne(p, whole) {
				paths[path] = true
			}
		}
		if len(paths) <= most && !paths[everything] {
			return slices.Sorted(maps.Keys(paths))
		}
	}
	return []string{everything}
}

// pathsOfOne returns the paths of a purge, or those of its whole account.
func pathsOfOne(p purges.Purge, whole bool) []string {
	hash, id, image := strings.Cut(p.Path, "/")
	if hash == "" { // recorded for a receiver without paths
		return []string{everything}
	}
	paths := []string{transforms}
	names := []string{hash}
	if image && !whole && hasOneSpelling(id) {
		escaped := url.PathEscape(id)
		names = []string{hash + "/" + escaped, hash + "/" + strings.ReplaceAll(escaped, "%2F", "/")}
	}
	for _, name := range names {
		paths = append(paths, "/"+name+"/*", secondPrefix+"/"+name+"/*")
	}
	return paths
}

// hasOneSpelling reports whether URLs spell an id in one way, except for its slashes: clients escape other characters
// or not.
func hasOneSpelling(id string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/"
	return strings.Trim(id, plain) == ""
}
