package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// A tunnel is a proxy in front of a server, which fails like a network does. It counts the bytes of pictures that
// come in requests.
type tunnel struct {
	*httptest.Server
	rate int // bytes of bodies in a second; 0 for no limit

	mu       sync.Mutex
	upstream *url.URL
	down     time.Time // until then it closes all connections
	bytes    int64
	breaks   []tunnelBreak // ascending
}

// A tunnelBreak calls do when a number of bytes has come, and breaks the connection.
type tunnelBreak struct {
	at int64
	do func()
}

// newTunnel returns a tunnel that leads nowhere yet.
func newTunnel(t *testing.T) *tunnel {
	t.Helper()
	tn := &tunnel{upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:9"}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			tn.mu.Lock()
			defer tn.mu.Unlock()
			r.SetURL(tn.upstream)
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	tn.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tn.isDown() {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPatch || r.Method == http.MethodPost {
			r.Body = &tunnelBody{tn, r.Body}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(tn.Close)
	return tn
}

// lead makes the tunnel lead to a server.
func (tn *tunnel) lead(t *testing.T, address string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	tn.mu.Lock()
	defer tn.mu.Unlock()
	tn.upstream = u
}

// expect sets the breaks, and counts from 0.
func (tn *tunnel) expect(breaks ...tunnelBreak) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	tn.bytes, tn.breaks = 0, breaks
}

// carried returns the bytes that have come since expect, and the breaks that have not happened.
func (tn *tunnel) carried() (n int64, left int) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	return tn.bytes, len(tn.breaks)
}

// cut closes all connections for a time.
func (tn *tunnel) cut(d time.Duration) {
	tn.mu.Lock()
	tn.down = time.Now().Add(d)
	tn.mu.Unlock()
	tn.CloseClientConnections()
}

func (tn *tunnel) isDown() bool {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	return time.Now().Before(tn.down)
}

// count adds bytes, and returns what is to be done at this number of them.
func (tn *tunnel) count(n int) (do func()) {
	tn.mu.Lock()
	defer tn.mu.Unlock()
	tn.bytes += int64(n)
	if len(tn.breaks) == 0 || tn.bytes < tn.breaks[0].at {
		return nil
	}
	do, tn.breaks = tn.breaks[0].do, tn.breaks[1:]
	return do
}

type tunnelBody struct {
	tunnel *tunnel
	io.ReadCloser
}

func (b *tunnelBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.tunnel.rate > 0 {
		time.Sleep(time.Duration(n) * time.Second / time.Duration(b.tunnel.rate))
	}
	if do := b.tunnel.count(n); do != nil {
		go do()
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}
