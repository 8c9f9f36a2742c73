package e2e

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestCasesOfTusd has the cases of the tests of tusd v2.10.0's handler, by their names there. Those tests call the
// handler in their own process, so they cannot be pointed at a server. Cases of downloads, concatenation, method override,
// deferred lengths, forwarded headers and hooks are about what is not here. `differs` says where another answer is right here.
func TestCasesOfTusd(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	picture := photo(t, 64, 48, 1)
	n := strconv.Itoa(len(picture))
	version, kind := []string{"Tus-Resumable", "1.0.0"}, []string{"Content-Type", "application/offset+octet-stream"}
	post := []struct {
		name, differs string
		header        []string
		body          []byte
		status        int
		want          []string // headers of the answer
	}{
		{name: "Post/Create", header: []string{"Upload-Length", n, "Upload-Metadata", "foo aGVsbG8=, bar, filename d29ybGQ="},
			status: 201, want: []string{"Upload-Offset", "0", "Tus-Resumable", "1.0.0"}},
		{name: "Post/CreateEmptyUpload", differs: "tusd: 201; an empty file is no picture",
			header: []string{"Upload-Length", "0"}, status: 415},
		{name: "Post/CreateExceedingMaxSizeFail", header: []string{"Upload-Length", "99999999999"}, status: 413,
			want: []string{"Tus-Max-Size", "10485760"}},
		{name: "Post/InvalidUploadLengthFail", header: []string{"Upload-Length", "-5"}, status: 400},
		{name: "Post/InvalidUploadLengthFail", header: []string{"Upload-Length", "five"}, status: 400},
		{name: "Post/UploadLengthAndUploadDeferLengthFail", header: []string{"Upload-Length", "10", "Upload-Defer-Length", "1"},
			status: 400},
		{name: "Post/NeitherUploadLengthNorUploadDeferLengthFail", status: 400},
		{name: "Post/InvalidUploadDeferLengthFail", header: []string{"Upload-Defer-Length", "bad"}, status: 400},
		{name: "Post/WithUpload/Create", header: append(kind, "Upload-Length", n), body: picture[:100], status: 201,
			want: []string{"Upload-Offset", "100"}},
		{name: "Post/WithUpload/CreateExceedingUploadSize", differs: "tusd: 413; no limit of size is exceeded",
			header: append(kind, "Upload-Length", "50"), body: picture[:100], status: 400},
		{name: "Post/WithUpload/IncorrectContentType", differs: "tusd: 201, and the body is ignored",
			header: []string{"Upload-Length", n, "Content-Type", "application/false"}, body: picture[:100], status: 415},
		{name: "Concat/DisableConcatenation", differs: "tusd: 201, and the header is ignored",
			header: []string{"Upload-Length", n, "Upload-Concat", "partial"}, status: 400},
	}
	for _, c := range post {
		a := do(t, "POST", s.createUploadURL().UploadURL, bytes.NewReader(c.body), append(version, c.header...)...)
		if a.status != c.status {
			t.Errorf("%s: %d, want %d (%s): %s", c.name, a.status, c.status, c.differs, a.body)
		}
		wantHeaders(t, c.name, a.header, c.want...)
		if (a.header.Get("Location") != "") != (c.status == http.StatusCreated) {
			t.Errorf("%s: the Location is %q", c.name, a.header.Get("Location"))
		}
	}
	u := s.createUploadURL()
	up, _, err := newTus(t.Context(), u.UploadURL, "a.jpg", len(picture), nil)
	if err != nil {
		t.Fatal(err)
	}
	unknown := s.url + "/upload/tus/" + strings.Repeat("A", 26)
	requests := []struct {
		name, method, url string
		header            []string
		body              []byte
		status            int
		want              []string
	}{
		{"Options/Discovery", "OPTIONS", u.UploadURL, nil, nil, 204, []string{"Tus-Version", "1.0.0",
			"Tus-Resumable", "1.0.0", "Tus-Extension", tusExtensions, "Tus-Max-Size", "10485760"}},
		{"Options/InvalidVersion", "POST", u.UploadURL, []string{"Tus-Resumable", "foo"}, nil, 412,
			[]string{"Tus-Version", "1.0.0"}},
		{"Terminate/ExtensionDiscovery", "OPTIONS", up.url, nil, nil, 204, []string{"Tus-Extension", tusExtensions}},
		{"Head/Status", "HEAD", up.url, version, nil, 200, []string{"Upload-Offset", "0", "Upload-Length", n,
			"Cache-Control", "no-store"}},
		{"Head/UploadNotFoundFail", "HEAD", unknown, version, nil, 404, []string{"Upload-Offset", ""}},
		{"Patch/UploadNotFoundFail", "PATCH", unknown, append(append(version, kind...), "Upload-Offset", "0"), picture, 404, nil},
		{"Patch/InvalidContentTypeFail", "PATCH", up.url, append(version, "Content-Type", "application/fooobar",
			"Upload-Offset", "0"), picture, 415, nil},
		{"Patch/InvalidOffsetFail", "PATCH", up.url, append(append(version, kind...), "Upload-Offset", "-5"), picture, 400, nil},
		{"Patch/MissmatchingOffsetFail", "PATCH", up.url, append(append(version, kind...), "Upload-Offset", "4"), picture, 409,
			[]string{"Upload-Offset", "0"}},
		{"Patch/UploadChunk", "PATCH", up.url, append(append(version, kind...), "Upload-Offset", "0"), picture[:100], 204,
			[]string{"Upload-Offset", "100"}},
		{"Patch/ExceedingMaxSizeFail", "PATCH", up.url, append(append(version, kind...), "Upload-Offset", "100"),
			make([]byte, len(picture)), 400, nil}, // tusd: 413
		{"Head/Status", "HEAD", up.url, version, nil, 200, []string{"Upload-Offset", "100"}},
		{"Patch/UploadChunkToFinished", "PATCH", up.url, append(append(version, kind...), "Upload-Offset", "100"),
			picture[100:], 200, []string{"Upload-Offset", n}}, // tusd: 204; here the answer has the image
		{"Terminate/Termination", "DELETE", up.url, version, nil, 204, nil},
		{"Terminate/Termination", "HEAD", up.url, version, nil, 404, nil},
	}
	for _, c := range requests {
		a := do(t, c.method, c.url, bytes.NewReader(c.body), c.header...)
		if a.status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.name, a.status, c.status, a.body)
		}
		wantHeaders(t, c.name, a.header, c.want...)
	}
	if p, ok := s.image(u.ID); !ok || p.Draft {
		t.Errorf("the image is %+v", p)
	}
}

