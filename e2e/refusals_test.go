package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// in returns the server for the use of a subtest.
func (s *server) in(t *testing.T) *server {
	c := *s
	c.t = t
	return &c
}

// repeatable are the codes of refusals that the same request may escape when it is sent again.
var repeatable = map[int]bool{5408: true, 5429: true, 5433: true, 5503: true}

// wantRefusal checks what all refusals of the upload URL have in common.
func wantRefusal(t *testing.T, a answer, status, code int) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	wantUploadHeaders(t, a.header)
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		t.Errorf("Content-Type %q", kind)
	}
	retry := "false"
	if repeatable[code] {
		retry = ""
	}
	if got := a.header.Get("X-Should-Retry"); got != retry {
		t.Errorf("X-Should-Retry %q, want %q", got, retry)
	}
	var e struct {
		Result  *json.RawMessage
		Success *bool
		Errors  []struct {
			Code    int
			Message string
		}
		Messages []json.RawMessage
	}
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("no envelope: %v\n%.300s", err, a.body)
	}
	if e.Result != nil || e.Success == nil || *e.Success || e.Messages == nil ||
		len(e.Messages) != 0 || len(e.Errors) != 1 {
		t.Fatalf("not the envelope of a refusal:\n%s", a.body)
	}
	if e.Errors[0].Code != code || len(e.Errors[0].Message) < 10 {
		t.Errorf("error %d %q, want code %d", e.Errors[0].Code, e.Errors[0].Message, code)
	}
}

// wantUploadHeaders checks what every answer under /upload/ has, to a request without an origin.
func wantUploadHeaders(t *testing.T, h http.Header) {
	t.Helper()
	wantHeadersFor(t, h, "*")
}

