package outbound

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestURLsAsBrowsersReadThem asks for addresses that package url would refuse, or send as no server
// reads them.
func TestURLsAsBrowsersReadThem(t *testing.T) {
	t.Parallel()
	var asked string
	s := on(t, "127.0.0.1", func(_ http.ResponseWriter, r *http.Request) { asked = r.RequestURI })
	c := New(Config{Allow: networks(t, "127.0.0.1")})
	for address, want := range map[string]string{
		" " + s.URL + "/a.jpg\r\n":      "/a.jpg",
		"\t" + s.URL + "/a b.jpg ":      "/a%20b.jpg",
		s.URL + "/a\n\tb.jpg":           "/ab.jpg",
		s.URL + "/100%.jpg":             "/100%25.jpg",
		s.URL + "/%E0%A4%A.jpg":         "/%E0%A4%25A.jpg",
		s.URL + "/%":                    "/%25",
		s.URL + "/%41%2F%7e?a=b c&d=5%": "/%41%2F%7e?a=b%20c&d=5%25",
		s.URL + "?a b":                  "/?a%20b",
		s.URL:                           "/",
		strings.ToUpper(s.URL[:4]) + s.URL[4:] + "/x": "/x",
	} {
		asked = ""
		if _, err := get(t.Context(), c, address, 100); err != nil || asked != want {
			t.Errorf("%q: asked for %q, %v; want %q", address, asked, err, want)
		}
	}
	for _, address := range []string{"http://127.0.0.1%/", "http://127.0. 0.1/", "http://a%zz@127.0.0.1/"} {
		_, err := get(t.Context(), c, address, 100)
		wantReason(t, err, "")
	}
}

// TestARedirectIsReadLikeAURL follows a Location that holds what browsers mend.
func TestARedirectIsReadLikeAURL(t *testing.T) {
	t.Parallel()
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header()["Location"] = []string{"/50% off.jpg?from=http://x/"}
			w.WriteHeader(http.StatusFound)
			return
		}
		_, _ = w.Write([]byte(r.URL.Path))
	})
	got, err := get(t.Context(), New(Config{Allow: networks(t, "127.0.0.1")}), s.URL, 100)
	if err != nil || got != "/50% off.jpg" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestStrictHosts fetches from a host that wants to know what is accepted, and from hosts that pack
// what they were not asked to pack.
func TestStrictHosts(t *testing.T) {
	t.Parallel()
	pack := func(text string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write([]byte(text))
		_ = w.Close()
		return b.Bytes()
	}
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "image/*") ||
			r.Header.Get("Accept-Encoding") != "identity" {
			w.WriteHeader(http.StatusNotAcceptable)
			return
		}
		encoding, body := "gzip", pack("picture")
		switch r.URL.Path {
		case "/large":
			body = pack(strings.Repeat("x", 1000))
		case "/cut":
			body = body[:len(body)-6]
		case "/wrong":
			body = []byte("no gzip at all")
		case "/br":
			encoding = "br"
		}
		w.Header().Set("Content-Encoding", encoding)
		_, _ = w.Write(body)
	})
	c := New(Config{Allow: networks(t, "127.0.0.1")})
	if got, err := get(t.Context(), c, s.URL+"/", 100); got != "picture" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := get(t.Context(), c, s.URL+"/large", 999); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want that it is too large", err)
	}
	for path, want := range map[string]string{"/cut": "", "/wrong": "not in its Content-Encoding",
		"/br": `Content-Encoding "br"`} {
		_, err := get(t.Context(), c, s.URL+path, 100)
		wantReason(t, err, want)
	}
}
