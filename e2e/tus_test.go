package e2e

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTus is what the protocol demands of a server, beside what tus-js-client plays.
func TestTus(t *testing.T) {
	t.Parallel()
	s, ctx, ask := newServer(t), t.Context(), must(t)
	u := s.createUploadURL()
	content := append(photo(t, 640, 480, 320), make([]byte, 2<<20)...)
	n := len(content)
	create := func(header ...string) answer {
		return do(t, "POST", u.UploadURL, nil, append([]string{"Tus-Resumable", "1.0.0"}, header...)...)
	}
	for name, c := range map[string]struct {
		header       []string
		status, code int
	}{
		"no length":       {nil, 400, 5400},
		"deferred length": {[]string{"Upload-Defer-Length", "1"}, 400, 5400},
		"concatenation":   {[]string{"Upload-Length", "5", "Upload-Concat", "partial"}, 400, 5400},
		"no base64":       {[]string{"Upload-Length", "5", "Upload-Metadata", "filename !"}, 400, 5400},
		"no ASCII":        {[]string{"Upload-Length", "5", "Upload-Metadata", "name \xff"}, 400, 5400},
		"long metadata":   {[]string{"Upload-Length", "5", "Upload-Metadata", "name " + strings.Repeat("A", 4092)}, 400, 5400},
		"too large":       {[]string{"Upload-Length", "10485761"}, 413, 5413},
		"empty":           {[]string{"Upload-Length", "0"}, 415, 5455},
		"another version": {[]string{"Upload-Length", "5", "Tus-Resumable", "0.2.2"}, 412, 5400},
	} {
		a := create(c.header...)
		wantStatus(t, name, a, c.status, c.code)
		wantHeaders(t, name, a.header, "Tus-Resumable", "1.0.0", "Location", "")
		if c.status == 412 {
			wantHeaders(t, name, a.header, "Tus-Version", "1.0.0")
		}
	}
	up, a, err := newTus(ctx, u.UploadURL, "a.jpg", n, nil)
	if err != nil || a.status != 201 || !strings.HasPrefix(up.url, s.url+"/upload/tus/") {
		t.Fatalf("creation: %d, %v, %v", a.status, err, a.header)
	}
	wantHeaders(t, "creation", a.header, "Tus-Resumable", "1.0.0", "Upload-Offset", "0")
	expires, err := time.Parse(http.TimeFormat, a.header.Get("Upload-Expires"))
	if left := time.Until(expires); err != nil || left < 5*time.Hour || left > 7*time.Hour {
		t.Errorf("Upload-Expires %v, %v", expires, err)
	}
	patch := func(header ...string) answer {
		return do(t, "PATCH", up.url, bytes.NewReader(content[:1000]), header...)
	}
	version, kind := []string{"Tus-Resumable", "1.0.0"}, []string{"Content-Type", "application/offset+octet-stream"}
	both := append(version, kind...)
	for name, c := range map[string]struct {
		header       []string
		status, code int
	}{
		"no version":       {append(kind, "Upload-Offset", "0"), 412, 5400},
		"another type":     {append(version, "Content-Type", "image/jpeg", "Upload-Offset", "0"), 415, 5415},
		"no offset":        {both, 400, 5400},
		"a negative one":   {append(both, "Upload-Offset", "-1"), 400, 5400},
		"another offset":   {append(both, "Upload-Offset", "7"), 409, 5409},
		"a huge offset":    {append(both, "Upload-Offset", "99999999999999999999"), 409, 5409},
		"other override":   {append(both, "Upload-Offset", "7", "X-HTTP-Method-Override", "DELETE"), 409, 5409},
		"a checksum alone": {append(both, "Upload-Offset", "7", "Upload-Checksum", "sha1 x"), 409, 5409},
	} {
		a := patch(c.header...)
		wantStatus(t, name, a, c.status, c.code)
		wantHeaders(t, name, a.header, "Tus-Resumable", "1.0.0")
		if c.status == 409 {
			wantHeaders(t, name, a.header, "Upload-Offset", "0")
		}
	}
	a = ask(up.patch(ctx, 0, content[:n-1000]))
	wantStatus(t, "append", a, 204, 0)
	wantHeaders(t, "append", a.header, "Upload-Offset", strconv.Itoa(n-1000))
	a = up.do(t, "HEAD")
	wantStatus(t, "HEAD", a, 200, 0)
	wantHeaders(t, "HEAD", a.header, "Upload-Offset", strconv.Itoa(n-1000), "Upload-Length", strconv.Itoa(n),
		"Upload-Metadata", "filename YS5qcGc=")
	wantStatus(t, "GET of an open upload", up.do(t, "GET"), 404, 5404)
	wantStatus(t, "beyond the length", ask(up.patch(ctx, n-1000, make([]byte, 1001))), 400, 5400)
	end := ask(up.patch(ctx, n-1000, content[n-1000:]))
	wantStatus(t, "the end", end, 200, 0)
	wantHeaders(t, "the end", end.header, "Upload-Offset", strconv.Itoa(n))
	wantStored(t, s, "tus", u.ID, "a.jpg", content)
	for name, a := range map[string]answer{"repeated": ask(up.patch(ctx, n, nil)), "GET": up.do(t, "GET")} {
		if a.status != 200 || !bytes.Equal(a.body, end.body) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	a = ask(up.patch(ctx, n-1000, content[n-1000:]))
	wantStatus(t, "a repeat of the end", a, 409, 5409)
	wantHeaders(t, "a repeat of the end", a.header, "Upload-Offset", strconv.Itoa(n))
	a = up.do(t, "HEAD")
	wantHeaders(t, "HEAD of a complete upload", a.header, "Upload-Offset", strconv.Itoa(n), "Upload-Length", strconv.Itoa(n),
		"Upload-Metadata", "filename YS5qcGc=")
	wantStatus(t, "a used URL", create("Upload-Length", "5"), 410, 5409)
	wantStatus(t, "DELETE", up.do(t, "DELETE"), 204, 0)
	wantStatus(t, "a deleted upload", up.do(t, "GET"), 404, 5404)
	wantStored(t, s, "tus", u.ID, "a.jpg", content)
	for _, secret := range []string{"", "x", strings.Repeat("A", 26), strings.Repeat("A", 5000), "a/b", "%00", "é"} {
		unknown := tusUpload{s.url + "/upload/tus/" + secret}
		wantStatus(t, "unknown", unknown.do(t, "GET"), 404, 5404)
		if a := unknown.do(t, "HEAD"); a.status != 404 {
			t.Errorf("HEAD of %q: %d", secret, a.status)
		}
	}
}
