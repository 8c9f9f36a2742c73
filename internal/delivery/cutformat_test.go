package delivery

import (
	"slices"
	"strings"
	"testing"
)

// FuzzCutFormat: what is left of a query has no name of a format, and the query of a redirect is cut to what it was
// made from.
func FuzzCutFormat(f *testing.F) {
	for _, query := range []string{"", "&", "a=b", "calotype-format=avif", "a&calotype-format=webp&sig=1",
		"calotype-format=fallback&calotype-format=avif", "calotype-format",
		"calotype-format=AVIF", "xcalotype-format=avif"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		rest, client, err := cutFormat(query)
		if err != nil {
			return
		}
		if client != "" && !slices.Contains(clientNames, client) || client == "" && rest != query {
			t.Errorf("%q: %q, client %q", query, rest, client)
		}
		for pair := range strings.SplitSeq(rest, "&") {
			if key, _, _ := strings.Cut(pair, "="); key == formatKey {
				t.Errorf("%q: %q is left", query, rest)
			}
		}
		next := formatKey + "=webp"
		if rest != "" {
			next = rest + "&" + next
		}
		if again, client, err := cutFormat(next); again != rest || client != "webp" || err != nil {
			t.Errorf("%q: %q becomes %q, %q, %v", query, next, again, client, err)
		}
	})
}
