package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"calotype/internal/backup"
	"calotype/internal/sqldb/sqldbtest"
)

// setLimits sets limits of the account of the tests.
func (s *server) setLimits(limits ...string) {
	s.t.Helper()
	args := append([]string{"account", "set", accountID, "-data", s.data}, limits...)
	for i, arg := range s.args {
		if arg == "-db" {
			args = append(args, "-db", s.args[i+1])
		}
	}
	if got := calotype(s.t, nil, args...); got.code != 0 {
		s.t.Fatalf("%q ended with %d: %s", args, got.code, got.stderr)
	}
}

// openStreams opens streams without claims.
func (s *server) openStreams(n int) {
	s.t.Helper()
	for i := range n {
		if a := s.api("PUT", fmt.Sprint("alerting/v3/streams/s", i), nil); a.status != http.StatusOK {
			s.t.Fatalf("status %d: %s", a.status, a.body)
		}
	}
}

// An editor edits an image again and again, with all clients at once, until ctx ends. It counts the
// answers by status.
type editor struct {
	mu       sync.Mutex
	statuses map[int]int
	refusal  answer // the last one
}

func (e *editor) edit(ctx context.Context, s *server, id string) {
	var group sync.WaitGroup
	for client := range 4 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				text := fmt.Sprintf(`{"metadata":{"client":%d,"edit":%d,"filler":%q}}`, client, i,
					strings.Repeat("x", 800))
				a, err := send(ctx, "PATCH", s.url+"/client/v4/accounts/"+accountID+"/images/v1/"+id,
					strings.NewReader(text), "Authorization", "Bearer "+token,
					"Content-Type", "application/json")
				if err != nil {
					continue // ctx has ended, or the server is being stopped
				}
				e.mu.Lock()
				e.statuses[a.status]++
				if a.status != http.StatusOK {
					e.refusal = a
				}
				e.mu.Unlock()
			}
		})
	}
	group.Wait()
}

// refused reports whether edits were refused often times.
func (e *editor) refused(status, often int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.statuses[status] >= often
}

// waitUntil waits until something is true.
func waitUntil(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("it never was: %s", what)
			return
		}
	}
}

// databaseSize returns the bytes of SQLite's files.
func (s *server) databaseSize() (sum int64) {
	for path, size := range fileSizes(s.t, s.data) {
		if strings.HasPrefix(path, "calotype.db") {
			sum += size
		}
	}
	return sum
}

// TestEditsAreBoundedByWhatIsKept edits without end beside streams without claims: the account
// is refused, the database stays small, and the account beside it is undisturbed.
func TestEditsAreBoundedByWhatIsKept(t *testing.T) {
	onBothDatabases(t, func(t *testing.T, s *server) {
		const kept = 3 << 20
		s.setLimits("-max-images", "10", "-max-drafts", "10", "-max-kept", strconv.Itoa(kept))
		s.openStreams(10)
		id := s.createUploadURL().ID
		late := s.createUploadURL()
		e := &editor{statuses: map[int]int{}}
		newBystander(s).beside(6, func(ctx context.Context) {
			ctx, end := context.WithCancel(context.WithoutCancel(ctx))
			defer end()
			ended := make(chan struct{})
			go func() { defer close(ended); e.edit(ctx, s, id) }()
			waitUntil(t, "edits are refused", func() bool { return e.refused(http.StatusForbidden, 50) })
			end()
			<-ended
		})
		if t.Failed() || e.statuses[http.StatusOK] < 100 || e.refusal.code(t) != 5453 {
			t.Errorf("answers by status: %v, the last refusal: %s", e.statuses, e.refusal.body)
		}
		if size := s.databaseSize(); size > 4*kept {
			t.Errorf("the database takes %d bytes where an account may make it keep %d", size, kept)
		}
		// Uploads by one-time URL still succeed and have events, and so do deletions.
		if a := post(t, late.UploadURL, "a.jpg", photo(t, 32, 32, 1)); a.status != http.StatusOK {
			t.Errorf("an upload: status %d: %s", a.status, a.body)
		}
		if a := s.api("DELETE", "images/v1/"+late.ID, nil); a.status != http.StatusOK {
			t.Errorf("a deletion: status %d: %s", a.status, a.body)
		}
		for i := range 10 {
			a := s.api("DELETE", fmt.Sprint("alerting/v3/streams/s", i), nil)
			if a.status != http.StatusOK {
				t.Errorf("a stream's deletion: status %d: %s", a.status, a.body)
			}
		}
		s.createUploadURL()
	})
}

