package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"
)

// A flight is an upload whose bytes the test sends by hand, so that a crash can meet it anywhere.
type flight struct {
	url      oneTimeURL
	content  []byte
	bytes    []byte // of the whole request
	fileEnds int    // how many of them come before the file is complete
	sent     int
	conn     net.Conn
	landed   chan struct{} // closed when the answer, or none, has come
	answer                 // its status is 0 without an answer
	err      error
}

// depart opens a connection for an upload. Nothing is sent yet.
func depart(t *testing.T, u oneTimeURL, filename string, content []byte) *flight {
	t.Helper()
	return departWithKey(t, u, "", filename, content)
}

// departWithKey is depart with an Idempotency-Key, "" for none.
func departWithKey(t *testing.T, u oneTimeURL, key, filename string, content []byte) *flight {
	t.Helper()
	if key != "" {
		key = "Idempotency-Key: " + key + "\r\n"
	}
	target, err := url.Parse(u.UploadURL)
	if err != nil {
		t.Fatal(err)
	}
	body, kind := fileForm(t, filename, content)
	head := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\n"+
		"Content-Length: %d\r\n%sConnection: close\r\n\r\n",
		target.RequestURI(), target.Host, kind, body.Len(), key)
	f := openFlight(t, target.Host, append(head, body.Bytes()...))
	f.url, f.content = u, content
	f.fileEnds = bytes.LastIndex(f.bytes, []byte("\r\n--"))
	return f
}

// openFlight opens a connection for a request, whose body is not a form, and waits for its answer in the background.
func openFlight(t *testing.T, host string, request []byte) *flight {
	t.Helper()
	f := &flight{bytes: request, fileEnds: len(request), landed: make(chan struct{})}
	var err error
	if f.conn, err = net.DialTimeout("tcp", host, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.conn.Close() })
	go func() {
		defer close(f.landed)
		if f.err = f.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); f.err != nil {
			return
		}
		// Only a whole answer counts.
		if a, err := tryReadAnswer(f.conn); err == nil {
			f.answer = a
		} else {
			f.err = err
		}
	}()
	return f
}

// send sends the request up to its byte at end.
func (f *flight) send(t *testing.T, end int) {
	t.Helper()
	if _, err := f.conn.Write(f.bytes[f.sent:end]); err != nil {
		t.Fatalf("sending an upload: %v", err)
	}
	f.sent = end
}

func (f *flight) sendHalf(t *testing.T) { t.Helper(); f.send(t, f.fileEnds-len(f.content)/2) }
func (f *flight) sendFile(t *testing.T) { t.Helper(); f.send(t, f.fileEnds) }
func (f *flight) sendAll(t *testing.T)  { t.Helper(); f.send(t, len(f.bytes)) }
