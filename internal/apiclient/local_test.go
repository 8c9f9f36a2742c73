package apiclient

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func localClient(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	c, err := New(Config{BaseURL: LocalBase, Token: "none", Account: "a1", Transport: Local(handler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLocal(t *testing.T) {
	t.Parallel()
	c := localClient(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() != "/client/v4/accounts/a1/images/v1/a%20b/c" || r.Host != "localhost" || r.Body == nil {
			t.Errorf("the handler got %s, %q", r.URL, r.Host)
		}
		if r.Method == http.MethodDelete {
			refuse(w, 404, 5404, "no such image")
			return
		}
		envelope(w, `{"id": "a b/c"}`)
	})
	if img, err := c.Image(t.Context(), "a b/c"); err != nil || img.ID != "a b/c" {
		t.Errorf("%+v, %v", img, err)
	}
	if err := c.Delete(t.Context(), "a b/c"); !IsNotFound(err) {
		t.Errorf("the refusal: %v", err)
	}
}

// The body of a large answer is passed on while it is written; closing it early ends the handler.
func TestLocalStreams(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	c := localClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"`+strings.Repeat("ab", 32)+`"`)
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- err
				return
			}
		}
	})
	body, err := c.Open(t.Context(), "x")
	if err != nil || body.SHA256 != strings.Repeat("ab", 32) {
		t.Fatalf("%+v, %v", body, err)
	}
	if n, err := io.CopyN(io.Discard, body, 3<<20); err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if len(ended) != 1 {
		t.Error("Close has returned before the handler")
	}
}

// An answer that the handler cuts is no whole answer.
func TestLocalCut(t *testing.T) {
	t.Parallel()
	c := localClient(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "half")
		panic(http.ErrAbortHandler)
	})
	body, err := c.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(body); err == nil || string(text) != "half" {
		t.Errorf("%q, %v", text, err)
	}
}
