package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A traffic is clients that upload and delete pictures, all at once, until it is ended.
type traffic struct {
	*server
	picture []byte
	end     chan struct{}
	clients sync.WaitGroup

	mu     sync.Mutex
	images map[string]*loaded
	failed error
}

// A loaded is an image of the traffic: what it holds, and when its deletion was asked for and
// answered.
type loaded struct {
	content          []byte
	asked, confirmed time.Time
}

const (
	loadClients = 4
	loadMost    = 250 // uploads of a client, however long the test takes
)

func startTraffic(s *server) *traffic {
	l := &traffic{
		server: s, picture: photo(s.t, 64, 48, 1), end: make(chan struct{}),
		images: map[string]*loaded{},
	}
	for client := range loadClients {
		l.clients.Go(func() {
			if err := l.run(client); err != nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.failed = errors.Join(l.failed, err)
			}
		})
	}
	return l
}

// run is one client: it uploads pictures, through one-time URLs or with the token, and deletes
// every third again, at once or when as many have followed it as went before.
func (l *traffic) run(client int) error {
	var mine []string
	for i := range loadMost {
		select {
		case <-l.end:
			return nil
		default:
		}
		content := tagged(l.picture, client*1000+i)
		id, err := l.upload(content, client%2 == 0)
		if err != nil {
			return err
		}
		l.mu.Lock()
		l.images[id] = &loaded{content: content}
		l.mu.Unlock()
		mine = append(mine, id)
		switch i % 6 {
		case 2:
			err = l.remove(id)
		case 5:
			err = l.remove(mine[i/2+1])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// upload returns the id of the acknowledged image.
func (l *traffic) upload(content []byte, byURL bool) (string, error) {
	target := l.url + "/client/v4/accounts/" + accountID + "/images/"
	auth := []string{"Authorization", "Bearer " + token}
	if byURL {
		a, err := send(l.t.Context(), "POST", target+"v2/direct_upload", nil, auth...)
		var u oneTimeURL
		if err = errors.Join(err, unmarshalResult(a, &u)); err != nil {
			return "", fmt.Errorf("asking for a URL: %w: %s", err, a.body)
		}
		target, auth = u.UploadURL, nil
	} else {
		target += "v1"
	}
	body, kind := fileForm(l.t, "picture.jpg", content)
	a, err := send(l.t.Context(), "POST", target, body, append(auth, "Content-Type", kind)...)
	var p picture
	if err = errors.Join(wantOK(a, err), unmarshalResult(a, &p)); err != nil {
		return "", fmt.Errorf("uploading: %w", err)
	}
	return p.ID, nil
}

func (l *traffic) remove(id string) error {
	l.mu.Lock()
	img := l.images[id]
	img.asked = time.Now()
	l.mu.Unlock()
	a, err := send(l.t.Context(), "DELETE", l.url+"/client/v4/accounts/"+accountID+"/images/v1/"+id,
		nil, "Authorization", "Bearer "+token)
	l.mu.Lock()
	defer l.mu.Unlock()
	img.confirmed = time.Now()
	if err = wantOK(a, err); err != nil {
		return fmt.Errorf("deleting: %w", err)
	}
	return nil
}

func wantOK(a answer, err error) error {
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", a.status, a.body)
	}
	return err
}

// acknowledged returns the ids of the images acknowledged so far.
func (l *traffic) acknowledged() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := map[string]bool{}
	for id := range l.images {
		ids[id] = true
	}
	return ids
}

// await waits until more further images are acknowledged.
func (l *traffic) await(more int) {
	l.t.Helper()
	for want := len(l.acknowledged()) + more; len(l.acknowledged()) < want; {
		l.mu.Lock()
		failed := l.failed
		l.mu.Unlock()
		if failed != nil {
			l.t.Fatal(failed)
		}
		time.Sleep(time.Millisecond)
	}
}

// finish ends the load.
func (l *traffic) finish() {
	l.t.Helper()
	close(l.end)
	l.clients.Wait()
	if l.failed != nil {
		l.t.Fatal(l.failed)
	}
}

// backUp runs calotype backup and returns what it printed.
func (s *server) backUp(to string, args ...string) string {
	s.t.Helper()
	args = append([]string{"backup", "-data", s.data, "-disk-reserve", "1MiB", to}, args...)
	made := calotype(s.t, nil, args...)
	if made.code != 0 || made.stderr != "" || !strings.HasPrefix(made.stdout, "backed up ") {
		s.t.Fatalf("backup ended with %d, printed %q and %q", made.code, made.stdout, made.stderr)
	}
	return made.stdout
}

// restored restores a backup to a new folder and starts a server on it.
func restored(t *testing.T, from string) *server {
	t.Helper()
	s := &server{t: t, data: filepath.Join(t.TempDir(), "restored"), log: &logBuffer{}}
	made := calotype(t, nil, "restore", from, "-data", s.data)
	if made.code != 0 || made.stderr != "" || !strings.Contains(made.stdout, "serve -data "+s.data) {
		t.Fatalf("restore ended with %d, printed %q and %q", made.code, made.stdout, made.stderr)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// wantNoneMissing checks by the sweep and by the files that each row has its original, and no
// original is left over.
func (s *server) wantNoneMissing() {
	s.t.Helper()
	swept := calotype(s.t, nil, "sweep", "-dry-run", "-data", s.data)
	if swept.code != 0 || !strings.Contains(swept.stdout, " 0 images without their original") {
		s.t.Errorf("the sweep ended with %d: %s%s", swept.code, swept.stdout, swept.stderr)
	}
	dsn := filepath.Join(s.data, "calotype.db")
	g := s.open(dsn)
	g.wantSound(dsn)
	if orphans := g.orphans(); len(orphans) != 0 {
		s.t.Errorf("originals of no row were restored: %q", orphans)
	}
}

// TestBackupUnderLoad backs up twice into one folder while pictures are uploaded and deleted, and
// starts a server on what was restored: it has all that was acknowledged before the second backup
// began, and nothing that is not whole.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	s, to := newServer(t), filepath.Join(t.TempDir(), "backup")
	l := startTraffic(s)
	l.await(40)
	first := s.backUp(to)
	l.await(40)
	before, began := l.acknowledged(), time.Now()
	second := s.backUp(to)
	ended, after := time.Now(), l.acknowledged()
	l.finish()
	t.Logf("%s%s%d images were acknowledged before the second, %d during it, %d in all", first,
		second, len(before), len(after)-len(before), len(l.images))

	r := restored(t, to)
	there := map[string]picture{}
	for _, p := range r.list() {
		there[p.ID] = p
		if !bytes.Equal(r.stored(p.ID), l.images[p.ID].content) {
			t.Errorf("%s does not hold what was uploaded", p.ID)
		}
	}
	kept := 0
	for id, img := range l.images {
		_, ok := there[id]
		switch {
		case !img.confirmed.IsZero() && img.confirmed.Before(began):
			if ok {
				t.Errorf("%s was deleted before the backup, but is there", id)
			}
		case before[id] && (img.asked.IsZero() || img.asked.After(ended)):
			if kept++; !ok {
				t.Errorf("%s was acknowledged before the backup, but is not there", id)
			}
		}
	}
	if kept < 20 {
		t.Errorf("only %d images had to be there", kept)
	}
	delivered := 0
	for _, p := range there {
		if a := do(t, "GET", p.Variants[0], nil); a.status != http.StatusOK {
			t.Errorf("%s is delivered with status %d", p.ID, a.status)
		}
		if delivered++; delivered == 5 {
			break
		}
	}
	if a := post(t, r.createUploadURL().UploadURL, "new.jpg", photo(t, 64, 48, 2)); a.status != http.StatusOK {
		t.Errorf("an upload to the restored server: status %d", a.status)
	}
	r.wantNoneMissing()
	s.wantNoneMissing()
}

// killedBackup starts a backup and kills it when it has copied some originals. One that ends before
// the test comes to it is undone and tried again.
func (s *server) killedBackup(to string) {
	s.t.Helper()
	for range 20 {
		was := filepath.Join(s.t.TempDir(), "was")
		if err := os.CopyFS(was, os.DirFS(to)); err != nil {
			s.t.Fatal(err)
		}
		if s.killBackup(to) {
			return
		}
		if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(was))); err != nil {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("every backup ended before it was killed")
}

// killBackup reports whether the backup was killed before its end.
func (s *server) killBackup(to string) bool {
	s.t.Helper()
	copied := func() int {
		originals, err := filepath.Glob(filepath.Join(to, "blobs", "2*", "*"))
		if err != nil {
			s.t.Fatal(err)
		}
		return len(originals)
	}
	before := copied()
	cmd := exec.Command(binary, "backup", "-data", s.data, "-disk-reserve", "1MiB", to)
	cmd.Env = plainEnviron()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); copied() < before+2; {
		if time.Now().After(deadline) {
			s.t.Fatal("no original is copied")
		}
	}
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // which says no more than the exit code
	return cmd.ProcessState.ExitCode() == -1
}

// TestKilledBackup kills the first backup and a later one. The previous complete backup can be
// restored, and the next backup continues from it.
func TestKilledBackup(t *testing.T) {
	t.Parallel()
	s, to := newServer(t), t.TempDir()
	base := photo(t, 64, 48, 1)
	fill := func(from, n int) {
		for i := range n {
			id := fmt.Sprintf("image-%d", from+i)
			a := post(t, s.createUploadURL("id", id).UploadURL, "x.jpg", tagged(base, from+i))
			if a.status != http.StatusOK {
				t.Fatalf("status %d: %s", a.status, a.body)
			}
		}
	}
	want := func(n int) {
		t.Helper()
		r := restored(t, to)
		if list := r.list(); len(list) != n {
			t.Errorf("%d images were restored, want %d", len(list), n)
		}
		for i := range n {
			if !bytes.Equal(r.stored(fmt.Sprintf("image-%d", i)), tagged(base, i)) {
				t.Errorf("image %d is not what was uploaded", i)
			}
		}
		r.wantNoneMissing()
		r.stop()
	}
	fill(0, 25)
	s.killedBackup(to)
	got := calotype(t, nil, "restore", to, "-data", filepath.Join(t.TempDir(), "new"))
	if got.code == 0 || !strings.Contains(got.stderr, "never completed") {
		t.Errorf("a backup that was killed: %+v", got)
	}
	if said := s.backUp(to); strings.Contains(said, " 0 kept") {
		t.Errorf("what the killed backup had copied was not kept: %s", said)
	}
	want(25)
	fill(25, 25)
	s.killedBackup(to)
	want(25)
	s.backUp(to)
	want(50)
	if states, err := filepath.Glob(filepath.Join(to, "state-*")); err != nil || len(states) != 1 {
		t.Errorf("the backup holds the states %q, %v", states, err)
	}
	s.wantDamageFound(to)
}

// wantDamageFound damages an original in a backup: restore finds it, leaves its image out with
// -drop-damaged, and a backup with -verify repairs it.
func (s *server) wantDamageFound(to string) {
	s.t.Helper()
	path := ""
	for _, path = range filesIn(s.t, filepath.Join(to, "blobs")) {
		if !strings.Contains(path, "/.put/") { // what the killed ones left, and no original
			break
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	text[len(text)-3] ^= 1
	if err := os.WriteFile(path, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	half := filepath.Join(s.t.TempDir(), "half")
	got := calotype(s.t, nil, "restore", to, "-data", half)
	if got.code == 0 || !strings.Contains(got.stderr, "1 originals") ||
		!strings.Contains(got.stderr, `image "image-`) {
		s.t.Errorf("a damaged backup: %+v", got)
	}
	if got := calotype(s.t, nil, "restore", to, "-data", half); got.code == 0 {
		s.t.Errorf("a restore over the half of another: %+v", got)
	}
	got = calotype(s.t, nil, "serve", "-listen", "127.0.0.1:0", "-data", half)
	if got.code == 0 || !strings.Contains(got.stderr, "belongs to the installation") {
		s.t.Errorf("a server on the half of a restore: %+v", got)
	}
	rest := filepath.Join(s.t.TempDir(), "rest")
	got = calotype(s.t, nil, "restore", to, "-data", rest, "-drop-damaged")
	if got.code != 0 || !strings.Contains(got.stderr, `image "image-`) ||
		!strings.Contains(got.stdout, "restored 49 images") {
		s.t.Errorf("the undamaged rest: %+v", got)
	}
	if said := s.backUp(to, "-verify"); !strings.Contains(said, ": 1 original ") {
		s.t.Errorf("a backup that looks for damage: %s", said)
	}
	got = calotype(s.t, nil, "restore", to, "-data", filepath.Join(s.t.TempDir(), "whole"))
	if got.code != 0 {
		s.t.Errorf("the backup put right: %+v", got)
	}
}

// TestBackupRefusals: each names what would be right, and ends with 1.
func TestBackupRefusals(t *testing.T) {
	t.Parallel()
	const secret = "canary-password"
	s, to := newServer(t), filepath.Join(t.TempDir(), "backup")
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "notes.txt"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.backUp(to)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"backup", "-db", "postgres://me:" + secret + "@127.0.0.1:1/x", to}, "pg_dump"},
		{[]string{"backup", "-blobs", "s3://bucket/x", to}, "older versions"},
		{[]string{"backup", "-data", full, to}, "no database"},
		{[]string{"backup", "-blobs", full, to}, "calotype-installation"},
		{[]string{"backup", filepath.Join(s.data, "backup")}, "lies in"},
		{[]string{"backup", filepath.Dir(s.data)}, "lies in"},
		{[]string{"backup", full}, "notes.txt"},
		{[]string{"backup", filepath.Join(full, "notes.txt")}, "not a directory"},
		{[]string{"backup", filepath.Join(full, "none", "backup")}, "no such file"},
		{[]string{"backup"}, "expected"},
		{[]string{"restore", to}, "not empty"},
		{[]string{"restore", to, "-data", full}, "notes.txt"},
		{[]string{"restore", to, "-data", filepath.Join(to, "new")}, "lies in"},
		{[]string{"restore", full, "-data", filepath.Join(t.TempDir(), "new")}, "is no backup"},
		{[]string{"restore", filepath.Join(full, "none")}, "none"},
		{[]string{"restore", to, "-db", "postgres://me:" + secret + "@127.0.0.1:1/x"}, "pg_dump"},
	} {
		env := []string{"CALOTYPE_DATA=" + s.data, "CALOTYPE_DISK_RESERVE=1MiB"}
		got := calotype(t, env, tt.args...)
		code := 1
		if tt.want == "expected" || tt.want == "none" { // the command line is not valid
			code = 2
		}
		if got.code != code || !strings.Contains(got.stderr, tt.want) ||
			strings.Contains(got.stdout+got.stderr, secret) {
			t.Errorf("%q: ended with %d, want %q: %s", tt.args, got.code, tt.want, got.stderr)
		}
	}
	if left := filesIn(t, full); len(left) != 1 {
		t.Errorf("the refused commands made %q", left)
	}
	got := calotype(t, nil, "backup", "--help")
	if got.code != 0 || !strings.Contains(got.stdout, "-data") {
		t.Errorf("the help: %+v", got)
	}
}
