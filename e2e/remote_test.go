package e2e

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestRemoteSources: the binary transforms pictures of the hosts in -remote-sources and of no other, a restart
// requests them again, and no log has a URL of them.
func TestRemoteSources(t *testing.T) {
	t.Parallel()
	data := photo(t, 64, 48, 1)
	var asked atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write(data)
	}))
	t.Cleanup(origin.Close)
	listed := strings.TrimPrefix(origin.URL, "http://") + "/media"
	s := newServer(t, "-remote-sources", listed, "-outbound-allow", "127.0.0.0/8")
	at := s.url + "/cdn-cgi/image/width=32/" + origin.URL
	for range 2 {
		a := do(t, "GET", at+"/media/a.jpg?token=canary", nil)
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("ETag"), `"cf-`) {
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	if a := do(t, "GET", at+"/other/a.jpg?token=canary", nil); a.status != http.StatusForbidden {
		t.Errorf("got %d %s", a.status, a.body)
	}
	own := s.url + "/cdn-cgi/image/width=32/" + s.url + "/cdn-cgi/image/width=32/" + origin.URL + "/media/a.jpg"
	if a := do(t, "GET", own, nil); a.status != http.StatusLoopDetected {
		t.Errorf("got %d %s", a.status, a.body)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
	s.stop()
	s.start()
	at = s.url + "/cdn-cgi/image/width=32/" + origin.URL
	if a := do(t, "GET", at+"/media/a.jpg?token=canary", nil); a.status != http.StatusOK || asked.Load() != 2 {
		t.Errorf("after a restart: %d %s, %d requests", a.status, a.body, asked.Load())
	}
	s.stop()
	if log := s.log.String(); strings.Contains(log, "canary") || strings.Contains(log, "media/a.jpg") {
		t.Errorf("the log has the URL of a source:\n%s", log)
	}
	if got := calotype(t, nil, "serve", "-remote-sources", "https://x.example", "-data", t.TempDir()); got.code == 0 ||
		!strings.Contains(got.stderr, "-remote-sources") {
		t.Errorf("ended with %d: %s", got.code, got.stderr)
	}
}