const tusExtensions = "creation,creation-with-upload,termination,expiration"

// TestCasesOfDraft12 has the cases of the test suite for draft -12 in tus-java-server that TestIETF does not have, with
// pictures instead of texts. Not here: refusals of HEAD with Upload-Offset or Upload-Complete, which only a wrong client
// sends; empty representations; digests of RFC 9530.
func TestCasesOfDraft12(t *testing.T) {
	t.Parallel()
	s, ctx, ask := newServer(t), t.Context(), must(t)
	content := append(photo(t, 64, 48, 1), make([]byte, 3<<20)...)
	length := strconv.Itoa(len(content))

	t.Run("an unknown length", func(t *testing.T) {
		u, up := s.createUploadURL(), &ietfUpload{version: "9"}
		wantStatus(t, "creation", ask(up.create(ctx, "POST", u.UploadURL, "a.jpg", nil, false)), 201, 0)
		for _, method := range []string{"HEAD", "GET"} {
			a := ask(up.send(ctx, method, up.url, nil))
			wantStatus(t, method, a, 204, 0)
			wantHeaders(t, method, a.header, "Upload-Length", "", "Upload-Offset", "0", "Upload-Complete", "?0",
				"Cache-Control", "no-store")
			if !strings.Contains(a.header.Get("Upload-Limit"), "max-age=") {
				t.Errorf("%s has the limits %q", method, a.header.Get("Upload-Limit"))
			}
		}
		wantStatus(t, "all", ask(up.patch(ctx, 0, content, true)), 200, 0)
		a := ask(up.send(ctx, "GET", up.url, nil))
		wantStatus(t, "GET", a, 200, 0)
		wantHeaders(t, "GET", a.header, "Upload-Length", length, "Upload-Offset", length, "Upload-Complete", "?1")
	})
	t.Run("the Location of interim answers", func(t *testing.T) {
		for version, everywhere := range map[string]bool{"6": false, "7": false, "8": true, "9": true, "10": true} {
			up := &ietfUpload{version: version}
			a := ask(up.create(ctx, "POST", s.createUploadURL().UploadURL, "a.jpg", content, false))
			if len(up.interim) < 3 || a.header.Get("Location") != up.url {
				t.Fatalf("version %s: %d interim answers, the Location is %q", version, len(up.interim), a.header.Get("Location"))
			}
			for i, h := range up.interim[1:] {
				if got := h.Get("Location"); (got == up.url) != everywhere || !everywhere && got != "" {
					t.Errorf("version %s: the interim answer %d has the Location %q", version, i+1, got)
				}
			}
		}
	})
	t.Run("refusals are no results", func(t *testing.T) {
		u, up := s.createUploadURL("policy.maxWidth", "50"), &ietfUpload{version: "10"}
		a := ask(up.create(ctx, "POST", u.UploadURL, "a.jpg", content, true, "Upload-Length", "5"))
		wantProblem(t, "another length", a, 400, "inconsistent-upload-length")
		wantHeaders(t, "another length", a.header, "Upload-Complete", "?0")
		ask(up.create(ctx, "POST", u.UploadURL, "a.jpg", nil, false, "Upload-Length", length))
		for name, a := range map[string]answer{
			"another offset": ask(up.patch(ctx, 99, content[:10], false)),
			"another length": ask(up.patch(ctx, 0, content[:10], false, "Upload-Length", "9999")),
			"no offset":      ask(up.send(ctx, "PATCH", up.url, nil, "Content-Type", "application/partial-upload")),
		} {
			wantHeaders(t, name, a.header, "Upload-Complete", "?0")
		}
		a = ask(up.patch(ctx, 0, content, true))
		wantStatus(t, "the policy", a, 422, 5456)
		wantHeaders(t, "the policy", a.header, "Upload-Complete", "?1")
		wantHeaders(t, "HEAD", ask(up.send(ctx, "HEAD", up.url, nil)).header, "Upload-Complete", "?1")
	})
	t.Run("two appends at one offset", func(t *testing.T) {
		up := &ietfUpload{version: "9"}
		ask(up.create(ctx, "POST", s.createUploadURL().UploadURL, "a.jpg", nil, false, "Upload-Length", length))
		statuses := make([]int, 2)
		var both sync.WaitGroup
		for i := range statuses {
			both.Go(func() {
				a, err := send(ctx, "PATCH", up.url, bytes.NewReader(content[:1000]), "Upload-Complete", "?0",
					"Upload-Offset", "0", "Content-Type", "application/partial-upload")
				if err != nil {
					t.Error(err)
				}
				statuses[i] = a.status
			})
		}
		both.Wait()
		if statuses[0] == 204 && statuses[1] == 204 {
			t.Error("both were appended")
		}
		a := ask(up.send(ctx, "HEAD", up.url, nil))
		wantHeaders(t, "HEAD", a.header, "Upload-Offset", "1000")
		wantStatus(t, "the offset of HEAD", ask(up.patch(ctx, 1000, content[1000:2000], false)), 204, 0)
	})
	t.Run("no boolean", func(t *testing.T) { // the field is ignored
		u := s.createUploadURL()
		a := do(t, "PUT", u.UploadURL, bytes.NewReader(content), "Upload-Complete", "true")
		if p, ok := s.image(u.ID); a.status != 200 || !ok || p.Draft {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		up := &ietfUpload{version: "9"}
		ask(up.create(ctx, "POST", s.createUploadURL().UploadURL, "a.jpg", nil, false))
		wantStatus(t, "DELETE", ask(up.send(ctx, "DELETE", up.url, nil)), 204, 0)
		for _, method := range []string{"HEAD", "GET", "DELETE"} {
			if a := ask(up.send(ctx, method, up.url, nil)); a.status != 404 {
				t.Errorf("%s of a deleted upload: %d", method, a.status)
			}
		}
		wantStatus(t, "PATCH", ask(up.patch(ctx, 0, content[:10], false)), 404, 5404)
		if a := do(t, "DELETE", s.url+"/upload/resumable/"+base64.RawURLEncoding.EncodeToString(content[:20]), nil); a.status != 404 {
			t.Errorf("DELETE of an unknown upload: %d", a.status)
		}
	})
}
