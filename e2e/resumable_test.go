package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wantHeaders checks headers of an answer; the value "" is an absent header.
func wantHeaders(t *testing.T, name string, h http.Header, want ...string) {
	t.Helper()
	for i := 0; i+1 < len(want); i += 2 {
		if got := strings.Join(h.Values(want[i]), "|"); got != want[i+1] {
			t.Errorf("%s: %s is %q, want %q", name, want[i], got, want[i+1])
		}
	}
}

// wantStatus checks the status of an answer, and its code, 0 for none.
func wantStatus(t *testing.T, name string, a answer, status, code int) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: status %d, want %d: %.300s", name, a.status, status, a.body)
	}
	wantUploadHeaders(t, a.header)
	if len(a.body) > 0 && a.code(t) != code || len(a.body) == 0 && code != 0 {
		t.Errorf("%s: want code %d: %.300s", name, code, a.body)
	}
}

// must fails the test if a request got no answer.
func must(t *testing.T) func(a answer, err error) answer {
	return func(a answer, err error) answer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

// wantProblem checks the problem in a refusal, which is an envelope too.
func wantProblem(t *testing.T, name string, a answer, status int, kind string, offsets ...int64) {
	t.Helper()
	wantStatus(t, name, a, status, map[int]int{400: 5400, 409: 5409}[status])
	var p struct {
		Type, Title string
		Status      int
		Expected    *int64 `json:"expected-offset"`
		Provided    *int64 `json:"provided-offset"`
		Success     *bool
	}
	if err := json.Unmarshal(a.body, &p); err != nil || p.Status != status || p.Title == "" || p.Success == nil ||
		p.Type != "https://iana.org/assignments/http-problem-types#"+kind {
		t.Errorf("%s: %v: %s", name, err, a.body)
	}
	wantHeaders(t, name, a.header, "Content-Type", "application/problem+json")
	switch {
	case len(offsets) == 0 && (p.Expected != nil || p.Provided != nil):
		t.Errorf("%s: there are offsets: %s", name, a.body)
	case len(offsets) == 2 && (p.Expected == nil || p.Provided == nil || *p.Expected != offsets[0] || *p.Provided != offsets[1]):
		t.Errorf("%s: want the offsets %v: %s", name, offsets, a.body)
	}
}

// TestIETF is an upload in parts by each version of the draft, with every refusal that the draft names.
func TestIETF(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for version, age := range map[string]string{
		"6": "expires=", "7": "max-age=", "8": "max-age=", "9": "max-age=", "10": "max-age=",
	} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			ietfInParts(t, s.in(t), version, age)
		})
	}
}

