package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newServerOfFiles starts a server that may open files files.
func newServerOfFiles(t *testing.T, files int, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: t.TempDir(), args: args, log: &logBuffer{}}
	// By a shell: prlimit would come too late for what the server asks at its start.
	s.wrap = func(cmd *exec.Cmd) {
		shell := fmt.Sprintf("ulimit -n %d && exec \"$0\" \"$@\"", files)
		cmd.Args = append([]string{"sh", "-c", shell, cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// A crowd is a client with many connections, from an address of this machine.
type crowd struct {
	s      *server
	dialer net.Dialer
	conns  []net.Conn
}

func newCrowd(s *server, address string) *crowd {
	c := &crowd{s: s, dialer: net.Dialer{Timeout: 10 * time.Second,
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}}
	s.t.Cleanup(c.leave)
	return c
}

// open opens n connections and sends the same bytes on each.
func (c *crowd) open(n int, text string) {
	c.s.t.Helper()
	u, err := url.Parse(c.s.url)
	if err != nil {
		c.s.t.Fatal(err)
	}
	for range n {
		conn, err := c.dialer.Dial("tcp", u.Host)
		if err != nil {
			c.s.t.Fatalf("connection %d: %v", len(c.conns), err)
		}
		c.conns = append(c.conns, conn)
		// The server may have closed it already.
		if _, err := io.WriteString(conn, text); err != nil && !errors.Is(err, unix.EPIPE) &&
			!errors.Is(err, unix.ECONNRESET) {
			c.s.t.Fatal(err)
		}
	}
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		conn.Close()
	}
	c.conns = nil
}

// wantFiles raises what this process may open, for a test with many connections.
func wantFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n {
		t.Skipf("this test opens %d files: raise `ulimit -n`", n)
	}
}

const oneHealthCheck = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

// TestIdleConnectionsBlockNoClient opens more idle connections than the server has: some after a
// request, some without one, some in the middle of a header. Beside them all requests of another account
// succeed, earlier uploads are completed, and health checks are answered. A
// proxy is trusted, so that the addresses of this machine count as those of clients do elsewhere.
func TestIdleConnectionsBlockNoClient(t *testing.T) {
	wantFiles(t, 4000)
	for _, files := range []int{1024, 640} {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			s := newServerOfFiles(t, files, "-trusted-proxies", "192.0.2.1")
			b := newBystander(s)
			slow := s.beginSlowUpload(photo(t, 64, 48, 7))
			b.beside(3, func(ctx context.Context) {
				crowds := []*crowd{newCrowd(s, "127.0.0.2"), newCrowd(s, "127.0.0.3"), newCrowd(s, "127.0.0.4")}
				for round := 0; ctx.Err() == nil && round < 3; round++ {
					crowds[0].open(400, oneHealthCheck)
					crowds[1].open(400, "")
					crowds[2].open(400, "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
					for _, path := range []string{"/healthz", "/readyz"} {
						if a, err := send(t.Context(), "GET", s.url+path, nil); err != nil || a.status != 200 {
							t.Errorf("%s under %d connections: %d, %v", path, 1200*(round+1), a.status, err)
						}
					}
				}
				<-ctx.Done()
			})
			if a := slow.finish(t); a.status != http.StatusOK {
				t.Errorf("an upload that began before got %d: %s", a.status, a.body)
			}
			if open := s.holdings().files; open > files {
				t.Errorf("the server has %d of %d files open", open, files)
			}
		})
	}
}

// A slowUpload is one whose last bytes are still to come.
type slowUpload struct {
	conn net.Conn
	rest []byte
}

func (s *server) beginSlowUpload(content []byte) *slowUpload {
	s.t.Helper()
	u := s.createUploadURL()
	conn := dial(s.t, s.url)
	before, after := formFrame()
	body := append(append([]byte(before), content...), after...)
	sendHead(s.t, conn, u.UploadURL, len(body))
	half := len(body) / 2
	if _, err := conn.Write(body[:half]); err != nil {
		s.t.Fatal(err)
	}
	return &slowUpload{conn, body[half:]}
}

func (u *slowUpload) finish(t *testing.T) answer {
	t.Helper()
	if _, err := u.conn.Write(u.rest); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, u.conn)
}

