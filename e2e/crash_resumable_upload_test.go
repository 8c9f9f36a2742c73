package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A resumableProtocol has the headers of a protocol of resumable uploads, as "Name: value", for the tests that kill the
// server.
type resumableProtocol struct {
	name                string
	all, create, append []string // headers of all requests, of a creation with bytes, of the request with the last bytes
	open, used          int      // statuses of HEAD: of an open or complete upload, and to a used ticket
}

var resumableProtocols = []*resumableProtocol{
	{"tus", []string{"Tus-Resumable: 1.0.0"}, []string{"Content-Type: application/offset+octet-stream"},
		[]string{"Content-Type: application/offset+octet-stream"}, http.StatusOK, http.StatusGone},
	{"IETF", nil, []string{"Upload-Complete: ?0", "Content-Type: application/octet-stream"},
		[]string{"Upload-Complete: ?1", "Content-Type: application/partial-upload"}, http.StatusNoContent,
		http.StatusConflict},
}

// A resumable is a resumable upload, and its request in flight.
type resumable struct {
	protocol *resumableProtocol
	ticket   oneTimeURL
	url      string
	content  []byte
	flight   *flight
}

// send sends a request of the protocol.
func (u *resumable) send(ctx context.Context, method, url string, body []byte, header ...string) (answer, error) {
	var all []string
	for _, line := range append(u.protocol.all, header...) {
		name, value, _ := strings.Cut(line, ": ")
		all = append(all, name, value)
	}
	return send(ctx, method, url, bytes.NewReader(body), all...)
}

// create creates the upload with its first n bytes, which must be acknowledged.
func (u *resumable) create(t *testing.T, n int) {
	t.Helper()
	a, err := u.send(t.Context(), "POST", u.ticket.UploadURL, u.content[:n], append(u.protocol.create,
		fmt.Sprint("Upload-Length: ", len(u.content)))...)
	if err != nil || a.status != http.StatusCreated || a.header.Get("Upload-Offset") != strconv.Itoa(n) {
		t.Fatalf("an upload over %s was created with %d, %v: %v", u.protocol.name, a.status, err, a.header)
	}
	u.url = a.header.Get("Location")
}

// patch sends the bytes from offset on, which end the upload.
func (u *resumable) patch(ctx context.Context, offset int) (answer, error) {
	return u.send(ctx, "PATCH", u.url, u.content[offset:], append(u.protocol.append,
		fmt.Sprint("Upload-Offset: ", offset))...)
}

// ask sends a request without a body.
func (u *resumable) ask(t *testing.T, method string) answer {
	t.Helper()
	a, err := u.send(t.Context(), method, u.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// offset returns what HEAD answers. The status of an upload that is open or complete is 200, whatever the protocol.
func (u *resumable) offset(t *testing.T) (offset, status int) {
	t.Helper()
	a := u.ask(t, "HEAD")
	if a.status != u.protocol.open {
		return 0, a.status
	}
	offset, err := strconv.Atoi(a.header.Get("Upload-Offset"))
	if err != nil {
		t.Errorf("HEAD over %s has no offset: %v", u.protocol.name, a.header)
	}
	return offset, http.StatusOK
}

// depart opens the connection of the request that sends the bytes from offset on. Nothing is sent yet.
func (u *resumable) depart(t *testing.T, offset int) {
	t.Helper()
	target, err := url.Parse(u.url)
	if err != nil {
		t.Fatal(err)
	}
	rest := u.content[offset:]
	head := fmt.Appendf(nil, "PATCH %s HTTP/1.1\r\nHost: %s\r\n%s\r\nUpload-Offset: %d\r\nContent-Length: %d\r\n"+
		"Connection: close\r\n\r\n", target.RequestURI(), target.Host,
		strings.Join(append(u.protocol.all, u.protocol.append...), "\r\n"), offset, len(rest))
	u.flight = openFlight(t, target.Host, append(head, rest...))
	u.flight.content = rest
}

// resume counts an upload whose client continued at an offset.
func (c *resumableCount) resume(u *resumable, offset int) {
	begin := len(u.content) - len(u.flight.content)
	again := max(0, u.flight.sent-(len(u.flight.bytes)-len(u.flight.content))+begin-offset)
	c.resumed++
	c.sentAgain, c.mostAgain = c.sentAgain+again, max(c.mostAgain, again)
}

func flightsOf(uploads []*resumable) (flights []*flight) {
	for _, u := range uploads {
		flights = append(flights, u.flight)
	}
	return flights
}
