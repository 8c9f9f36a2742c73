package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.DialTimeout("tcp", u.Host, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}

const rawBoundary = "raw-boundary"

// formFrame is what stands around the file in a form that is sent by hand.
func formFrame() (before, after string) {
	return "--" + rawBoundary + "\r\nContent-Disposition: form-data; name=\"file\"; " +
		"filename=\"a.jpg\"\r\nContent-Type: image/jpeg\r\n\r\n", "\r\n--" + rawBoundary + "--\r\n"
}

// sendHead sends the head of a form's request.
func sendHead(t *testing.T, conn net.Conn, uploadURL string, length int, header ...string) {
	t.Helper()
	u, err := url.Parse(uploadURL)
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n"+
		"Content-Type: multipart/form-data; boundary=%s\r\n", u.RequestURI(), u.Host, length, rawBoundary)
	for _, line := range header {
		head += line + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		t.Fatal(err)
	}
}

func readAnswer(t *testing.T, conn net.Conn) answer {
	t.Helper()
	a, err := tryReadAnswer(conn)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return a
}

// tryReadAnswer is readAnswer for other goroutines than the test's.
func tryReadAnswer(conn net.Conn) (a answer, err error) {
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return a, err
	}
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	return a, errors.Join(err, response.Body.Close())
}

// unmarshalResult reads the result of an answer in an envelope.
func unmarshalResult(a answer, result any) error {
	var e struct{ Result json.RawMessage }
	if err := json.Unmarshal(a.body, &e); err != nil {
		return err
	}
	return json.Unmarshal(e.Result, result)
}

// compact returns JSON without spaces.
func compact(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// awaitSpool waits until n bodies are being received.
func (s *server) awaitSpool(n int) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		files, err := os.ReadDir(filepath.Join(s.data, "spool"))
		if err != nil {
			s.t.Fatal(err)
		}
		if len(files) == n {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%d bodies are being received, want %d", len(files), n)
		}
	}
}

// TestNothingFollowsABodyInChunks sends a request with both kinds of length, and a second one behind
// it: where the first one ends is not certain, so the second is not answered.
func TestNothingFollowsABodyInChunks(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, length := range []string{"", "Content-Length: 4\r\n"} {
		conn := dial(t, s.url)
		_, err := io.WriteString(conn, "POST /upload/x HTTP/1.1\r\nHost: x\r\n"+length+
			"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(conn) // to its end: the connection is closed
		if err != nil || bytes.Count(all, []byte("HTTP/1.1 ")) != 1 ||
			!bytes.Contains(all, []byte("\r\nConnection: close\r\n")) {
			t.Errorf("%q: %v, %q", length, err, all)
		}
	}
}