func ietfInParts(t *testing.T, s *server, version, age string) {
	ctx, do := t.Context(), must(t)
	content := append(photo(t, 640, 480, 300), make([]byte, 3<<20)...)
	n, length := len(content), strconv.Itoa(len(content))
	u := s.createUploadURL()
	up := &ietfUpload{version: version}
	a := do(up.create(ctx, "POST", u.UploadURL, "a.jpg", content[:20_000], false, "Upload-Length", length))
	wantStatus(t, "creation", a, http.StatusCreated, 0)
	wantHeaders(t, "creation", a.header, "Location", up.url, "Upload-Offset", "20000", "Upload-Complete", "?0")
	limits := a.header.Get("Upload-Limit")
	if !strings.HasPrefix(limits, "max-size=10485760, min-append-size=") || !strings.Contains(limits, ", "+age+"21") {
		t.Errorf("Upload-Limit %q", limits)
	}
	if len(up.interim) == 0 || !strings.HasPrefix(up.url, s.url+"/upload/resumable/") {
		t.Fatalf("no interim answer, Location %q", up.url)
	}
	wantHeaders(t, "the first interim answer", up.interim[0], "Location", up.url, "Upload-Draft-Interop-Version", version,
		"Access-Control-Allow-Origin", "", "Upload-Offset", "")
	if !strings.Contains(up.interim[0].Get("Upload-Limit"), age) {
		t.Errorf("the first interim answer: %v", up.interim[0])
	}
	head := func(name string, status int, headers ...string) {
		t.Helper()
		a := do(up.send(ctx, "HEAD", up.url, nil))
		wantStatus(t, name, a, status, 0)
		wantHeaders(t, name, a.header, headers...)
	}
	head("HEAD", 204, "Upload-Offset", "20000", "Upload-Length", length, "Upload-Complete", "?0", "Cache-Control", "no-store")
	patch := func(content []byte, header ...string) answer {
		return do(up.send(ctx, "PATCH", up.url, content, header...))
	}
	kind := []string{"Content-Type", "application/partial-upload"}
	part := content[20_000:40_000]
	wantProblem(t, "another offset", do(up.patch(ctx, 10_000, part, false)), 409, "mismatching-upload-offset", 20_000, 10_000)
	wantHeaders(t, "another offset", do(up.patch(ctx, 10_000, part, false)).header, "Upload-Offset", "20000")
	wantStatus(t, "no offset", patch(part, append(kind, "Upload-Complete", "?0")...), 400, 5400)
	wantStatus(t, "no integer", patch(part, append(kind, "Upload-Complete", "?0", "Upload-Offset", `"20000"`)...), 400, 5400)
	wantStatus(t, "not said whether complete", patch(part, append(kind, "Upload-Offset", "20000")...), 400, 5400)
	a = patch(part, "Content-Type", "application/octet-stream", "Upload-Complete", "?0", "Upload-Offset", "20000")
	wantStatus(t, "another type", a, 415, 5415)
	wantHeaders(t, "another type", a.header, "Accept-Patch", "application/partial-upload", "Upload-Complete", "?0")
	wantProblem(t, "another length", do(up.patch(ctx, 20_000, part, false, "Upload-Length", "50000")), 400,
		"inconsistent-upload-length")
	wantProblem(t, "complete too early", do(up.patch(ctx, 20_000, part, true)), 400, "inconsistent-upload-length")
	wantProblem(t, "beyond the length", do(up.patch(ctx, 20_000, content, false)), 400, "inconsistent-upload-length")
	head("after refusals", 204, "Upload-Offset", "20000")
	a = do(up.send(ctx, "GET", up.url, nil))
	wantStatus(t, "GET of an open upload", a, 204, 0)
	wantHeaders(t, "GET", a.header, "Upload-Offset", "20000", "Upload-Length", length, "Upload-Complete", "?0",
		"Cache-Control", "no-store")
	before := len(up.interim)
	a = do(up.patch(ctx, 20_000, content[20_000:n-1000], false))
	wantStatus(t, "append", a, 204, 0)
	wantHeaders(t, "append", a.header, "Upload-Complete", "?0", "Upload-Offset", strconv.Itoa(n-1000), "Location", "")
	if len(up.interim) < before+2 {
		t.Errorf("%d interim answers of 3 MiB", len(up.interim)-before)
	}
	for _, h := range up.interim[before:] {
		at, err := strconv.Atoi(h.Get("Upload-Offset"))
		if err != nil || at <= 20_000 || at > n || h.Get("Location") != "" {
			t.Errorf("an interim answer: %v", h)
		}
	}
	a = do(up.patch(ctx, n-1000, content[n-1000:], true))
	wantStatus(t, "the end", a, 200, 0)
	wantHeaders(t, "the end", a.header, "Upload-Complete", "?1", "Upload-Offset", length)
	wantStored(t, s, "IETF", u.ID, "a.jpg", content)
	head("a complete upload", 204, "Upload-Offset", length, "Upload-Length", length, "Upload-Complete", "?1")
	if b := do(up.send(ctx, "GET", up.url, nil)); b.status != 200 || !bytes.Equal(b.body, a.body) {
		t.Errorf("the answer is not kept: %d %s", b.status, b.body)
	}
	wantProblem(t, "complete twice", do(up.patch(ctx, n, nil, true)), 400, "completed-upload")
	wantProblem(t, "beyond the end", do(up.patch(ctx, n, []byte("x"), true)), 400, "inconsistent-upload-length")
	wantProblem(t, "an old offset", do(up.patch(ctx, n-1000, content[n-1000:], true)), 409, "mismatching-upload-offset",
		int64(n), int64(n-1000))
	wantStatus(t, "DELETE", do(up.send(ctx, "DELETE", up.url, nil)), 204, 0)
	head("a deleted upload", 404)
	wantStored(t, s, "IETF", u.ID, "a.jpg", content)
}

