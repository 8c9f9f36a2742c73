package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/sqldb/sqldbtest"
)

// erasedMark stands in all that an erased creator left: bytes, metadata, file name and name.
const erasedMark = "CANARY-7Q2XW"

const (
	erasedCreator = erasedMark + "-creator"
	erasedQuery   = "images/v2?creator=" + erasedCreator
)

// receipt is what an erasure answers, as the tests need it.
type receipt struct {
	Erasure  string
	Complete bool
	Found    struct{ Images, Drafts, Bytes int }
	Removed  struct{ Originals, Renditions, Parts int }
	Due      []struct{ What, By string }
	Beyond   []string
}

func readReceipt(t *testing.T, text []byte) (r receipt) {
	t.Helper()
	if err := json.Unmarshal(text, &r); err != nil || r.Erasure == "" || len(r.Beyond) == 0 {
		t.Fatalf("no receipt: %v\n%.500s", err, text)
	}
	return r
}

// holders returns the files below a folder whose name or content has the mark.
func holders(t *testing.T, folder string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(path string, e os.DirEntry, err error) error {
		if os.IsNotExist(err) { // deleted concurrently
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if bytes.Contains(content, []byte(erasedMark)) || strings.Contains(path, erasedMark) {
			paths = append(paths, strings.TrimPrefix(path, folder))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// wantNoHolders waits until no file has the mark, beside an operator who does not wait for the time of
// day at which the database is rebuilt. The bound is for busy machines: what is left to periodic jobs
// takes a minute or two.
func wantNoHolders(t *testing.T, folder string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(folder, "calotype.db")); err == nil {
		if got := calotype(t, nil, "scrub", "-data", folder); got.code != 0 {
			t.Fatalf("the command ended with %d: %s", got.code, got.stderr)
		}
	}
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		left := holders(t, folder)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("what was erased is still in %v", left)
		}
	}
}

// leave makes images and drafts for a creator, and lets the images be seen; it returns their paths.
func leave(t *testing.T, s *server, creator string, images, drafts int) (paths []string) {
	t.Helper()
	base := photo(t, 320, 240, 5)
	for i := range images + drafts {
		u := s.createUploadURL("creator", creator, "metadata", `{"who":"`+creator+`-meta"}`)
		if i >= images {
			continue
		}
		picture := tagged(base, i)
		if creator == erasedCreator {
			comment := fmt.Appendf(nil, "%s %06d", erasedMark, i)
			head := append([]byte{0xff, 0xd8, 0xff, 0xfe, 0, byte(len(comment) + 2)}, comment...)
			picture = append(head, base[2:]...)
		}
		if a := post(t, u.UploadURL, creator+".jpg", picture); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
		path := "/" + accountHashOf(accountID) + "/" + u.ID + "/public"
		if a := do(t, "GET", s.url+path, nil); a.status != http.StatusOK {
			t.Fatalf("status %d\n%s", a.status, a.body)
		}
		paths = append(paths, path)
	}
	return paths
}

// wantShown asks a server for deliveries.
func wantShown(t *testing.T, s *server, status int, paths []string) {
	t.Helper()
	for _, path := range paths {
		if a := do(t, "GET", s.url+path, nil); a.status != status {
			t.Errorf("%s: status %d, want %d", path, a.status, status)
		}
	}
}

func renditionsOf(t *testing.T, s *server) int {
	t.Helper()
	return len(filesIn(t, filepath.Join(s.data, "renditions")))
}

// TestErasureLeavesNothing searches the disk for what an erased creator left.
func TestErasureLeavesNothing(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		erasureLeavesNothing(t, newServer(t), 2)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		erasureLeavesNothing(t, newServer(t, "-db", sqldbtest.Postgres(t)), 1)
	})
}