// smallDisk mounts a file system of bytes bytes until the test ends. In CI it must be possible.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("no small disk can be mounted: %v", err)
	}
	if err != nil {
		t.Fatalf("mounting a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// fillDisk writes a file into a folder until the disk is full, and returns its path.
func fillDisk(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "foreign")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// TestFullDisk has a disk that an account cannot fill, and that another program fills to the last byte.
func TestFullDisk(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			s := &server{t: t, data: smallDisk(t, 160<<20), log: &logBuffer{},
				env: []string{"CALOTYPE_DISK_RESERVE=40MiB"}}
			if engine == "postgres" {
				s.args = []string{"-db", sqldbtest.Postgres(t)}
			}
			s.start()
			t.Cleanup(s.kill)
			fullDisk(t, s)
			s.stop()
			dsn := filepath.Join(s.data, backup.DatabaseFile)
			if len(s.args) > 0 {
				dsn = s.args[1]
			}
			wantUsage(t, dsn)
		})
	}
}

func fullDisk(t *testing.T, s *server) {
	s.setLimits("-max-images", "10", "-max-bytes", "40MiB", "-max-drafts", "10", "-max-kept", "4MiB")
	s.openStreams(10)
	id := s.createUploadURL().ID
	var pictures []oneTimeURL
	for i := range 3 {
		u := s.createUploadURL("creator", fmt.Sprint("creator-", i))
		if a := post(t, u.UploadURL, "a.jpg", tagged(photo(t, 64, 64, 1), i)); a.status != http.StatusOK {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		pictures = append(pictures, u)
	}
	other := newBystander(s)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	e, ended := &editor{statuses: map[int]int{}}, make(chan struct{})
	go func() { defer close(ended); e.edit(ctx, s, id) }()
	waitUntil(t, "edits are refused", func() bool {
		return e.refused(http.StatusForbidden, 20) || e.refused(http.StatusInsufficientStorage, 20)
	})
	other.rounds(t.Context(), 2).wantUndisturbed(t, results{})
	end()
	<-ended

	filler := fillDisk(t, s.data)
	wantFull(t, s, id, pictures[0].ID)
	s.stop()
	fillDisk(t, s.data)
	s.startTo(http.StatusServiceUnavailable)
	wantFull(t, s, id, pictures[1].ID)
	s.kill()
	s.startTo(http.StatusServiceUnavailable)
	wantFull(t, s, id, "")
	if a := s.api("DELETE", "images/v2?creator=creator-2", nil); a.status != http.StatusOK ||
		readReceipt(t, a.envelope(t).Result).Found.Images != 1 {
		t.Errorf("an erasure: status %d: %s", a.status, a.body)
	}
	for i := range 10 {
		a := s.api("DELETE", fmt.Sprint("alerting/v3/streams/s", i), nil)
		if a.status != http.StatusOK {
			t.Errorf("a stream's deletion: status %d: %s", a.status, a.body)
		}
	}
	if strings.Contains(s.log.String(), "cannot rollback") {
		t.Error("the log has rollbacks that SQLite had done")
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the server is ready", func() bool {
		return do(t, "GET", s.url+"/readyz", nil).status == http.StatusOK
	})
	s.createUploadURL()
	other.api = s.url + other.api[strings.Index(other.api, "/client/"):]
	other.rounds(t.Context(), 2).wantUndisturbed(t, results{})
}

// wantFull checks what a server on a full disk refuses, and that it deletes an image.
func wantFull(t *testing.T, s *server, id, gone string) {
	t.Helper()
	waitUntil(t, "the server sees that the disk is full", func() bool {
		return do(t, "GET", s.url+"/readyz", nil).status == http.StatusServiceUnavailable
	})
	if a := do(t, "GET", s.url+"/readyz", nil); string(a.body) != "not ready: out of disk\n" {
		t.Errorf("/readyz says %q", a.body)
	}
	if a := do(t, "GET", s.url+"/healthz", nil); a.status != http.StatusOK {
		t.Errorf("/healthz: status %d", a.status)
	}
	for _, c := range []struct{ method, path, body string }{
		{"POST", "images/v2/direct_upload", ""},
		{"PATCH", "images/v1/" + id, `{"metadata":{"full":true}}`},
		{"POST", "alerting/v3/replay", `{"failed":true}`},
		{"PUT", "alerting/v3/streams/new", ""},
	} {
		a := s.api(c.method, c.path, bytes.NewBufferString(c.body), "Content-Type", "application/json")
		if a.status != http.StatusInsufficientStorage || a.code(t) != 5540 {
			t.Errorf("%s %s: status %d: %s", c.method, c.path, a.status, a.body)
		}
	}
	if _, ok := s.image(id); !ok {
		t.Error("a draft cannot be read")
	}
	if gone == "" {
		return
	}
	if a := s.api("DELETE", "images/v1/"+gone, nil); a.status != http.StatusOK {
		t.Errorf("a deletion: status %d: %s", a.status, a.body)
	}
	if _, ok := s.image(gone); ok {
		t.Error("what was deleted is there")
	}
}
