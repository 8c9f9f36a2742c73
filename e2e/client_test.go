package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestClient: the program without libvips does everything except serving, beside the data folder of a running
// server, whose driver of SQLite is another.
func TestClient(t *testing.T) {
	client := os.Getenv("CALOTYPE_CLIENT_BIN")
	if client == "" {
		t.Skip("make test-client builds and tests the client; CALOTYPE_CLIENT_BIN names a client build")
	}
	t.Parallel()
	run := func(args ...string) finished { return runToEnd(t, nil, client, args...) }
	t.Run("engine", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{"serve", "-data", t.TempDir()}, {"worker"}} {
			if got := run(args...); got.code != 2 || !strings.Contains(got.stderr, "this build has no engine") ||
				!strings.Contains(got.stderr, "install") {
				t.Errorf("%q: %+v", args, got)
			}
		}
		got := run("version")
		if got.code != 0 || !strings.Contains(got.stdout, "engine  none: client build\n") {
			t.Errorf("version: %+v", got)
		}
	})
	t.Run("data folder", func(t *testing.T) { t.Parallel(); clientBesideServer(t, run) })
	t.Run("crash", func(t *testing.T) { t.Parallel(); clientAfterCrash(t, run) })
	t.Run("writers", func(t *testing.T) { t.Parallel(); clientWrites(t, run) })
	t.Run("listen", func(t *testing.T) {
		t.Parallel()
		s, r := newServer(t), newReceiver(t)
		l := listenWith(t, client, s.url, r.URL+"/hook")
		id := s.uploaded(photo(t, 64, 48, 1))
		r.await(t, id, 1).verify(t, l.secret())
		l.interrupt()
	})
}

// clientBesideServer does what an operator does with the commands of a client build.
func clientBesideServer(t *testing.T, run func(...string) finished) {
	s := newServer(t)
	content := photo(t, 64, 48, 7)
	id := s.uploaded(content, "requireSignedURLs", "true")
	out := func(args ...string) string {
		t.Helper()
		got := run(args...)
		if got.code != 0 {
			t.Fatalf("%q: %+v", args, got)
		}
		return strings.TrimSpace(got.stdout)
	}
	files := filesIn(t, s.data)
	findings := clientDoctor(t, s, run)
	if after := filesIn(t, s.data); !slices.Equal(after, files) {
		t.Errorf("doctor: the files were %v, and are %v", files, after)
	}
	for subject, part := range map[string]string{
		"engine": "client build", "database": "SQLite 3.", "integrity": "no page", "installation": "belong to",
		"data folder": "the process", "address": "says: ready",
	} {
		if !strings.Contains(findings[subject], part) {
			t.Errorf("doctor about the %s: %s", subject, findings[subject])
		}
	}
	signed := out("sign", "-data", s.data, s.public(id))
	if a := do(t, "GET", s.public(id), nil); a.status != http.StatusForbidden {
		t.Errorf("without a signature: status %d", a.status)
	}
	if a := do(t, "GET", signed, nil); a.status != http.StatusOK {
		t.Errorf("signed by the client: status %d", a.status)
	}
	if env := out("env", "-data", s.data, "-url", s.url); !strings.Contains(env, accountID) || !strings.Contains(env, s.url) {
		t.Errorf("env prints %s", env)
	}
	out("scrub", "-data", s.data)
	folder, restored := filepath.Join(t.TempDir(), "backup"), filepath.Join(t.TempDir(), "data")
	out("backup", "-data", s.data, folder)
	out("restore", "-data", restored, folder)
	s.stop()
	s.data = restored
	s.start()
	original := s.api("GET", "images/v1/"+id+"/blob", nil)
	if original.status != http.StatusOK || !bytes.Equal(original.body, content) {
		t.Errorf("of the restored folder: status %d, %d bytes", original.status, len(original.body))
	}
}

// clientDoctor returns the findings of the client's doctor by their subject.
func clientDoctor(t *testing.T, s *server, run func(...string) finished) map[string]string {
	t.Helper()
	got := run("doctor", "--json", "-data", s.data, "-listen", strings.TrimPrefix(s.url, "http://"), "-disk-reserve", "1MiB")
	var printed struct {
		Checks []struct{ Result, Subject, Found string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &printed); err != nil || got.code != 0 {
		t.Fatalf("doctor: %v, %+v", err, got)
	}
	findings := map[string]string{}
	for _, f := range printed.Checks {
		findings[f.Subject] = f.Result + " " + f.Found
	}
	return findings
}

// clientAfterCrash: a client build completes what a killed server has left in its write-ahead log, and the next start of
// a server has all of it.
func clientAfterCrash(t *testing.T, run func(...string) finished) {
	s := newServer(t)
	id := s.uploaded(photo(t, 64, 48, 3))
	s.kill()
	created := run("token", "create", "-data", s.data, "after-crash")
	if created.code != 0 {
		t.Fatalf("after a crash: %+v", created)
	}
	s.start()
	if a := s.api("GET", "images/v1/"+id, nil); a.status != http.StatusOK {
		t.Errorf("the image after the crash: status %d", a.status)
	}
	if status := s.asToken(created.stdout); status != http.StatusOK {
		t.Errorf("the token of the client: status %d", status)
	}
}

// asToken returns the status of a list that is requested with another token.
func (s *server) asToken(secret string) int {
	s.t.Helper()
	return do(s.t, "GET", s.url+"/client/v4/accounts/"+accountID+"/images/v2", nil,
		"Authorization", "Bearer "+strings.TrimSpace(secret)).status
}

// clientWrites: concurrent writers of a server and of client builds wait for each other, and all of their writes stay.
func clientWrites(t *testing.T, run func(...string) finished) {
	const writers, each = 3, 4
	s := newServer(t)
	var group sync.WaitGroup
	var images [writers][]string
	var secrets [writers][]string
	for w := range writers {
		group.Go(func() {
			for range each {
				images[w] = append(images[w], s.createUploadURL().ID)
			}
		})
		group.Go(func() {
			for i := range each {
				got := run("token", "create", "-data", s.data, fmt.Sprintf("w%d-%d", w, i))
				if got.code != 0 {
					t.Errorf("beside writers: %+v", got)
				}
				secrets[w] = append(secrets[w], got.stdout)
			}
		})
	}
	group.Wait()
	for w := range writers {
		for i := range each {
			if a := s.api("GET", "images/v1/"+images[w][i], nil); a.status != http.StatusOK {
				t.Errorf("draft %d of %d: status %d", i, w, a.status)
			}
			if status := s.asToken(secrets[w][i]); status != http.StatusOK {
				t.Errorf("token %d of %d: status %d", i, w, status)
			}
		}
	}
	if f := clientDoctor(t, s, run); !strings.HasPrefix(f["integrity"], "ok") {
		t.Errorf("integrity: %s", f["integrity"])
	}
}
