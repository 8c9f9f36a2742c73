package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// lock: a second server on a data folder waits 30 s, then says who has it.
func lock(t *testing.T) {
	s := newServer(t)
	second := calotype(t, nil, "serve", "-listen", "127.0.0.1:0", "-data", s.data)
	holder := fmt.Sprint(s.cmd.Process.Pid)
	if second.code == 0 || !strings.Contains(second.stderr, holder) ||
		!strings.Contains(second.stderr, s.data) || !strings.Contains(second.stderr, "-data") {
		t.Errorf("ended with %d: %s; the holder is %s", second.code, second.stderr, holder)
	}
	if a := s.api("GET", "images/v2", nil); a.status != http.StatusOK {
		t.Errorf("the first server: status %d", a.status)
	}
}

// TestLockIsHandedOver: a server that waits for the folder starts when the one before it ends.
func TestLockIsHandedOver(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	next := &server{t: t, data: s.data, log: &logBuffer{}}
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		for !strings.Contains(next.log.String(), "for another server to leave") && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		s.kill()
	}()
	next.start()
	t.Cleanup(next.kill)
	<-killed
	if a := next.api("GET", "images/v2", nil); a.status != http.StatusOK {
		t.Errorf("status %d", a.status)
	}
}

// gracefulShutdown: an upload in flight is completed and acknowledged after SIGTERM.
func gracefulShutdown(t *testing.T) {
	s := newServer(t, "-shutdown-delay", "20s")
	u := s.createUploadURL()
	before, after := formFrame()
	picture := string(photo(t, 2000, 1500, 51)) // half of it is more than what is kept in memory
	upload := dial(t, s.url)
	sendHead(t, upload, u.UploadURL, len(before)+len(picture)+len(after))
	if _, err := io.WriteString(upload, before+picture[:len(picture)/2]); err != nil {
		t.Fatal(err)
	}
	s.awaitSpool(1)
	rest := picture[len(picture)/2:] + after
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.awaitLog("shutting down")
	// /readyz says 503 to the load balancer, and requests until it has noticed are served.
	if a := do(t, "GET", s.url+"/readyz", nil); a.status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of a server that drains: status %d", a.status)
	}
	if a := do(t, "GET", s.url+"/healthz", nil); a.status != http.StatusOK {
		t.Errorf("/healthz of a server that drains: status %d", a.status)
	}
	late := s.createUploadURL()
	for !s.refuses() { // a body that stands still is refused after half a minute
		if _, err := io.WriteString(upload, rest[:1]); err != nil || len(rest) < 2 {
			t.Fatalf("a server that ends still takes connections: %v", err)
		}
		rest = rest[1:]
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := io.WriteString(upload, rest); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, upload); a.status != http.StatusOK {
		t.Errorf("the upload in flight: status %d\n%s", a.status, a.body)
	}
	select {
	case <-s.gone:
	case <-time.After(time.Minute):
		t.Fatalf("the server does not end:\n%s", s.log)
	}
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("ended with %d", code)
	}
	s.start()
	if p, ok := s.image(u.ID); !ok || p.Draft {
		t.Error("the acknowledged upload is lost")
	}
	if p, ok := s.image(late.ID); !ok || !p.Draft {
		t.Error("the draft that was created during the delay is lost")
	}
}

// refuses reports whether the server takes no new connections.
func (s *server) refuses() bool {
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err == nil {
		conn.Close()
	}
	return err != nil
}

// awaitLog waits until the program's log holds text.
func (s *server) awaitLog(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if strings.Contains(s.log.String(), text) {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the log does not say %q:\n%s", text, s.log)
		}
	}
}
