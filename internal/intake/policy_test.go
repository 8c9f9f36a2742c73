package intake

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/uploadpolicy"
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
	hideFromPages(h)
	if len(h) == 0 || len(h) > 2 || h.Get("Vary") == "" || h.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the headers are %v", h)
	}
}

// TestStateWithAPolicy: the limits are those of the server and of the policy together.
func TestStateWithAPolicy(t *testing.T) {
	t.Parallel()
	p, err := uploadpolicy.Parse([]byte(`{"formats":["png"],"maxPixels":500,"animated":false,"uses":1}`))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	img := images.Image{ID: "x", Draft: true, Ticket: &images.Ticket{Expires: now.Add(time.Minute), Policy: p}}
	got, err := json.Marshal(newState(img, p, now, 1000).Limits)
	const want = `{"maxBytes":1000,"formats":["png"],"maxSide":12000,"maxPixels":500,"maxFrames":1}`
	if err != nil || string(got) != want {
		t.Errorf("%v\ngot  %s\nwant %s", err, got, want)
	}
	if used := newState(images.Image{ID: "x"}, p, now, 1000); used.Policy == nil || used.Limits != nil {
		t.Errorf("a used URL: %+v", used)
	}
}
