package intake

import (
	"net/http"
	"testing"
)

// TestIsNavigation has the headers of browsers and of clients.
func TestIsNavigation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode, accept string
		want         bool
	}{
		{"navigate", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
		{"navigate", "", true},
		{"cors", "text/html", false},
		{"same-origin", "*/*", false},
		{"no-cors", "text/html", false},
		{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true},
		{"", "Text/HTML; q=0.5", true},
		{"", "application/json, text/html", false},
		{"", "application/problem+json, text/html", false},
		{"", "text/html, application/json", true},
		{"", "*/*", false},
		{"", "", false},
		{"", "application/json, text/plain, */*", false}, // axios
	} {
		h := http.Header{}
		if c.mode != "" {
			h.Set("Sec-Fetch-Mode", c.mode)
		}
		if c.accept != "" {
			h.Set("Accept", c.accept)
		}
		if got := isNavigation(h); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestHideFromPages: no header of CORS remains.
func TestHideFromPages(t *testing.T) {
	t.Parallel()
	r, err := http.NewRequestWithContext(t.Context(), "POST", "http://localhost/upload/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://a.example")
	h := http.Header{}
	setHeaders(h, r)
	setPreflightHeaders(h, r)
	removeCORS(h)
	if len(h) == 0 || len(h) > 2 || h.Get("Vary") == "" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the headers are %v", h)
	}
}
