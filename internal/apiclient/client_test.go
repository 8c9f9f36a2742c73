package apiclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

const secret = "calo_SECRETSECRET"

// newTestClient returns a client of a server that answers by a handler, and the waits of the client.
func newTestClient(t *testing.T, handler http.HandlerFunc) (*Client, *[]time.Duration) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	c, err := New(Config{BaseURL: server.URL, Token: secret, Account: "a1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	var waits []time.Duration
	c.wait = func(_ context.Context, d time.Duration) error {
		waits = append(waits, d)
		return nil
	}
	return c, &waits
}

func envelope(w http.ResponseWriter, result string) {
	fmt.Fprintf(w, `{"result": %s, "success": true, "errors": [], "messages": []}`, result)
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"result": null, "success": false, "errors": [{"code": %d, "message": %q}]}`, code, message)
}

func TestParseBase(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://a.example": "https://a.example/client/v4", "http://a.example:8080/": "http://a.example:8080/client/v4",
		"https://a.example/x/client/v4/": "https://a.example/x/client/v4",
		"a.example":                      "", "ftp://a.example": "", "https://": "", "https://user:pw@a.example": "",
		"https://a.example?x=1": "", "https://a.example#x": "", "": "", "https://a b": "",
	} {
		got, err := ParseBase(given)
		switch {
		case want == "" && err == nil:
			t.Errorf("%q was taken as %s", given, got)
		case want != "" && (err != nil || got.String() != want):
			t.Errorf("%q: %v, %v, want %s", given, got, err, want)
		case err != nil && strings.Contains(err.Error(), "pw"):
			t.Errorf("the error has the password: %v", err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{BaseURL: "https://a.example", Token: secret},
		{BaseURL: "https://a.example", Account: "a"},
		{BaseURL: "https://a.example", Account: "a", Token: secret + "\n"},
		{BaseURL: "https://a.example", Account: "a", Token: secret + "ä"},
		{Account: "a", Token: secret},
	} {
		if _, err := New(c); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A request has the token, the account and the query, and the id keeps its slashes.
func TestRequests(t *testing.T) {
	t.Parallel()
	var got []string
	c, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("%s has no token", r.URL)
		}
		got = append(got, r.Method+" "+r.URL.RequestURI())
		envelope(w, `{"images": [], "continuation_token": null}`)
	})
	creator := "ü&x"
	q := ListQuery{Limit: 7, Token: "t", Ascending: true, Drafts: true, Creator: &creator, Prefix: "a/", Filename: "f",
		Meta: []string{"status=a=b", "n[gte:number]=5"}}
	if _, err := c.List(t.Context(), q); err != nil {
		t.Error(err)
	}
	_, err := c.Image(t.Context(), "a b/c%?")
	err = errors.Join(err, c.Delete(t.Context(), "x"), c.DeleteVariant(t.Context(), "a/b"))
	values := url.Values{"per_page": {"7"}, "continuation_token": {"t"}, "sort_order": {"asc"}, "draft": {"true"},
		"creator": {creator}, "prefix": {"a/"}, "filename": {"f"}, "meta.status[eq]": {"a=b"}, "meta.n[gte:number]": {"5"}}
	const account = "/client/v4/accounts/a1/images/"
	want := []string{"GET " + account + "v2?" + values.Encode(), "GET " + account + "v1/a%20b/c%25%3F",
		"DELETE " + account + "v1/x", "DELETE " + account + "v1/variants/a%2Fb"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v; the server got\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, wrong := range []string{"status", "=x"} {
		if _, err := c.List(t.Context(), ListQuery{Limit: 1, Meta: []string{wrong}}); err == nil {
			t.Errorf("the filter %q was taken", wrong)
		}
	}
}

// A redirect to another host does not get the token.
func TestRedirects(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host got %s with %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	c, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if _, err := c.Image(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "redirects") {
		t.Errorf("the redirect: %v", err)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for want, handler := range map[string]http.HandlerFunc{
		"no such image (status 404, code 5404)": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 404, 5404, "no such image.")
		},
		"a token ... is wrong (status 401, code 10000)": func(w http.ResponseWriter, _ *http.Request) {
			refuse(w, 401, 10000, "a token "+secret+" is wrong")
		},
		"not as this API does": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"status 502, and not":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"larger than 64 MiB": func(w http.ResponseWriter, _ *http.Request) {
			piece := strings.Repeat(" ", 1<<20)
			for range 65 {
				fmt.Fprint(w, piece)
			}
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c, waits := newTestClient(t, handler)
		_, err := c.Image(t.Context(), "x")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%v, want %q", err, want)
		}
		if len(*waits) > 0 {
			t.Errorf("%q was repeated", want)
		}
		if IsNotFound(err) != strings.Contains(want, "404") || IsConflict(err) {
			t.Errorf("%v: the kind is wrong", err)
		}
	}
}

// A busy server gets the request repeatedly, after the time that it names, within bounds.
func TestRetries(t *testing.T) {
	t.Parallel()
	answers := []struct{ status, after string }{{"429", "3"}, {"503", ""}, {"503", "100000"}, {"429", "-5"}, {"200", ""}}
	n, bodies := 0, []string{}
	c, waits := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(body))
		a := answers[n%len(answers)]
		n++
		if a.status == "200" {
			envelope(w, `{"variant": {"id": "v"}}`)
			return
		}
		w.Header().Set("Retry-After", a.after)
		refuse(w, map[string]int{"429": 429, "503": 503}[a.status], 1, "busy")
	})
	v, err := c.CreateVariant(t.Context(), Variant{ID: "v", Options: []byte(`{}`)})
	if err != nil || v.ID != "v" {
		t.Errorf("%+v, %v", v, err)
	}
	want := []time.Duration{3 * time.Second, 2 * time.Second, maxWait, 0}
	if !slices.Equal(*waits, want) {
		t.Errorf("waited %v, want %v", *waits, want)
	}
	if len(bodies) != 5 || bodies[0] == "" || bodies[4] != bodies[0] {
		t.Errorf("the server got %q", bodies)
	}
	answers = answers[:1]
	if _, err := c.Variants(t.Context()); err == nil || n != 5+tries {
		t.Errorf("%v after %d requests", err, n-5)
	}
	c.wait = sleep
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Variants(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled request: %v", err)
	}
}

// An upload is repeated with its whole body.
func TestUpload(t *testing.T) {
	t.Parallel()
	n := 0
	c, _ := newTestClient(t, func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			refuse(w, 503, 1, "busy") // before it has read the body
			return
		}
		form, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		got := ""
		for {
			part, err := form.NextPart()
			if err != nil {
				break
			}
			content, err := io.ReadAll(part)
			if err != nil {
				t.Error(err)
			}
			got += fmt.Sprintf("%s(%s)=%d:%.9s ", part.FormName(), part.FileName(), len(content), content)
		}
		const want = `id()=3:a/b metadata()=9:{"a":"b"} creator()=1:c requireSignedURLs()=4:true file(ä".jpg)=5000000:xxxxxxxxx `
		if got != want {
			t.Errorf("the form is\n%s, want\n%s", got, want)
		}
		envelope(w, `{"id": "a/b", "original": {"sha256": "s"}}`)
	})
	picture := strings.Repeat("x", 5_000_000)
	img, err := c.Upload(t.Context(), NewImage{
		Open:     func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(picture)), nil },
		Filename: `ä".jpg`, ID: "a/b", Metadata: []byte(`{"a":"b"}`), Creator: "c", Private: true,
	})
	if err != nil || img.ID != "a/b" || img.Original.SHA256 != "s" {
		t.Errorf("%+v, %v", img, err)
	}
	gone := errors.New("gone")
	_, err = c.Upload(t.Context(), NewImage{Open: func() (io.ReadCloser, error) { return nil, gone }})
	if !errors.Is(err, gone) {
		t.Errorf("a file that cannot be opened: %v", err)
	}
}