// TestIETFCreation: who asks for what gets a resumable upload, and in which answers its URL is.
func TestIETFCreation(t *testing.T) {
	t.Parallel()
	s, content := newServer(t), photo(t, 640, 480, 310)
	for name, c := range map[string]struct {
		version  string
		complete bool
		header   []string
		status   int
		interim  bool // an interim answer with the Location
		location bool // in the answer
	}{
		"at once":                {"8", true, nil, 200, true, false},
		"at once, no version":    {"", true, nil, 200, false, false},
		"at once, version 5":     {"5", true, nil, 200, false, false},
		"at once, version 9":     {"9", true, nil, 200, true, false},
		"at once, version 10":    {"10", true, nil, 200, true, false},
		"at once, version 11":    {"11", true, nil, 200, false, false},
		"in parts":               {"7", false, nil, 201, true, true},
		"in parts, no version":   {"", false, nil, 201, false, true},
		"in parts, version 11":   {"11", false, nil, 201, false, true},
		"the length too":         {"8", true, []string{"Upload-Length", strconv.Itoa(len(content))}, 200, true, false},
		"another length":         {"8", true, []string{"Upload-Length", "5"}, 400, false, false},
		"too large":              {"8", false, []string{"Upload-Length", "10485761"}, 413, false, false},
		"no valid length":        {"8", true, []string{"Upload-Length", "-5"}, 200, true, false},
		"a type that is no type": {"8", true, []string{"Content-Type", "text/plain"}, 415, false, false},
		"a coding":               {"8", true, []string{"Content-Encoding", "gzip"}, 415, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			u, up := s.createUploadURL(), &ietfUpload{version: c.version}
			a := must(t)(up.create(t.Context(), "PUT", u.UploadURL, "a.jpg", content, c.complete, c.header...))
			if a.status != c.status || (len(up.interim) > 0 && up.interim[0].Get("Location") != "") != c.interim ||
				(a.header.Get("Location") != "") != c.location {
				t.Errorf("%d, interim %v, %v: %s", a.status, up.interim, a.header, a.body)
			}
			if c.status == 413 {
				wantHeaders(t, name, a.header, "Upload-Limit", "max-size=10485760")
			}
			if c.status == 400 {
				wantProblem(t, name, a, 400, "inconsistent-upload-length")
			}
			if c.status == 200 {
				wantStored(t, s, name, u.ID, "a.jpg", content)
			} else if p, ok := s.image(u.ID); !ok || !p.Draft {
				t.Errorf("the draft is %+v", p)
			}
		})
	}
	t.Run("a form that may be resumed", func(t *testing.T) { // as iOS sends every upload
		t.Parallel()
		u := s.in(t).createUploadURL()
		body, kind := fileForm(t, "a.jpg", content)
		up := &ietfUpload{version: "8"}
		a := must(t)(up.send(t.Context(), "POST", u.UploadURL, body.Bytes(), "Content-Type", kind, "Upload-Complete", "?1",
			"Upload-Length", strconv.Itoa(body.Len())))
		if a.status != 200 || len(up.interim) != 0 {
			t.Errorf("%d, %v: %s", a.status, up.interim, a.body)
		}
	})
	t.Run("a lost answer", func(t *testing.T) {
		t.Parallel()
		u, ask := s.in(t).createUploadURL(), must(t)
		send := func(key string) answer {
			up := &ietfUpload{version: "8"}
			return ask(up.create(t.Context(), "POST", u.UploadURL, "a.jpg", content, true, "Idempotency-Key", key))
		}
		first := send("key-1")
		if again := send("key-1"); first.status != 200 || again.status != 200 || !bytes.Equal(again.body, first.body) {
			t.Errorf("%d, then %d %s", first.status, again.status, again.body)
		}
		wantStatus(t, "another key", send("key-2"), 409, 5409)
	})
	t.Run("more than two open uploads", func(t *testing.T) {
		t.Parallel()
		s, ask := s.in(t), must(t)
		u := s.createUploadURL()
		for i, status := range []int{201, 201, 429} {
			up := &ietfUpload{version: "8"}
			a := ask(up.create(t.Context(), "POST", u.UploadURL, "a.jpg", nil, false))
			if a.status != status {
				t.Errorf("the creation %d: %d %s", i, a.status, a.body)
			}
		}
		up := &ietfUpload{version: "8"}
		if a := ask(up.create(t.Context(), "POST", u.UploadURL, "a.jpg", content, true)); a.status != 200 {
			t.Errorf("at once: %d %s", a.status, a.body)
		}
		wantStored(t, s, "at once", u.ID, "a.jpg", content)
	})
	t.Run("OPTIONS", func(t *testing.T) {
		t.Parallel()
		for _, target := range []string{s.in(t).createUploadURL().UploadURL, s.url + "/upload/resumable/x"} {
			a := do(t, "OPTIONS", target, nil)
			wantHeaders(t, target, a.header, "Accept-Patch", "application/partial-upload", "Upload-Limit", "max-size=10485760",
				"Tus-Version", "1.0.0", "Tus-Extension", "creation,creation-with-upload,termination,expiration",
				"Tus-Max-Size", "10485760", "Tus-Resumable", "1.0.0")
		}
	})
}

