package outbound

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// The server's own public host is not asked, whatever it resolves to, after a redirect neither, but
// where the operator has opened the network.
func TestOwnHosts(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	var to atomic.Value
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		hits.Add(1)
		if r.URL.Path == "/away" {
			http.Redirect(w, r, to.Load().(string), http.StatusFound)
		}
	})
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	resolver := dns(t, func(name string) string {
		return map[string]string{"images.example.": "1.1.1.1", "inside.example.": "127.0.0.1"}[name]
	})
	own := []string{"images.example", "inside.example", "192.0.2.7"}
	to.Store("http://images.example/x")
	c := New(Config{Resolver: resolver, Own: own, Allow: networks(t, "127.0.0.1")})
	for _, address := range []string{
		"http://images.example/", "https://IMAGES.example./", "http://192.0.2.7/", s.URL + "/away",
	} {
		_, err := c.Get(t.Context(), address, 5)
		wantReason(t, err, "this server itself")
	}
	if n := hits.Load(); n != 1 {
		t.Errorf("there were %d requests, want that of the redirect", n)
	}
	inside := "http://inside.example:" + port + "/"
	answer, err := c.Get(t.Context(), inside, 5)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	closed := Config{Resolver: resolver, Own: own}
	_, err = New(closed).Get(t.Context(), "http://inside.example/", 5)
	wantReason(t, err, "this server itself")
	_, _, err = NewPoster(closed).Post(t.Context(), "http://images.example/", http.Header{}, nil, 1)
	wantReason(t, err, "this server itself")
	wantReason(t, Check(closed, "https://images.example/hook"), "this server itself")
	if err := Check(closed, "https://other.example/hook"); err != nil {
		t.Error(err)
	}
}
