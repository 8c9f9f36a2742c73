package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestPagesWithCredentials: a page that sends credentials along reads every answer, and one that asks
// for a wrong method reads that it is wrong.
func TestPagesWithCredentials(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	good, kind := fileForm(t, "a.jpg", photo(t, 64, 48, 1))
	const origin = "https://app.example"
	for _, c := range []struct {
		method string
		body   io.Reader
		status int
	}{
		{"DELETE", strings.NewReader("x"), 405}, {"PATCH", nil, 405}, {"GET", nil, 200},
		{"POST", strings.NewReader("--b--"), 400}, {"POST", good, 200}, {"POST", strings.NewReader("x"), 409},
	} {
		a := do(t, "OPTIONS", u.UploadURL, nil, "Origin", origin,
			"Access-Control-Request-Method", c.method,
			"Access-Control-Request-Headers", "authorization,x-mine")
		if a.status != http.StatusNoContent ||
			!strings.Contains(a.header.Get("Access-Control-Allow-Methods"), c.method) ||
			a.header.Get("Access-Control-Allow-Headers") != "authorization,x-mine" {
			t.Errorf("the preflight of %s: %d, %v", c.method, a.status, a.header)
		}
		wantCredentials(t, a, origin)
		a = do(t, c.method, u.UploadURL, c.body, "Origin", origin, "Content-Type", kind)
		if a.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.method, a.status, c.status, a.body)
		}
		wantCredentials(t, a, origin)
	}
}

func wantCredentials(t *testing.T, a answer, origin string) {
	t.Helper()
	wantHeadersFor(t, a.header, origin)
	if a.header.Get("Access-Control-Allow-Credentials") != "true" ||
		!strings.Contains(strings.Join(a.header.Values("Vary"), ","), "Origin") {
		t.Errorf("status %d: %v", a.status, a.header)
	}
}

// TestAnUploadHostOfItsOwn takes the path of imagedelivery.net there, without /upload.
func TestAnUploadHostOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-upload-url", "https://upload.example")
	for _, path := range []string{"/upload", ""} {
		u := s.createUploadURL()
		whole, err := url.Parse(u.UploadURL)
		if err != nil || whole.Host != "upload.example" {
			t.Fatalf("%s: %v", u.UploadURL, err)
		}
		body, kind := fileForm(t, "a.jpg", photo(t, 64, 48, 1))
		target := s.url + path + strings.TrimPrefix(whole.Path, "/upload") + "?" + whole.RawQuery
		request, err := http.NewRequestWithContext(t.Context(), "POST", target, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = whole.Host
		request.Header.Set("Content-Type", kind)
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if p, ok := s.image(u.ID); response.StatusCode != http.StatusOK || !ok || p.Draft {
			t.Errorf("%q: status %d, %+v", path, response.StatusCode, p)
		}
	}
}

// TestATooLargeFormIsRefusedBeforeItIsSent: a client that asks first is answered before it sends.
func TestATooLargeFormIsRefusedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	whole, err := url.Parse(u.UploadURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{whole.RequestURI(), "/client/v4/accounts/" + accountID + "/images/v1"} {
		conn, err := net.Dial("tcp", whole.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n"+
			"Expect: 100-continue\r\n\r\n", target, whole.Host, token, 12<<20)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d, want 413", response.StatusCode)
		}
	}
	if d := s.draftOf(u.ID); d.Attempts != 0 {
		t.Errorf("%d attempts, though nothing was sent", d.Attempts)
	}
}

// TestMetadataOfPHP sends an empty list, which is what PHP makes of an empty map.
func TestMetadataOfPHP(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	body, kind := fileForm(t, "a.jpg", photo(t, 64, 48, 1))
	field := "\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n[]\r\n--" + boundaryOf(kind)
	whole := bytes.Replace(body.Bytes(), []byte(boundaryOf(kind)), []byte(boundaryOf(kind)+field), 1)
	a := s.api("POST", "images/v1", bytes.NewReader(whole), "Content-Type", kind)
	var p picture
	if err := json.Unmarshal(a.envelope(t).Result, &p); err != nil || a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	draft := s.createUploadURL("metadata", "[ ]")
	for _, id := range []string{p.ID, draft.ID} {
		a := s.api("PATCH", "images/v1/"+id, strings.NewReader(`{"metadata":[]}`),
			"Content-Type", "application/json")
		if p, ok := s.image(id); a.status != http.StatusOK || !ok || string(p.Meta) != "{}" {
			t.Errorf("PATCH: status %d, then %s", a.status, p.Meta)
		}
	}
}