// TestIETFEnds: refused content ends an upload, and so do more bytes than its length.
func TestIETFEnds(t *testing.T) {
	t.Parallel()
	s, ask := newServer(t), must(t)
	u, up := s.createUploadURL(), &ietfUpload{version: "8"}
	text := bytes.Repeat([]byte("Guten Tag "), 5000)
	ask(up.create(t.Context(), "POST", u.UploadURL, "a.jpg", text[:20_000], false))
	a := ask(up.patch(t.Context(), 20_000, text[20_000:], true))
	wantStatus(t, "text", a, 415, 5455)
	wantHeaders(t, "text", a.header, "Upload-Complete", "?1")
	for _, method := range []string{"HEAD", "GET"} {
		b := ask(up.send(t.Context(), method, up.url, nil))
		if b.status != 415 || b.header.Get("Upload-Complete") != "?1" {
			t.Errorf("%s of a refused upload: %d %v", method, b.status, b.header)
		}
	}
	if d := s.draftOf(u.ID); d.Attempts != 1 || d.LastError.Code != 5455 {
		t.Errorf("the draft says %+v", d)
	}
	// Another upload of the same ticket, in chunks of HTTP, has more bytes than its length.
	up = &ietfUpload{version: "8"}
	ask(up.create(t.Context(), "POST", u.UploadURL, "a.jpg", nil, false, "Upload-Length", "30000"))
	conn := dial(t, up.url)
	at, err := url.Parse(up.url)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nUpload-Complete: ?0\r\n"+
		"Upload-Offset: 0\r\nContent-Type: application/partial-upload\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", at.Path, len(text), text)
	wantProblem(t, "too many bytes", readAnswer(t, conn), 400, "inconsistent-upload-length")
	if a := ask(up.send(t.Context(), "HEAD", up.url, nil)); a.status != 404 {
		t.Errorf("the upload still exists: %d", a.status)
	}
	// The ticket still accepts a picture.
	if a := post(t, u.UploadURL, "a.jpg", photo(t, 64, 48, 311)); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestInterruptedBodies: the connection of an upload ends in the middle of a body. Both protocols continue where the
// bytes ended, and nothing that came is sent again.
func TestInterruptedBodies(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		content := append(photo(t, 640, 480, 330), make([]byte, 4<<20)...)
		n, ask := len(content), must(t)
		for _, by := range []string{"tus", "IETF"} {
			u := s.createUploadURL()
			tus, ietf := tusUpload{}, &ietfUpload{version: "8"}
			var target, header string
			if by == "tus" {
				tus, _, _ = newTus(t.Context(), u.UploadURL, "a.jpg", n, nil)
				target = tus.url
				header = "Tus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n"
			} else {
				ask(ietf.create(t.Context(), "POST", u.UploadURL, "a.jpg", nil, false, "Upload-Length", strconv.Itoa(n)))
				target = ietf.url
				header = "Upload-Complete: ?1\r\nContent-Type: application/partial-upload\r\n"
			}
			at := cut(t, target, header, content, 3<<20)
			offset := 0
			var a answer
			waitFor(t, func() bool {
				h := ask(ietf.send(t.Context(), "HEAD", target, nil, "Tus-Resumable", "1.0.0"))
				offset, _ = strconv.Atoi(h.header.Get("Upload-Offset"))
				switch {
				case h.status > 299:
				case by == "tus":
					a = ask(tus.patch(t.Context(), offset, content[offset:]))
				default:
					a = ask(ietf.patch(t.Context(), offset, content[offset:], true))
				}
				return h.status < 300 && a.status != http.StatusConflict && a.status != http.StatusLocked
			})
			if offset < at-200_000 || offset > at {
				t.Errorf("%s: of %d bytes the server has %d", by, at, offset)
			}
			wantStatus(t, by, a, 200, 0)
			wantStored(t, s, by, u.ID, "a.jpg", content)
		}
	})
}

// cut sends the beginning of a body at the offset 0, waits until it is received, and ends the connection.
func cut(t *testing.T, target, header string, content []byte, sent int) int {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	conn := dial(t, target)
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\nUpload-Offset: 0\r\n%s\r\n",
		u.Path, len(content), header)
	if _, err := conn.Write(content[:sent]); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond) // the server reads what it has got
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return sent
}

