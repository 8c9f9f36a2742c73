package api

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"calotype/internal/cfapi"
	"calotype/internal/fields"
)

const testAccount = "023e105f4ecef8ad9ca31a8372d0c353"

func TestFind(t *testing.T) {
	t.Parallel()
	routes := (&api{}).list()
	const under = Prefix + "accounts/" + testAccount + "/"
	for _, c := range []struct{ method, path, pattern, id string }{
		{"POST", "images/v2/direct_upload", "images/v2/direct_upload", ""},
		{"POST", "images/v1/direct_upload", "images/v1/direct_upload", ""},
		{"GET", "images/v2", "images/v2", ""},
		{"HEAD", "images/v2", "images/v2", ""},
		{"GET", "images/v1/abc", "images/v1/{id...}", "abc"},
		{"DELETE", "images/v1/abc", "images/v1/{id...}", "abc"},
		{"PATCH", "images/v1/a%2Fb", "images/v1/{id...}", "a/b"},
		{"GET", "images/v1/abc/blob", "images/v1/{id...}/blob", "abc"},
		{"HEAD", "images/v1/abc/blob", "images/v1/{id...}/blob", "abc"},
		// Bare slashes and %2F name the same image.
		{"GET", "images/v1/a/b/c.png", "images/v1/{id...}", "a/b/c.png"},
		{"GET", "images/v1/a%2Fb%2fc.png", "images/v1/{id...}", "a/b/c.png"},
		{"GET", "images/v1/a/b/blob", "images/v1/{id...}/blob", "a/b"},
		{"GET", "images/v1/a%2Fb/blob", "images/v1/{id...}/blob", "a/b"},
		// %2F always belongs to the id; a bare final /blob is the blob.
		{"GET", "images/v1/a%2Fblob", "images/v1/{id...}", "a/blob"},
		{"GET", "images/v1/a%2Fblob/blob", "images/v1/{id...}/blob", "a/blob"},
		{"GET", "images/v1/a/blob/b", "images/v1/{id...}", "a/blob/b"},
		{"GET", "images/v1/blob", "images/v1/{id...}", "blob"},
		{"GET", "images/v1/blob/blob", "images/v1/{id...}/blob", "blob"},
		{"GET", "images/v1/keys%2Fx", "images/v1/{id...}", "keys/x"},
		{"GET", "images/v1/statsman", "images/v1/{id...}", "statsman"},
		{"GET", "images/v1/a/stats", "images/v1/{id...}", "a/stats"},
		{"GET", "images/v1/50%25%20gr%C3%BC%C3%9Fe", "images/v1/{id...}", "50% grüße"},
		{"GET", "images/v1/a%252Fb", "images/v1/{id...}", "a%2Fb"},
		{"GET", "images/v1/a//b", "images/v1/{id...}", "a//b"},
		{"GET", "images/v1/../v2", "images/v1/{id...}", "../v2"},
	} {
		r, p, err := find(routes, c.method, under+c.path)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		if pattern := "accounts/{account}/" + c.pattern; r.pattern != pattern ||
			p != (params{account: testAccount, id: c.id}) {
			t.Errorf("%s %s: %s %+v, want %s id %q", c.method, c.path, r.pattern, p, pattern, c.id)
		}
	}
}

func TestFindUnknown(t *testing.T) {
	t.Parallel()
	routes := (&api{}).list()
	const under = Prefix + "accounts/" + testAccount + "/"
	for _, path := range []string{
		"", "/", Prefix, Prefix + "accounts", Prefix + "accounts/" + testAccount, under,
		under + "images", under + "images/v1/", under + "images/v2/",
		under + "images/v2/x", under + "images/v3", under + "images/v1/stats/x",
		under + "images/v1/keys/", under + "images/v1/keys/x/y", under + "images/v1/variants/",
		under + "images/v1/variants/x/blob", under + "images/v1/config/x",
		under + "images/v1/batch_token/x", under + "tokens", Prefix + "user/tokens",
		Prefix + "accounts//images/v2", "/client/v5/accounts/x/images/v2",
		under + "images%2Fv2", under + "Images/v2",
		under + "images/v1/%zz", // net/http lets no such path through
	} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if r, _, err := find(routes, method, path); err != errNoRoute {
				t.Errorf("%s %s: %s, %v", method, path, r.pattern, err)
			}
		}
	}
}

func TestFindMethod(t *testing.T) {
	t.Parallel()
	routes := (&api{}).list()
	for _, c := range []struct {
		method, path string
		allowed      []string
	}{
		{"GET", "images/v2/direct_upload", []string{"POST"}},
		{"DELETE", "images/v1/direct_upload", []string{"POST"}},
		{"POST", "images/v2", []string{"GET", "HEAD", "DELETE"}},
		{"PUT", "images/v1/x", []string{"GET", "HEAD", "PATCH", "DELETE"}},
		{"OPTIONS", "images/v1/x", []string{"GET", "HEAD", "PATCH", "DELETE"}},
		{"DELETE", "images/v1/x/blob", []string{"GET", "HEAD"}},
		{"PUT", "images/v1/variants", []string{"GET", "HEAD", "POST"}},
		{"PUT", "images/v1/variants/x", []string{"GET", "HEAD", "PATCH", "DELETE"}},
		{"POST", "images/v1/config", []string{"GET", "HEAD", "PATCH"}},
		{"POST", "images/v1/keys", []string{"GET", "HEAD"}},
		{"GET", "images/v1/keys/x", []string{"PUT", "DELETE"}},
		{"get", "images/v2", []string{"GET", "HEAD", "DELETE"}},
	} {
		_, _, err := find(routes, c.method, Prefix+"accounts/"+testAccount+"/"+c.path)
		var method *methodError
		if !errors.As(err, &method) || !slices.Equal(method.allowed, c.allowed) {
			t.Errorf("%s %s: %v, want a refusal that allows %v", c.method, c.path, err, c.allowed)
		}
	}
}

