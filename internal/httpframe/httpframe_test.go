package httpframe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// trickle is a reader of rate bytes a second, behind a connection with deadlines.
type trickle struct {
	*httptest.ResponseRecorder
	rate     int
	deadline time.Time
}

func (c *trickle) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *trickle) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(c.rate))
	if time.Now().After(c.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

// A reader has half a minute for each piece, and for the whole a minute and 32 KiB/s.
func TestReadersKeepAPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		rate, size int
		whole      bool
	}{
		{"stands still", 1, 64 << 10, false}, {"trickles", 3 << 10, 8 << 20, false},
		{"is too slow", 20 << 10, 8 << 20, false}, {"is slow, a short answer", 4 << 10, 200 << 10, true},
		{"keeps it", 33 << 10, 30 << 20, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := New(&trickle{ResponseRecorder: httptest.NewRecorder(), rate: c.rate},
				httptest.NewRequest("GET", "/", nil))
			w.WriteHeader(200)
			var sent int
			var err error
			for err == nil && sent < c.size { // as a list is written
				var n int
				n, err = w.Write(make([]byte, min(100_000, c.size-sent)))
				sent += n
			}
			if c.whole != (err == nil) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a reader that %s: %d bytes of %d, %v", c.name, sent, c.size, err)
			}
		})
	}
}

// TestFailuresAreLogged: a panic is an Error in the log, also of a quiet frame and of a client that left. A
// request that failed because its client left is a Warn.
func TestFailuresAreLogged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		quiet, left bool
		serve       func(*Response) error
		want        string // of the log
	}{
		"a success":                {false, false, func(*Response) error { return nil }, "level=INFO"},
		"a quiet success":          {true, false, func(*Response) error { return nil }, ""},
		"a quiet panic":            {true, false, func(*Response) error { panic("broken") }, "level=ERROR"},
		"a panic, the client left": {false, true, func(*Response) error { panic("broken") }, "level=ERROR"},
		"a store that fails, the client left": {false, true,
			func(*Response) error { return errors.New("broken") }, "level=ERROR"},
		"the client left": {false, true,
			func(*Response) error { return fmt.Errorf("reading: %w", context.Canceled) }, "level=WARN"},
		"the client left while the response was sent": {false, true, func(w *Response) error {
			w.WriteHeader(200)
			w.Note(w.Sending(os.ErrDeadlineExceeded))
			return nil
		}, "level=WARN"},
	} {
		var log bytes.Buffer
		r := httptest.NewRequest("GET", "/", nil)
		if c.left {
			ctx, cancel := context.WithCancel(r.Context())
			cancel()
			r = r.WithContext(ctx)
		}
		f := Frame{Message: "test", Log: slog.New(slog.NewTextHandler(&log, nil)), Quiet: c.quiet}
		f.Serve(httptest.NewRecorder(), r, c.serve, func(w *Response, err error) {
			w.Note(err)
			w.WriteHeader(500)
		})
		if got := log.String(); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: logged %q, want %q", name, got, c.want)
		}
	}
}

// slowSource takes its time for each read, as a blob store may.
type slowSource struct{ reads int }

func (s *slowSource) Read(p []byte) (int, error) {
	if s.reads--; s.reads < 0 {
		return 0, io.EOF
	}
	time.Sleep(45 * time.Second)
	return len(p), nil
}

// TestSlowSourcesAreNotTheClientsFault: the time that a source takes for a chunk is not counted against the
// client, whose deadline for the chunk begins after it.
func TestSlowSourcesAreNotTheClientsFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn := &trickle{ResponseRecorder: httptest.NewRecorder(), rate: 1 << 20}
		w := New(conn, httptest.NewRequest("GET", "/", nil))
		n, err := w.ReadFrom(&slowSource{reads: 1})
		if err != nil || n != ChunkSize {
			t.Errorf("sent %d bytes: %v", n, err)
		}
	})
}

// TestInterim: interim answers have their own headers only, reach clients of HTTP/1.1 at once, are not the status of
// the answer, and take nothing of its time.
func TestInterim(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(bare http.ResponseWriter, r *http.Request) {
		w := New(bare, r)
		w.Pace.Grace = 50 * time.Millisecond
		w.Header().Set("X-Final", "1")
		for _, n := range []string{"1", "2"} {
			if err := w.Interim(r, 104, http.Header{"Upload-Offset": {n}}); err != nil {
				t.Error(err)
			}
			if w.Status != 0 || w.Header().Get("X-Final") != "1" || w.Header().Get("Upload-Offset") != "" {
				t.Errorf("after an interim answer: %d, %v", w.Status, w.Header())
			}
		}
		time.Sleep(200 * time.Millisecond) // more than the time of an answer
		w.WriteHeader(201)
		if err := w.Interim(r, 104, http.Header{"Late": {"1"}}); err != nil {
			t.Error(err)
		}
		if _, err := w.Write([]byte("body")); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	for proto, want := range map[string]string{
		"HTTP/1.1": "HTTP/1.1 104 status code 104|Upload-Offset: 1||HTTP/1.1 104 status code 104|Upload-Offset: 2||HTTP/1.1 201",
		"HTTP/1.0": "HTTP/1.0 201",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET / %s\r\nHost: h\r\nConnection: close\r\n\r\n", proto)
		answer, err := io.ReadAll(conn)
		conn.Close()
		got := strings.ReplaceAll(string(answer), "\r\n", "|")
		if err != nil || !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "||body") ||
			!strings.Contains(got, "X-Final: 1|") || strings.Contains(got, "Late") {
			t.Errorf("%s: %v, %s", proto, err, got)
		}
	}
}
