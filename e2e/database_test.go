package e2e

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
)

// TestDatabaseGoesAway: while PostgreSQL cannot be reached, every surface asks its clients to come
// again, and serves them when it is back.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	dsn, line := breakable(t, sqldbtest.Postgres(t))
	s := newServer(t, "-db", dsn)
	picture := photo(t, 64, 48, 1)
	u, later := s.createUploadURL(), s.createUploadURL()
	if a := post(t, u.UploadURL, "a.jpg", picture); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	p, ok := s.image(u.ID)
	if !ok || len(p.Variants) != 1 {
		t.Fatalf("%+v", p)
	}
	requests := map[string]func() answer{
		"API":      func() answer { return s.api("GET", "images/v2", nil) },
		"upload":   func() answer { return post(t, later.UploadURL, "a.jpg", picture) },
		"delivery": func() answer { return do(t, "GET", p.Variants[0], nil) },
	}
	line.cut()
	for name, request := range requests {
		// What was read a moment ago may be known still, and a cut connection is noticed by its use.
		a := eventually(t, name, http.StatusServiceUnavailable, request)
		if a.header.Get("Retry-After") == "" {
			t.Errorf("%s: 503 without Retry-After", name)
		}
		if strings.Contains(string(a.body), "127.0.0.1") {
			t.Errorf("%s: shows details of the database: %s", name, a.body)
		}
	}
	line.mend(t)
	for name, request := range requests {
		eventually(t, name, http.StatusOK, request)
	}
}

// eventually repeats a request until it is answered with a status.
func eventually(t *testing.T, name string, want int, request func() answer) answer {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		a := request()
		if a.status == want {
			return a
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: status %d, want %d\n%s", name, a.status, want, a.body)
		}
	}
}

// A lineTo is a TCP line to a Unix socket, which can be cut.
type lineTo struct {
	socket, address string

	mu       sync.Mutex
	listener net.Listener
	isCut    bool
	open     []net.Conn
}

// breakable returns the DSN of the same database at the other end of a line.
func breakable(t *testing.T, dsn string) (string, *lineTo) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	l := &lineTo{socket: query.Get("host") + "/.s.PGSQL.5432", address: "127.0.0.1:0"}
	l.mend(t)
	t.Cleanup(l.cut)
	query.Del("host")
	query.Set("sslmode", "disable")
	u.Host, u.RawQuery = l.address, query.Encode()
	return u.String(), l
}

// cut ends all connections and takes no new ones.
func (l *lineTo) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = true
	l.listener.Close()
	for _, conn := range l.open {
		conn.Close()
	}
	l.open = nil
}

// mend listens, at the same address as before.
func (l *lineTo) mend(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.address, l.listener, l.isCut = listener.Addr().String(), listener, false
	l.mu.Unlock()
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("unix", l.socket)
			if err != nil {
				near.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, near, far)
			late := l.isCut // accepted before the cut
			l.mu.Unlock()
			if late {
				near.Close()
				far.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(pair[0], pair[1]) // until one end is cut
					near.Close()
					far.Close()
				}()
			}
		}
	}()
}