// TestNothingIsReadable: bytes that are no accepted image are in no answer of any URL of an upload.
func TestNothingIsReadable(t *testing.T) {
	t.Parallel()
	s, ask := newServer(t), must(t)
	content := photo(t, 640, 480, 340)
	canary := content[len(content)/4 : len(content)/4+64]
	open, refused := s.createUploadURL(), s.createUploadURL()
	tus, _, err := newTus(t.Context(), open.UploadURL, "a.jpg", len(content), content[:len(content)/2])
	if err != nil {
		t.Fatal(err)
	}
	ietf := &ietfUpload{version: "8"}
	ask(ietf.create(t.Context(), "POST", open.UploadURL, "a.html", content[:len(content)/2], false, "Upload-Length",
		strconv.Itoa(len(content))))
	broken := append(bytes.Clone(content[:len(content)/2]), make([]byte, 100)...)
	bad, a, err := newTus(t.Context(), refused.UploadURL, "a.jpg", len(broken), broken)
	if err != nil || a.status != 422 {
		t.Fatalf("%d, %v: %s", a.status, err, a.body)
	}
	targets := []string{open.UploadURL, refused.UploadURL, tus.url, ietf.url, bad.url,
		strings.Replace(tus.url, "/tus/", "/resumable/", 1), strings.Replace(ietf.url, "/resumable/", "/tus/", 1),
		tus.url + "/blob", s.public(open.ID), s.public(refused.ID)}
	for _, target := range targets {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PROPFIND"} {
			for _, header := range [][]string{{}, {"Accept", "image/*"}, {"Range", "bytes=0-100", "Tus-Resumable", "1.0.0"}} {
				a := do(t, method, target, nil, header...)
				kind := a.header.Get("Content-Type")
				if a.status == http.StatusPartialContent || bytes.Contains(a.body, canary) || strings.HasPrefix(kind, "image/") ||
					strings.HasPrefix(target, s.url+"/upload/") && len(a.body) > 0 && kind != "application/json; charset=UTF-8" {
					t.Errorf("%s %s: %d %s %.100q", method, target, a.status, kind, a.body)
				}
			}
		}
	}
	if blob := s.api("GET", "images/v1/"+open.ID+"/blob", nil); bytes.Contains(blob.body, canary) {
		t.Error("the API has the bytes of a draft")
	}
}

// TestState: a client with the ticket may read its state, and nothing of the owner.
func TestState(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL("metadata", `{"k":"secret-of-the-owner"}`, "creator", "creator-1",
		"policy", `{"maxBytes":100000,"formats":["jpeg","png"]}`)
	read := func(name, status string, contains ...string) {
		t.Helper()
		a := do(t, "GET", u.UploadURL, nil, "Accept", "application/json", "Origin", "https://app.example")
		wantHeadersFor(t, a.header, "https://app.example")
		var state struct{ ID, Status string }
		if err := unmarshalResult(a, &state); err != nil || a.status != 200 || state.ID != u.ID || state.Status != status ||
			bytes.Contains(a.body, []byte("owner")) || bytes.Contains(a.body, []byte("creator")) {
			t.Errorf("%s: %d, %v: %s", name, a.status, err, a.body)
		}
		text := string(compact(t, a.body))
		for _, part := range contains {
			if !strings.Contains(text, part) {
				t.Errorf("%s: no %s in %s", name, part, text)
			}
		}
		if h := do(t, "HEAD", u.UploadURL, nil); h.status != 200 || len(h.body) != 0 ||
			h.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: HEAD %d %v", name, h.status, h.header)
		}
	}
	read("new", "open", `"attemptsLeft":10`, `"policy":{"maxBytes":100000,"formats":["jpeg","png"]}`,
		`"limits":{"maxBytes":100000,"formats":["jpeg","png"],"maxWidth":12000`, `"uses":{"allowed":1,"used":0}`,
		`"resumable":{"tus":true,"ietf":true,"chunk":1048576}`)
	wantRefusal(t, post(t, u.UploadURL, "a.jpg", []byte("no picture")), 415, 5455)
	read("refused", "open", `"attemptsLeft":9`, `"lastError":{"code":5455,"message":"`)
	if a := post(t, u.UploadURL, "a.jpg", photo(t, 64, 48, 350)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	read("used", "used", `"uses":{"allowed":1,"used":1}`)
	for name, target := range map[string]string{
		"unknown": withTicket(t, u.UploadURL, strings.Repeat("A", 26)), "none": s.url + "/upload/x/y",
	} {
		wantRefusal(t, do(t, "GET", target, nil), 404, 5404)
		if a := do(t, "HEAD", target, nil); a.status != 404 {
			t.Errorf("%s: HEAD %d", name, a.status)
		}
	}
}