// erasureLeavesNothing is for a server whose folder has the mark in kinds kinds of files.
func erasureLeavesNothing(t *testing.T, s *server, kinds int) {
	stay := leave(t, s, "other", 5, 2)
	gone := leave(t, s, erasedCreator, 8, 3)
	content := bytes.Repeat([]byte(erasedMark), 20_000)
	half := depart(t, s.createUploadURL("creator", erasedCreator), erasedMark+".jpg", content)
	half.sendHalf(t)
	for deadline := time.Now().Add(time.Minute); len(holdersIn(t, s, "spool")) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the upload in flight is not in the spool")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if n := len(holdersIn(t, s, "blobs")); n != 8 {
		t.Fatalf("%d originals have the mark, want 8", n)
	}
	if inDatabase := len(holders(t, s.data)) - 8 - 1; (inDatabase > 0) != (kinds > 1) {
		t.Fatalf("%d files of the database have the mark", inDatabase)
	}

	a := s.api("DELETE", erasedQuery, nil)
	if a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	r := readReceipt(t, a.envelope(t).Result)
	if !r.Complete || r.Found.Images != 8 || r.Found.Drafts != 4 || r.Removed.Originals != 8 ||
		r.Removed.Renditions != 8 || r.Removed.Parts != 1 || r.Found.Bytes == 0 {
		t.Errorf("the receipt is %s", a.body)
	}
	if n := len(holdersIn(t, s, "blobs")); n != 0 {
		t.Errorf("%d originals are left", n)
	}
	if n := renditionsOf(t, s); n != 5 {
		t.Errorf("%d renditions are left, want the 5 of the other creator", n)
	}
	wantShown(t, s, http.StatusNotFound, gone)
	wantShown(t, s, http.StatusOK, stay)
	// The rest of the upload in flight finds no draft.
	half.sendAll(t)
	if <-half.landed; half.status != http.StatusNotFound {
		t.Errorf("the upload in flight is answered %d, %v", half.status, half.err)
	}
	wantNoHolders(t, s.data)
	creator := canary{name: "creator", value: erasedMark}
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, erasedMark) && !creator.mayLog(line) {
			t.Errorf("the log names who was erased: %s", line)
		}
	}
	s.kill() // and nothing comes back
	s.start()
	wantNoHolders(t, s.data)
	wantShown(t, s, http.StatusOK, stay)
}

func holdersIn(t *testing.T, s *server, folder string) []string {
	t.Helper()
	return holders(t, filepath.Join(s.data, folder))
}

// TestErasureKilled kills the server during an erasure. The same request continues it, or the command, beside
// a server or without one.
func TestErasureKilled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	stay := leave(t, s, "other", 2, 0)
	for round, again := range []func() receipt{
		func() receipt {
			s.start()
			return readReceipt(t, s.api("DELETE", erasedQuery, nil).envelope(t).Result)
		},
		func() receipt { s.start(); return eraseByCommand(t, s, "--creator", erasedCreator) },
		func() receipt { r := eraseByCommand(t, s, "--creator", erasedCreator); s.start(); return r },
	} {
		const images, drafts = 60, 200
		leave(t, s, erasedCreator, images, drafts)
		landed := make(chan struct{})
		go func() {
			defer close(landed)
			_, _ = send(t.Context(), "DELETE", s.url+"/client/v4/accounts/"+accountID+"/"+erasedQuery, nil,
				"Authorization", "Bearer "+token)
		}()
		for deadline := time.Now().Add(time.Minute); len(holdersIn(t, s, "blobs")) == images; {
			if time.Now().After(deadline) {
				t.Fatal("the erasure does not begin")
			}
		}
		s.kill()
		<-landed
		left := len(holdersIn(t, s, "blobs"))
		r := again()
		// When the first call came to its end before the kill, the second found nothing.
		whole := r.Found.Images == images && r.Found.Drafts == drafts
		if !r.Complete || !whole && (left > 0 || r.Found.Images+r.Found.Drafts > 0) {
			t.Errorf("round %d: with %d originals left at the kill, the receipt is %+v", round, left, r)
		}
		t.Logf("killed with %d of %d originals left", left, images)
		wantNoHolders(t, s.data)
		wantShown(t, s, http.StatusOK, stay)
	}
}

// eraseByCommand runs the command to its end and returns the receipt that it prints.
func eraseByCommand(t *testing.T, s *server, args ...string) receipt {
	t.Helper()
	end := calotype(t, nil, append([]string{"image", "delete", "--yes", "-data", s.data}, args...)...)
	if end.code != 0 {
		t.Fatalf("the command ended with %d\n%s%s", end.code, end.stdout, end.stderr)
	}
	return readReceipt(t, []byte(end.stdout))
}