func TestFindNames(t *testing.T) {
	t.Parallel()
	routes := (&api{}).list()
	const under = Prefix + "accounts/" + testAccount + "/images/v1/"
	for path, want := range map[string]string{
		"variants/public": "public", "variants/a%2Fb": "a/b", "variants/%20": " ",
		"variants/variants": "variants", "variants/blob": "blob",
	} {
		r, p, err := find(routes, "GET", under+path)
		if err != nil || p != (params{account: testAccount, name: want}) ||
			r.pattern != "accounts/{account}/images/v1/variants/{name}" {
			t.Errorf("%s: %s %+v, %v", path, r.pattern, p, err)
		}
	}
}

// TestRoutes holds what find relies on.
func TestRoutes(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range (&api{}).list() {
		key := r.method + " " + r.pattern
		if seen[key] {
			t.Errorf("%s stands in the list twice", key)
		}
		seen[key] = true
		if !strings.HasPrefix(r.pattern, "accounts/{account}/") != r.ofToken() {
			t.Errorf("%s: below an account or about the token's: %v", key, r.ofToken())
		}
		secret := r.pattern == "accounts/{account}/images/v1/keys" // lists the values
		if write := r.method != "GET" || secret; write != r.scope.Allows("write") {
			t.Errorf("%s needs the scope %s", key, r.scope)
		}
		if r.handler == nil {
			t.Errorf("%s has no handler", key)
		}
		below, isBelow := strings.CutPrefix(r.pattern, "accounts/{account}/images/v1/")
		first, _, _ := strings.Cut(below, "/")
		if isBelow && !strings.HasPrefix(first, "{") && !slices.Contains(fields.ReservedSegments, first) {
			t.Errorf("%s hides the image with the id %s: add it to fields.ReservedSegments", key, first)
		}
	}
}

func FuzzSplitPath(f *testing.F) {
	for _, id := range []string{
		"a", "a/b", "a/blob", "blob", "stats", "keys/x", "50% grüße", "a%2Fb", "a//b", "../v2",
		"a b+c", "\xff", "a/", "/a", "%", "日本/画像.png", "direct_upload", "?x#y;z",
	} {
		f.Add(id)
	}
	routes := (&api{}).list()
	f.Fuzz(func(t *testing.T, id string) {
		const under = Prefix + "accounts/" + testAccount + "/images/v1/"
		// An arbitrary path: no panic, and the found parameters are never empty.
		if r, p, err := find(routes, "GET", under+id); err == nil {
			if (p.id == "") == strings.Contains(r.pattern, "{id...}") || p.account != testAccount {
				t.Errorf("%q: %s with %+v", id, r.pattern, p)
			}
		}
		if id == "" {
			return
		}
		// As an id that a client escapes, with slashes as %2F: always found, whatever it holds.
		checkID(t, routes, under+url.PathEscape(id), "images/v1/{id...}", id,
			!slices.Contains(fields.ReservedSegments, id))
		checkID(t, routes, under+url.PathEscape(id)+"/blob", "images/v1/{id...}/blob", id,
			!slices.Contains(fields.ReservedSegments, id))
		// With bare slashes: found unless it begins or ends like another route.
		first, _, _ := strings.Cut(id, "/")
		bare := !slices.Contains(fields.ReservedSegments, first) && !strings.HasSuffix(id, "/blob")
		if bare {
			checkID(t, routes, under+cfapi.EscapeID(id), "images/v1/{id...}", id, true)
		}
		// The parser that net/http uses hands the path on as it came.
		if u, err := url.ParseRequestURI(under + cfapi.EscapeID(id)); err != nil {
			t.Errorf("%q escapes to no path: %v", id, err)
		} else if u.EscapedPath() != under+cfapi.EscapeID(id) && utf8.ValidString(id) {
			t.Errorf("%q arrives as %s", id, u.EscapedPath())
		}
	})
}

func checkID(t *testing.T, routes []route, path, pattern, id string, want bool) {
	t.Helper()
	r, p, err := find(routes, "GET", path)
	byID := err == nil && strings.Contains(r.pattern, "{id...}") // else it is another route's
	if byID != want {
		t.Errorf("%s: %v, %s", path, err, r.pattern)
	}
	if byID && (r.pattern != "accounts/{account}/"+pattern || p.id != id) {
		t.Errorf("%s: %s with id %q, want %s with %q", path, r.pattern, p.id, pattern, id)
	}
}