// wantHeadersFor is wantUploadHeaders for an answer that a page of an origin must be able to read.
func wantHeadersFor(t *testing.T, h http.Header, origin string) {
	t.Helper()
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": origin, "Cache-Control": "no-store",
		"Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		if got := h.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// refusalText is the first error's message.
func refusalText(t *testing.T, a answer) string {
	t.Helper()
	if e := a.envelope(t); len(e.Errors) > 0 {
		return e.Errors[0].Message
	}
	return ""
}

// draftOf returns the upload part of a draft's details.
func (s *server) draftOf(id string) (upload struct {
	Attempts  int
	LastError *struct{ Code int }
}) {
	s.t.Helper()
	var p struct {
		Draft  bool
		Upload any
	}
	p.Upload = &upload
	a := s.api("GET", "images/v1/"+id, nil)
	if err := json.Unmarshal(a.envelope(s.t).Result, &p); err != nil || !p.Draft {
		s.t.Fatalf("not a draft: %v\n%s", err, a.body)
	}
	return upload
}

// withTicket returns the URL with another ticket.
func withTicket(t *testing.T, uploadURL, ticket string) string {
	t.Helper()
	u, err := url.Parse(uploadURL)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{"ticket": {ticket}}.Encode()
	return u.String()
}

func TestTicketRefusals(t *testing.T) {
	t.Parallel()
	shared, good := newServer(t), photo(t, 64, 48, 1)
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		s := shared.in(t)
		u, other := s.createUploadURL(), s.createUploadURL()
		bare, _, _ := strings.Cut(u.UploadURL, "?")
		unknown := post(t, withTicket(t, u.UploadURL, "AAAAAAAAAAAAAAAAAAAAAAAAAA"), "a.jpg", good)
		missing := post(t, bare, "a.jpg", good)
		if !strings.Contains(refusalText(t, missing), "its ?ticket=... is missing") {
			t.Errorf("without a ticket: %s", missing.body)
		}
		for name, pair := range map[string][2]answer{
			"no ticket":      {missing, missing},
			"unknown path":   {post(t, s.url+"/upload/x/y?ticket=A", "a.jpg", good), unknown},
			"empty ticket":   {post(t, bare+"?ticket=", "a.jpg", good), missing},
			"no path at all": {post(t, s.url+"/upload/", "a.jpg", good), missing},
			"a percent sign": {post(t, bare+"?ticket=%zz", "a.jpg", good), missing},
		} {
			wantRefusal(t, pair[0], http.StatusNotFound, 5404)
			if refusalText(t, pair[0]) != refusalText(t, pair[1]) {
				t.Errorf("%s: %s, not as %s", name, pair[0].body, pair[1].body)
			}
		}
		// The ticket alone finds the draft.
		ticket := u.UploadURL[strings.LastIndex(u.UploadURL, "="):]
		if a := post(t, s.url+"/upload/x/"+other.ID+"?ticket"+ticket, "a.jpg", good); a.status != 200 {
			t.Errorf("status %d\n%s", a.status, a.body)
		}
		if p, ok := s.image(u.ID); !ok || p.Draft {
			t.Error("the ticket did not find its draft")
		}
		if p, ok := s.image(other.ID); !ok || !p.Draft {
			t.Error("the path found a draft")
		}
	})
	t.Run("used", func(t *testing.T) {
		t.Parallel()
		u := shared.in(t).createUploadURL()
		if a := post(t, u.UploadURL, "a.jpg", good); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		} else {
			wantUploadHeaders(t, a.header)
		}
		wantRefusal(t, post(t, u.UploadURL, "a.jpg", good), http.StatusConflict, 5409)
	})
	t.Run("lost answer", func(t *testing.T) { t.Parallel(); lostAnswer(t, shared.in(t), good) })
	t.Run("cancelled", func(t *testing.T) {
		t.Parallel()
		s := shared.in(t)
		u := s.createUploadURL()
		if a := s.api("DELETE", "images/v1/"+u.ID, nil); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
		wantRefusal(t, post(t, u.UploadURL, "a.jpg", good), http.StatusNotFound, 5404)
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		s := shared.in(t)
		u := s.createUploadURL()
		past := time.Now().Add(-time.Second).UnixMicro()
		if err := s.behind(func(db *sql.DB) error {
			_, err := db.Exec(`UPDATE images SET expires = ? WHERE id = ?`, past, u.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, post(t, u.UploadURL, "a.jpg", good), http.StatusGone, 5410)
		if p, ok := s.image(u.ID); !ok || !p.Draft {
			t.Error("the expired draft cannot be seen")
		}
	})
	t.Run("dead", func(t *testing.T) { t.Parallel(); deadTicket(t, shared.in(t), good) })
}

// lostAnswer repeats the winner's request: with its Idempotency-Key it gets the answer again.
func lostAnswer(t *testing.T, s *server, good []byte) {
	u := s.createUploadURL()
	send := func(key string, picture []byte) answer {
		body, kind := fileForm(t, "a.jpg", picture)
		return do(t, "POST", u.UploadURL, body, "Content-Type", kind, "Idempotency-Key", key)
	}
	first := send("key-1", good)
	if first.status != http.StatusOK {
		t.Fatalf("status %d\n%s", first.status, first.body)
	}
	if again := send("key-1", good); again.status != 200 || !bytes.Equal(again.body, first.body) {
		t.Errorf("the repeat got status %d\n%s", again.status, again.body)
	}
	wantRefusal(t, send("key-1", photo(t, 64, 48, 2)), http.StatusConflict, 5409)
	wantRefusal(t, send("key-2", good), http.StatusConflict, 5409)
}

// deadTicket refuses ten bodies; those that are no complete picture do not count.
func deadTicket(t *testing.T, s *server, good []byte) {
	u := s.createUploadURL()
	for range 11 {
		body, kind := form(t, "other", "x")
		wantRefusal(t, do(t, "POST", u.UploadURL, body, "Content-Type", kind),
			http.StatusBadRequest, 5400)
	}
	if n := s.draftOf(u.ID).Attempts; n != 0 {
		t.Errorf("%d attempts, though no picture came", n)
	}
	for i := range 10 {
		if i == 9 {
			if p, ok := s.image(u.ID); !ok || !p.Draft {
				t.Error("there is no draft after nine refusals")
			}
		}
		body := fmt.Appendf(nil, "no picture %d", i)
		wantRefusal(t, post(t, u.UploadURL, "a.jpg", body), 415, 5455)
		if i < 9 { // the same body again does not count
			wantRefusal(t, post(t, u.UploadURL, "a.jpg", body), 415, 5455)
		}
	}
	if d := s.draftOf(u.ID); d.Attempts != 10 || d.LastError == nil || d.LastError.Code != 5455 {
		t.Errorf("the draft says %+v", d)
	}
	wantRefusal(t, post(t, u.UploadURL, "a.jpg", good), http.StatusGone, 5410)
}

func TestFormRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	good := photo(t, 64, 48, 3)
	file, kind := fileForm(t, "a.jpg", good)
	whole := file.Bytes()
	two := strings.Replace(file.String(), "--"+boundaryOf(kind)+"--", "", 1) + file.String()
	text, textKind := form(t, "file2", "x", "url", "http://127.0.0.1:9/")
	empty, emptyKind := form(t)
	tests := map[string]struct {
		body         []byte
		kind         string
		header       []string
		status, code int
	}{
		"no file":           {text.Bytes(), textKind, nil, 400, 5400},
		"an empty form":     {empty.Bytes(), emptyKind, nil, 400, 5400},
		"two files":         {[]byte(two), kind, nil, 400, 5400},
		"incomplete":        {whole[:len(whole)-60], kind, nil, 400, 5400},
		"no last boundary":  {whole[:len(whole)-4], kind, nil, 400, 5400},
		"nothing":           {nil, kind, nil, 400, 5400},
		"another boundary":  {whole, "multipart/form-data; boundary=other", nil, 400, 5400},
		"raw text":          {[]byte("Guten Tag"), "text/plain", nil, 415, 5415},
		"JSON":              {[]byte("{}"), "application/json", nil, 415, 5415},
		"a raw PDF":         {[]byte("%PDF-1.7\n%âãÏÓ\n"), "image/jpeg", nil, 415, 5455},
		"an empty body":     {nil, "image/jpeg", nil, 415, 5455},
		"half a raw JPEG":   {good[:len(good)/2], "", nil, 422, 9422},
		"a raw part":        {good, "image/jpeg", []string{"Content-Range", "bytes 0-9/10"}, 415, 5415},
		"a form in parts":   {whole, kind, []string{"Upload-Complete", "?0"}, 415, 5415},
		"an offset":         {whole, kind, []string{"Upload-Offset", "0"}, 415, 5415},
		"no boundary":       {whole, "multipart/form-data", nil, 415, 5415},
		"urlencoded":        {[]byte("file=x"), "application/x-www-form-urlencoded", nil, 415, 5415},
		"multipart/mixed":   {whole, "multipart/mixed; boundary=" + boundaryOf(kind), nil, 415, 5415},
		"a gzip body":       {whole, kind, []string{"Content-Encoding", "gzip"}, 415, 5415},
		"an empty file":     {fileBody(t, nil, kind), kind, nil, 415, 5455},
		"text":              {fileBody(t, []byte("Guten Tag"), kind), kind, nil, 415, 5455},
		"a PDF":             {fileBody(t, []byte("%PDF-1.7\n%âãÏÓ\n"), kind), kind, nil, 415, 5455},
		"a TIFF":            {fileBody(t, []byte("II*\x00\x08\x00\x00\x00"), kind), kind, nil, 415, 5455},
		"half a JPEG":       {fileBody(t, good[:len(good)/2], kind), kind, nil, 422, 9422},
		"the start of JPEG": {fileBody(t, good[:12], kind), kind, nil, 422, 9422},
	}
	u := s.createUploadURL()
	t.Run("group", func(t *testing.T) {
		for name, tt := range tests {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				a := do(t, "POST", u.UploadURL, bytes.NewReader(tt.body),
					append([]string{"Content-Type", tt.kind}, tt.header...)...)
				wantRefusal(t, a, tt.status, tt.code)
			})
		}
	})
	// Nothing of that used the ticket.
	if a := post(t, u.UploadURL, "a.jpg", good); a.status != http.StatusOK {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
}