// TestErasureOnTwoNodes: the other node's disk loses the renditions too.
func TestErasureOnTwoNodes(t *testing.T) {
	t.Parallel()
	nodes := newNodes(t, 2)
	one, two := nodes[0], nodes[1]
	paths := leave(t, one, erasedCreator, 4, 1)
	stay := leave(t, one, "other", 1, 0)
	plain := leave(t, one, "other", 1, 0)
	wantShown(t, two, http.StatusOK, append(append(paths, stay...), plain...))
	if n := renditionsOf(t, two); n != 6 {
		t.Fatalf("the other node has %d renditions, want 6", n)
	}
	if a := one.api("DELETE", erasedQuery, nil); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	id := strings.Split(plain[0], "/")[2]
	if a := one.api("DELETE", "images/v1/"+id, nil); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	for deadline := time.Now().Add(2 * time.Minute); renditionsOf(t, two) != 1; {
		if time.Now().After(deadline) {
			t.Fatalf("the other node still has %d renditions, want 1", renditionsOf(t, two))
		}
		time.Sleep(100 * time.Millisecond)
	}
	wantShown(t, two, http.StatusNotFound, append(paths, plain...))
	wantShown(t, two, http.StatusOK, stay)
}

// deleteOnTerminal runs the command on a terminal and answers its question.
func deleteOnTerminal(t *testing.T, s *server, answer, says string, code int) {
	t.Helper()
	ours, theirs := terminal(t)
	cmd := exec.Command(binary, "image", "delete", "-data", s.data, "--creator", "other",
		"--account-id", accountID)
	said := &logBuffer{}
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = plainEnviron(), theirs, said, said
	if _, err := ours.WriteString(answer + "\n"); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Run()
	if cmd.ProcessState.ExitCode() != code || !strings.Contains(said.String(), "1 image (") ||
		!strings.Contains(said.String(), says) {
		t.Errorf("answered %s, the command ended with %s:\n%s", answer, cmd.ProcessState, said)
	}
}

// TestImageDelete is the command, and what it refuses.
func TestImageDelete(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	byID, byURL := leave(t, s, erasedCreator, 1, 0)[0], leave(t, s, erasedCreator, 1, 0)[0]
	stay := leave(t, s, "other", 1, 0)
	for _, c := range []struct{ says, args string }{
		{"", ""}, {"", "--creator x --id y"}, {"nothing to delete is given", "--creator="},
		{"Image not found", "--id nothing-of-ours"}, {"--url must be like", "--url /a/b/public"},
		{"no such account", "--url https://img.example/unknown/x/public"},
		{"no such account", "--creator x --account-id 00000000000000000000000000000000"},
		{"1 image (", "--creator other"}, {"without -confirm", "--creator other"},
	} {
		end := calotype(t, nil, append([]string{"image", "delete", "-data", s.data},
			strings.Fields(c.args)...)...)
		if end.code == 0 || !strings.Contains(end.stderr, c.says) || end.stdout != "" && c.args != "" {
			t.Errorf("%q: ended with %d\n%s%s", c.args, end.code, end.stdout, end.stderr)
		}
	}
	r := eraseByCommand(t, s, "--id", strings.Split(byID, "/")[2], "--account-id", accountID)
	if r.Found.Images != 1 || r.Removed.Renditions != 1 {
		t.Errorf("the receipt is %+v", r)
	}
	if r := eraseByCommand(t, s, "--url", s.url+byURL); r.Found.Images != 1 || !r.Complete {
		t.Errorf("the receipt is %+v", r)
	}
	wantNoHolders(t, s.data)
	wantShown(t, s, http.StatusOK, stay)

	deleteOnTerminal(t, s, "no", "nothing is deleted", 1)
	wantShown(t, s, http.StatusOK, stay)

	// Where there are two accounts, which one must be said.
	s.stop()
	s.env = []string{"CALOTYPE_ACCOUNT_ID=" + strings.Repeat("ab", 16),
		"CALOTYPE_API_TOKEN=another-token-9X"}
	s.start()
	end := calotype(t, nil, "image", "delete", "-data", s.data, "--creator", "other")
	if end.code == 0 || !strings.Contains(end.stderr, "name one with --account") {
		t.Errorf("of two accounts one was taken: %d\n%s%s", end.code, end.stdout, end.stderr)
	}
	wantShown(t, s, http.StatusOK, stay)
	deleteOnTerminal(t, s, "yes", `"complete": true`, 0)
	// Another process deleted it, so the server may know the image for a second more.
	eventually(t, "delivery", http.StatusNotFound, func() answer { return do(t, "GET", s.url+stay[0], nil) })
}
