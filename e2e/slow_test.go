package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAnUnwantedBodyHoldsNothingUp announces a body that no handler reads and never sends it: the request is
// answered, and the connection is closed.
func TestAnUnwantedBodyHoldsNothingUp(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, path := range []string{"/healthz", "/readyz", "/", "/sample.jpg", "/nohash", "/try"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			request := "GET " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			response, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Errorf("half an answer: %v", err)
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("the connection continues: %v", err)
			}
		})
	}
}
