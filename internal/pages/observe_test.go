package pages

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestObserve: answers of the pages are observed, passed requests are not.
func TestObserve(t *testing.T) {
	t.Parallel()
	var got []string
	s := newSite(t, "localhost", func(c *Config) {
		c.Observe = func(route string) func(int, time.Duration) {
			return func(status int, _ time.Duration) {
				got = append(got, fmt.Sprint(route, " ", status))
			}
		}
	})
	cookie := s.enter()
	for _, request := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200}, {"POST", "/", 405}, {"GET", SamplePath, 200}, {"GET", "/try", 200},
		{"GET", "/try/nothing", hidden}, {"GET", "/try/api/image?id=x", 404},
		{"GET", "/try/assets/one.js", 200},
	} {
		if w := s.do(request.method, request.path, "Cookie", cookie); w.Code != request.status {
			t.Errorf("%s: status %d", request.path, w.Code)
		}
	}
	if w := s.do("GET", "/try"); w.Code != hidden {
		t.Errorf("without the cookie: status %d", w.Code)
	}
	want := []string{"/try 303", "/ 200", "/ 405", "/sample.jpg 200", "/try 200", "/try 404",
		"/try 200"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}
