package blob_test

import (
	"path"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/blob"
)

// FuzzKey: what is taken for a key is a name below a directory on any system, reads the same when
// cleaned, and needs no escape in a URL.
func FuzzKey(f *testing.F) {
	for _, key := range []string{
		"2026-07-01/ab/key", "a", "a/b.c", "", "/", "..", "a/../b", ".put/x", "a\\b", "a//b",
		"a/", "C:", "a\x00", "ä", "%2e%2e", strings.Repeat("a", 256),
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if blob.CheckKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || path.Clean(key) != key || len(key) > 512 ||
			strings.ContainsAny(key, "\\:%~ \x00") || strings.Contains("/"+key, "/.") {
			t.Errorf("%q is taken for a key", key)
		}
	})
}