// TestBusyConnectionsLeaveTheHealth makes all connections busy, with uploads that stand still. Health
// checks are answered beside them, on connections of this machine.
func TestBusyConnectionsLeaveTheHealth(t *testing.T) {
	wantFiles(t, 2000)
	s := newServerOfFiles(t, 640) // 160 connections
	busy := newCrowd(s, "127.0.0.2")
	// This needs no ticket: the API waits for the body of a client with a token.
	head := "POST /client/v4/accounts/" + accountID + "/images/v1 HTTP/1.1\r\nHost: x\r\n" +
		"Authorization: Bearer " + token + "\r\nContent-Type: multipart/form-data; boundary=" +
		rawBoundary + "\r\nContent-Length: 5000\r\n\r\n--" + rawBoundary + "\r\n"
	busy.open(700, head)
	for _, path := range []string{"/healthz", "/readyz", "/healthz", "/readyz"} {
		a, err := send(t.Context(), "GET", s.url+path, nil)
		if err != nil || a.status != http.StatusOK {
			t.Errorf("%s: %d, %v", path, a.status, err)
		}
	}
	busy.leave()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if a, err := send(t.Context(), "GET", s.url+"/openapi.json", nil); err == nil && a.status == 200 {
			return
		}
	}
	t.Error("after the uploads ended, nothing else is served")
}

// TestUnfinishedHeadersAreSmall holds the memory of 4,000 connections with headers that never end:
// as long as they may be, and longer.
func TestUnfinishedHeadersAreSmall(t *testing.T) {
	const connections = 4000
	wantFiles(t, 5000)
	for _, size := range []int{23 << 10, 63 << 10} {
		s := newServer(t)
		before := s.holdings()
		crowd := newCrowd(s, "127.0.0.2")
		crowd.open(connections, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", size))
		if a := do(t, "GET", s.url+"/readyz", nil); a.status != http.StatusOK {
			t.Errorf("/readyz got %d", a.status)
		}
		after := s.holdings()
		t.Logf("before: %v; with %d unfinished headers of %d bytes: %v", before, connections, size, after)
		if grown := after.resident - before.resident; grown > 300<<20 {
			t.Errorf("%d unfinished headers take %d MiB", connections, grown>>20)
		}
		crowd.leave()
		s.kill()
	}
}

// TestAnAddressIsServedBesideACrowd has one address take all connections that it can. Another one
// keeps the connection that it has.
func TestAnAddressIsServedBesideACrowd(t *testing.T) {
	wantFiles(t, 2000)
	s := newServerOfFiles(t, 1024, "-trusted-proxies", "192.0.2.1")
	quiet := dial(t, s.url) // from 127.0.0.1
	ask := func() int {
		if _, err := io.WriteString(quiet, oneHealthCheck); err != nil {
			return 0
		}
		a, err := tryReadAnswer(quiet)
		if err != nil {
			return 0
		}
		return a.status
	}
	if status := ask(); status != http.StatusOK {
		t.Fatalf("/healthz got %d", status)
	}
	newCrowd(s, "127.0.0.2").open(1200, oneHealthCheck)
	if status := ask(); status != http.StatusOK {
		t.Errorf("on an idle connection of another address /healthz got %d", status)
	}
}

// TestMissesOfAnAddressLeaveOthers has one client, behind a trusted proxy, ask for more new
// pictures than it may have made. Another client's new pictures are made.
func TestMissesOfAnAddressLeaveOthers(t *testing.T) {
	s := newServer(t, "-trusted-proxies", "127.0.0.1", "-miss-rate", "1")
	b := newBystander(s, "X-Forwarded-For", "198.51.100.2")
	u := s.createUploadURL()
	post(t, u.UploadURL, "a.jpg", photo(t, 64, 48, 3))
	s.api("PATCH", "images/v1/config", bytes.NewReader([]byte(`{"flexible_variants":true}`)),
		"Content-Type", "application/json")
	p, _ := s.image(u.ID)
	base := strings.TrimSuffix(p.Variants[0], "public")
	b.beside(3, func(ctx context.Context) {
		limited := make(chan answer, 100)
		for width := range 60 {
			go func() {
				a, err := send(t.Context(), "GET", fmt.Sprintf("%sw=%d", base, width+1), nil,
					"X-Forwarded-For", "203.0.113.9, 198.51.100.1")
				if err != nil {
					t.Error(err)
				}
				limited <- a
			}()
		}
		refused := 0
		for range 60 {
			a := <-limited
			if a.status == http.StatusTooManyRequests && a.header.Get("Retry-After") != "" &&
				strings.HasPrefix(string(a.body), "ERROR 9422") {
				refused++
			} else if a.status != http.StatusOK {
				t.Errorf("a new picture got %d: %s", a.status, a.body)
			}
		}
		if refused == 0 {
			t.Error("none of 60 new pictures was refused")
		}
		<-ctx.Done()
	})
}
