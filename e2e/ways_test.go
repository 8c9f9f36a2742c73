package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A way is one of the ways in which a client sends a picture to a one-time URL. Its answer is the last one.
type way struct {
	name string
	send func(ctx context.Context, url, filename string, content []byte) (answer, error)
}

// ways are all of them.
var ways = []way{
	{"form", func(ctx context.Context, url, filename string, content []byte) (answer, error) {
		body := fmt.Sprintf("--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=%q\r\n\r\n%s\r\n--%[1]s--\r\n",
			rawBoundary, filename, content)
		return send(ctx, "POST", url, strings.NewReader(body), "Content-Type", "multipart/form-data; boundary="+rawBoundary)
	}},
	{"PUT", func(ctx context.Context, url, filename string, content []byte) (answer, error) {
		return send(ctx, "PUT", url, bytes.NewReader(content), "Content-Type", "image/jpeg",
			"Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": filename}))
	}},
	{"raw POST", func(ctx context.Context, url, filename string, content []byte) (answer, error) {
		return send(ctx, "POST", url, bytes.NewReader(content),
			"Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": filename}))
	}},
	{"tus", func(ctx context.Context, url, filename string, content []byte) (answer, error) {
		u, a, err := newTus(ctx, url, filename, len(content), content[:len(content)/3])
		if err != nil || a.status != http.StatusCreated || len(content) == 0 {
			return a, err
		}
		if a, err = u.patch(ctx, len(content)/3, content[len(content)/3:len(content)/2]); err != nil || a.status > 299 {
			return a, err
		}
		return u.patch(ctx, len(content)/2, content[len(content)/2:])
	}},
	{"IETF", func(ctx context.Context, url, filename string, content []byte) (answer, error) {
		u := &ietfUpload{version: "8"}
		if a, err := u.create(ctx, "POST", url, filename, content[:len(content)/3], false,
			"Upload-Length", strconv.Itoa(len(content))); err != nil || a.status > 299 {
			return a, err
		}
		if a, err := u.patch(ctx, len(content)/3, content[len(content)/3:len(content)/2], false); err != nil || a.status > 299 {
			return a, err
		}
		return u.patch(ctx, len(content)/2, content[len(content)/2:], true)
	}},
	{"IETF at once", func(ctx context.Context, url, filename string, content []byte) (answer, error) {
		u := &ietfUpload{version: "6"}
		return u.create(ctx, "PUT", url, filename, content, true)
	}},
}

// A tusUpload is an upload resource of tus.
type tusUpload struct{ url string }

// newTus creates an upload of a length, with its first bytes.
func newTus(ctx context.Context, url, filename string, length int, first []byte) (u tusUpload, a answer, err error) {
	header := []string{"Tus-Resumable", "1.0.0", "Upload-Length", strconv.Itoa(length),
		"Upload-Metadata", "filename " + base64.StdEncoding.EncodeToString([]byte(filename))}
	if len(first) > 0 {
		header = append(header, "Content-Type", "application/offset+octet-stream")
	}
	a, err = send(ctx, "POST", url, bytes.NewReader(first), header...)
	return tusUpload{a.header.Get("Location")}, a, err
}

// patch appends bytes at an offset.
func (u tusUpload) patch(ctx context.Context, offset int, content []byte, header ...string) (answer, error) {
	return send(ctx, "PATCH", u.url, bytes.NewReader(content), append([]string{"Tus-Resumable", "1.0.0",
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", strconv.Itoa(offset)}, header...)...)
}

// do sends a request without a body.
func (u tusUpload) do(t *testing.T, method string) answer {
	t.Helper()
	return do(t, method, u.url, nil, "Tus-Resumable", "1.0.0")
}

// An ietfUpload is an upload resource of the IETF's resumable uploads.
type ietfUpload struct {
	version string // of the draft; "" for none
	url     string

	mu      sync.Mutex
	interim []http.Header // of the answers 104
}

// send sends a request, and notes its interim answers.
func (u *ietfUpload) send(ctx context.Context, method, url string, content []byte, header ...string) (answer, error) {
	if u.version != "" {
		header = append(header, "Upload-Draft-Interop-Version", u.version)
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code != 104 {
				return nil
			}
			u.mu.Lock()
			defer u.mu.Unlock()
			if u.interim = append(u.interim, http.Header(h)); u.url == "" {
				u.url = h.Get("Location")
			}
			return nil
		},
	})
	return send(ctx, method, url, bytes.NewReader(content), header...)
}

// create begins an upload with its first bytes.
func (u *ietfUpload) create(
	ctx context.Context, method, url, filename string, first []byte, complete bool, header ...string,
) (answer, error) {
	a, err := u.send(ctx, method, url, first, append([]string{"Upload-Complete", structured(complete),
		"Content-Type", "application/octet-stream",
		"Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": filename})}, header...)...)
	if err == nil && u.url == "" {
		u.url = a.header.Get("Location")
	}
	return a, err
}

// patch appends bytes at an offset.
func (u *ietfUpload) patch(
	ctx context.Context, offset int, content []byte, complete bool, header ...string,
) (answer, error) {
	return u.send(ctx, "PATCH", u.url, content, append([]string{"Upload-Complete", structured(complete),
		"Content-Type", "application/partial-upload", "Upload-Offset", strconv.Itoa(offset)}, header...)...)
}

func structured(b bool) string {
	if b {
		return "?1"
	}
	return "?0"
}