func boundaryOf(contentType string) string {
	_, boundary, _ := strings.Cut(contentType, "boundary=")
	return boundary
}

// fileBody is the body of fileForm, with the boundary of contentType.
func fileBody(t *testing.T, content []byte, contentType string) []byte {
	t.Helper()
	body, kind := fileForm(t, "a.jpg", content)
	return bytes.ReplaceAll(body.Bytes(), []byte(boundaryOf(kind)), []byte(boundaryOf(contentType)))
}

func TestMethodRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	for _, method := range []string{"DELETE", "PATCH", "PROPFIND"} {
		t.Run(method, func(t *testing.T) {
			// A method that a header names changes nothing.
			a := do(t, method, u.UploadURL, nil, "Authorization", "Bearer "+token, "X-HTTP-Method-Override", "GET")
			if allow := a.header.Get("Allow"); allow != "GET, HEAD, POST, PUT, OPTIONS" {
				t.Errorf("Allow: %q", allow)
			}
			wantRefusal(t, a, http.StatusMethodNotAllowed, 5400)
		})
	}
	for _, resource := range []string{"tus", "resumable"} {
		for _, method := range []string{"POST", "PUT", "PROPFIND"} {
			t.Run(resource+" "+method, func(t *testing.T) {
				a := do(t, method, s.url+"/upload/"+resource+"/"+strings.Repeat("A", 26), nil, "Tus-Resumable", "1.0.0",
					"X-HTTP-Method-Override", "PATCH")
				if allow := a.header.Get("Allow"); allow != "GET, HEAD, PATCH, DELETE, OPTIONS" {
					t.Errorf("Allow: %q", allow)
				}
				wantRefusal(t, a, http.StatusMethodNotAllowed, 5400)
			})
		}
	}
	if p, ok := s.image(u.ID); !ok || !p.Draft {
		t.Error("a wrong method changed the draft")
	}
}

