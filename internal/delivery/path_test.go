package delivery

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"calotype/internal/errs"
)

const testHash = "cheeW4oKsx5ljh8e8BoL2A"

func TestSplitPath(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, id, variant string }{
		{"/img/public", "img", "public"},
		{"/bc27a117-9509-446b-8c69-c81bfeac0a01/mobile", "bc27a117-9509-446b-8c69-c81bfeac0a01",
			"mobile"},
		{"/a/b/c/public", "a/b/c", "public"},
		{"/a%2Fb%2fc/public", "a/b/c", "public"},
		{"/a%2Fpublic/w=1", "a/public", "w=1"},
		{"/a%2520b/public", "a%20b", "public"},
		{"/100%25/public", "100%", "public"},
		{"/%E2%82%AC%20x/public", "€ x", "public"},
		{"/€/public", "€", "public"},
		{"/a//b/public", "a//b", "public"},
		{"/a/../b/public", "a/../b", "public"},
		{"/a+b/public", "a+b", "public"},
		{"/img/w=100,h=%2350", "img", "w=100,h=#50"},
		{"/img/w%3D100", "img", "w=100"},
		{"/img/a%2Fb", "img", "a/b"},
		{"/cdn-cgi/imagedelivery/x/public", "cdn-cgi/imagedelivery/x", "public"},
	} {
		for _, before := range []string{"", prefix} {
			got, err := splitPath(before + "/" + testHash + c.path)
			want := target{testHash, c.id, c.variant, "/" + testHash + c.path, false, ""}
			if err != nil || got != want {
				t.Errorf("%s%s: got %+v, %v, want %+v", before, c.path, got, err, want)
			}
		}
	}
}

func TestSplitPathRefuses(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]errs.Kind{
		"":                               errs.ImageNotFound,
		"*":                              errs.ImageNotFound,
		"/":                              errs.ImageNotFound,
		"/favicon.ico":                   errs.ImageNotFound,
		testHash + "/a/public":           errs.AccountUnknown,
		"//" + testHash + "/a/public":    errs.AccountUnknown,
		"/" + testHash[1:] + "/a/public": errs.AccountUnknown,
		"/" + testHash + "x/a/public":    errs.AccountUnknown,
		"/%63" + testHash[1:] + "/a/b":   errs.AccountUnknown,
		"/" + testHash[1:] + "+/a/b":     errs.AccountUnknown,
		prefix + testHash + "/a/public":  errs.AccountUnknown,
		prefix:                           errs.ImageNotFound,
		"/" + testHash:                   errs.Invalid,
		"/" + testHash + "/":             errs.Invalid,
		"/" + testHash + "/a":            errs.Invalid,
		"/" + testHash + "/a/":           errs.Invalid,
		"/" + testHash + "/a%2Fpublic":   errs.Invalid,
		"/" + testHash + "//public":      errs.Invalid,
		"/" + testHash + "/100%/public":  errs.Invalid,
		"/" + testHash + "/a/%zz":        errs.Invalid,
		"/" + testHash + "/" + strings.Repeat("a", maxPath) + "/public": errs.Invalid,
	} {
		if got, err := splitPath(path); errs.AsError(err).Kind != want || err == nil {
			t.Errorf("%.80s: got %+v, %v, want %v", path, got, err, want)
		}
	}
}

func TestTheLongestIDFits(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("\U0001f5bc", 1024)
	path := prefix + "/" + testHash + "/" + url.PathEscape(id) + "/" + strings.Repeat("v", 99)
	if got, err := splitPath(path); err != nil || got.id != id {
		t.Fatalf("got %d bytes of id, %v", len(got.id), err)
	}
}

func TestReceivedPath(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"/h/plain/public", "/h/a%2Fb/public", "/h/a%2fb/public", "/h/a|b%2Fc/public",
		"/h/\xc3\xa9%2Fb/public", "/h/%C3%A9/public", "/h/a\"<>^`{}%25/public", "/h/[a]/public",
		"/h/%61/public",
	} {
		u, err := url.ParseRequestURI(path + "?sig=1")
		if err != nil {
			t.Fatal(err)
		}
		if got := receivedPath(u); got != path {
			t.Errorf("got %q, want %q", got, path)
		}
	}
	// A RawPath that is not of its Path, as rewriting handlers may leave it, counts for nothing.
	if got := receivedPath(&url.URL{Path: "/new/a b", RawPath: "/old"}); got != "/new/a%20b" {
		t.Errorf("got %q", got)
	}
}

// What is refused before the core is asked needs no core.
func TestRefusalsBeforeTheCore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, path string
		status, code int
	}{
		{"GET", "/" + testHash, 400, 9432},
		{"GET", "/" + testHash + "/a/", 400, 9432},
		{"HEAD", "/" + testHash + "/a/", 400, 9432},
		{"GET", "/nothing/a/public", 403, 9427},
		{"POST", "/" + testHash + "/a/public", 405, 9424},
		{"DELETE", "/nothing", 405, 9424},
	} {
		w := httptest.NewRecorder()
		newQuiet().ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		checkRefusal(t, c.method+" "+c.path, w.Result(), c.status, c.code)
		if allow := w.Header().Get("Allow"); (c.status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s: Allow is %q", c.method, c.path, allow)
		}
	}
}

func TestPreflight(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newQuiet().ServeHTTP(w, httptest.NewRequest("OPTIONS", "/"+testHash+"/a/public", nil))
	h := w.Header()
	if w.Code != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" ||
		h.Get("Access-Control-Allow-Methods") != "GET, HEAD" {
		t.Fatalf("got %d %v", w.Code, h)
	}
}

// FuzzSplitPath: a path is split into what it was put together from, or refused; and what is split
// has all its parts.
func FuzzSplitPath(f *testing.F) {
	for _, path := range []string{
		"/" + testHash + "/a/public", prefix + "/" + testHash + "/a%2Fb/w=1", "/" + testHash + "/%/x",
		"//" + testHash + "//a//public", "/", "", "%2F" + testHash + "/a/b", "/" + testHash + "/a%25/b",
	} {
		f.Add(path, path)
	}
	f.Fuzz(func(t *testing.T, path, id string) {
		got, err := splitPath(path)
		if err == nil {
			if !isHash(got.hash) || got.id == "" || got.variant == "" ||
				!strings.HasSuffix(path, got.path) || !strings.HasPrefix(got.path, "/"+got.hash+"/") {
				t.Errorf("%q became %+v", path, got)
			}
		} else if kind := errs.AsError(err).Kind; kind != errs.Invalid &&
			kind != errs.AccountUnknown && kind != errs.ImageNotFound {
			t.Errorf("%q: %v", path, err)
		}
		if id == "" || len(id) > maxPath/4 {
			return
		}
		made := "/" + testHash + "/" + url.PathEscape(id) + "/public"
		for _, made := range []string{made, prefix + made} {
			got, err := splitPath(made)
			if err != nil || got.hash != testHash || got.id != id || got.variant != "public" {
				t.Errorf("%q became %+v, %v", made, got, errors.Unwrap(err))
			}
		}
	})
}