// TestWays: an upload by each way has the same answer, which names the image of the draft.
func TestWays(t *testing.T) {
	t.Parallel()
	onBothDatabases(t, func(t *testing.T, s *server) {
		for i, w := range ways {
			content := photo(t, 640, 480, 100+i)
			u := s.createUploadURL("metadata", `{"k":"secret-of-the-owner"}`, "creator", "creator-1")
			a, err := w.send(t.Context(), u.UploadURL, "été 1.jpg", content)
			if err != nil || a.status != http.StatusOK {
				t.Errorf("%s: %d, %v: %s", w.name, a.status, err, a.body)
				continue
			}
			wantUploadHeaders(t, a.header)
			var p picture
			if err := unmarshalResult(a, &p); err != nil || p.ID != u.ID || len(p.Variants) != 1 || p.Meta != nil ||
				bytes.Contains(a.body, []byte("creator")) || !bytes.Contains(a.body, []byte(`"result_info": null`)) {
				t.Errorf("%s: %v, %s", w.name, err, a.body)
			}
			wantStored(t, s, w.name, u.ID, "été 1.jpg", content)
			used, err := w.send(t.Context(), u.UploadURL, "b.jpg", photo(t, 64, 48, 200+i))
			status := http.StatusConflict
			if w.name == "tus" {
				status = http.StatusGone
			}
			if err != nil {
				t.Errorf("%s: a used URL: %v", w.name, err)
			}
			wantRefusal(t, used, status, 5409)
			wantStored(t, s, w.name, u.ID, "été 1.jpg", content)
		}
	})
}

// wantStored checks that an image has the bytes that were sent.
func wantStored(t *testing.T, s *server, by, id, filename string, content []byte) {
	t.Helper()
	sum := sha256.Sum256(content)
	p, ok := s.image(id)
	if !ok || p.Draft || p.Filename == nil || *p.Filename != filename || p.Original == nil ||
		p.Original.SHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("%s: the image is %+v", by, p)
	}
}

// finishers is the number of clients that race for one URL.
const finishers = 24

// TestRaceOfWays: of 24 clients on three nodes, which send the last piece of different pictures in all ways at once,
// one is accepted.
func TestRaceOfWays(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		raceOfWays(t, newServer(t))
	})
	t.Run("three nodes", func(t *testing.T) {
		t.Parallel()
		raceOfWays(t, newNodes(t, 3)...)
	})
}

// A finisher sends the end of an upload.
type finisher struct {
	way  string
	last func() (answer, error)
}

func raceOfWays(t *testing.T, nodes ...*server) {
	const rounds = 6
	base, winners := photo(t, 320, 240, 21), map[string]int{}
	for round := range rounds {
		u := nodes[0].createUploadURL()
		at := func(i int, url string) string { return nodes[i%len(nodes)].url + url[strings.Index(url, "/upload/"):] }
		all := make([]finisher, finishers)
		pictures := make([][]byte, finishers)
		for i := range all {
			pictures[i] = tagged(base, round*finishers+i)
			all[i] = newFinisher(t, i, round, at, u.UploadURL, pictures[i])
		}
		answers, errs := make([]answer, finishers), make([]error, finishers)
		start, done := make(chan struct{}), sync.WaitGroup{}
		for i, f := range all {
			done.Go(func() {
				<-start
				answers[i], errs[i] = f.last()
			})
		}
		close(start)
		done.Wait()
		winner := -1
		for i, a := range answers {
			switch {
			case errs[i] != nil:
				t.Errorf("%s %d: %v", all[i].way, i, errs[i])
			case a.status == http.StatusOK && winner >= 0:
				t.Errorf("%s %d and %s %d were both accepted", all[winner].way, winner, all[i].way, i)
			case a.status == http.StatusOK:
				winner = i
			case a.code(t) != 5409:
				t.Errorf("%s %d: %d %s", all[i].way, i, a.status, a.body)
			}
		}
		if winner < 0 || t.Failed() {
			t.Fatalf("round %d: the winner is %d", round, winner)
		}
		winners[all[winner].way]++
		for _, s := range nodes {
			wantStored(t, s, all[winner].way, u.ID, fmt.Sprintf("racer-%d.jpg", winner), pictures[winner])
		}
	}
	if list := nodes[0].list(); len(list) != rounds {
		t.Errorf("%d images after %d rounds", len(list), rounds)
	}
	t.Logf("winners: %v", winners)
	for _, s := range nodes {
		if left := filesIn(t, filepath.Join(s.data, "spool")); len(left) != 0 {
			t.Errorf("left in the spool: %v", left)
		}
	}
}

// newFinisher prepares the end of an upload. The first two uploads of a round are resumable, whose other bytes are
// sent here.
func newFinisher(
	t *testing.T, i, round int, at func(int, string) string, url string, content []byte,
) finisher {
	t.Helper()
	name, half := fmt.Sprintf("racer-%d.jpg", i), len(content)/2
	switch {
	case i > 1:
		w := ways[i%3]
		return finisher{w.name, func() (answer, error) {
			if round%2 == 1 { // a resumable upload reads its parts first
				time.Sleep(60 * time.Millisecond)
			}
			return w.send(t.Context(), at(i, url), name, content)
		}}
	case (i+round)%3 == 0:
		u := &ietfUpload{version: "8"}
		a, err := u.create(t.Context(), "POST", at(i, url), name, content[:half], false,
			"Upload-Length", strconv.Itoa(len(content)))
		if err != nil || a.status != http.StatusCreated {
			t.Fatalf("creating: %d, %v: %s", a.status, err, a.body)
		}
		u.url = at(i+1, u.url)
		return finisher{"IETF", func() (answer, error) { return u.patch(t.Context(), half, content[half:], true) }}
	default:
		u, a, err := newTus(t.Context(), at(i, url), name, len(content), content[:half])
		if err != nil || a.status != http.StatusCreated {
			t.Fatalf("creating: %d, %v: %s", a.status, err, a.body)
		}
		u.url = at(i+1, u.url)
		return finisher{"tus", func() (answer, error) { return u.patch(t.Context(), half, content[half:]) }}
	}
}