// TestPreflight: the answer lets any page post any form, and shows nothing of the ticket.
func TestPreflight(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	alive, used := s.createUploadURL(), s.createUploadURL()
	post(t, used.UploadURL, "a.jpg", photo(t, 64, 48, 4))
	var first http.Header
	for name, target := range map[string]string{
		"alive": alive.UploadURL, "used": used.UploadURL,
		"unknown": s.url + "/upload/x/y?ticket=z", "no ticket": s.url + "/upload/x/y",
	} {
		a := do(t, "OPTIONS", target, nil, "Origin", "https://app.example",
			"Access-Control-Request-Method", "POST",
			"Access-Control-Request-Headers", "content-type, idempotency-key")
		if a.status != http.StatusNoContent || len(a.body) != 0 {
			t.Errorf("%s: status %d, %q", name, a.status, a.body)
		}
		wantHeadersFor(t, a.header, "https://app.example")
		if allow := a.header.Get("Access-Control-Allow-Methods"); !strings.Contains(allow, "POST") {
			t.Errorf("%s: Access-Control-Allow-Methods %q", name, allow)
		}
		allow := strings.ToLower(a.header.Get("Access-Control-Allow-Headers"))
		if !strings.Contains(allow, "*") && !strings.Contains(allow, "content-type") {
			t.Errorf("%s: Access-Control-Allow-Headers %q", name, allow)
		}
		a.header.Del("X-Request-Id")
		a.header.Del("Date")
		if first == nil {
			first = a.header
		}
		if fmt.Sprint(a.header) != fmt.Sprint(first) {
			t.Errorf("%s shows in its preflight: %v, not %v", name, a.header, first)
		}
	}
}
