package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"calotype/internal/blob/blobtest"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// doctor runs calotype doctor, and returns its findings by their subject.
func doctor(t *testing.T, code int, env []string, args ...string) map[string]string {
	t.Helper()
	got := calotype(t, append(env, "CALOTYPE_DISK_RESERVE=1MiB"), append([]string{"doctor"}, args...)...)
	if got.code != code || (got.stderr != "") != (code != 0) {
		t.Fatalf("doctor %v: %+v", args, got)
	}
	findings := map[string]string{}
	for line := range strings.Lines(got.stdout) {
		findings[strings.TrimSpace(line[9:27])] = strings.TrimSpace(line[:9] + line[28:])
	}
	return findings
}

// stateOf returns the size, the time and the sum of each file and folder in a folder.
func stateOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	state := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		state[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			state[path] += fmt.Sprintf(" %x", sha256.Sum256(text))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestDoctor: the command changes nothing before the first start, beside the server and after its end.
func TestDoctor(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "none")
	got := doctor(t, 0, nil, "-data", data, "-listen", "127.0.0.1:0")
	for _, subject := range []string{"version", "engine", "jpeg", "png", "gif", "webp", "avif", "heic", "sandbox",
		"workers", "data folder", "disk", "address", "database", "store", "installation", "clock"} {
		if got[subject] == "" {
			t.Errorf("there is no finding about the %s: %v", subject, got)
		}
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data folder exists: %v", err)
	}
	s := newServer(t)
	address := strings.TrimPrefix(s.url, "http://")
	for _, running := range []bool{true, false} {
		files, state := filesIn(t, s.data), stateOf(t, s.data)
		got := doctor(t, 0, nil, "-data", s.data, "-listen", address)
		if after := filesIn(t, s.data); !slices.Equal(after, files) {
			t.Errorf("the files were %v, and are %v", files, after)
		}
		if after := stateOf(t, s.data); !running && !reflect.DeepEqual(after, state) {
			t.Errorf("the folder was %v, and is %v", state, after)
		}
		ready, use := strings.Contains(got["address"], "says: ready"), strings.Contains(got["data folder"], "the process")
		if ready != running || use != running || !strings.Contains(got["installation"], "belong to") {
			t.Errorf("the server runs: %v; findings: %v", running, got)
		}
		if running {
			s.stop()
		}
	}
	other := newServer(t)
	got = doctor(t, 1, nil, "-data", s.data, "-blobs", filepath.Join(other.data, "blobs"), "-listen", address)
	if !strings.HasPrefix(got["installation"], "failed") {
		t.Errorf("the store of another installation: %v", got)
	}
	if got := calotype(t, nil, "doctor", "-what"); got.code != 2 || got.stderr == "" {
		t.Errorf("an unknown flag: %+v", got)
	}
}

// TestDoctorAfterCrash: the command reads what a killed server has left, and leaves it to the next start.
func TestDoctorAfterCrash(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	// The log is empty for a moment after each pass of the scrub, which also follows a start.
	for {
		s.createUploadURL()
		s.kill()
		log, err := os.Stat(filepath.Join(s.data, "calotype.db-wal"))
		if err != nil {
			t.Fatal(err)
		}
		if log.Size() > 0 {
			break
		}
		s.start()
	}
	before := stateOf(t, s.data)
	got := doctor(t, 0, nil, "-data", s.data, "-listen", "127.0.0.1:0")
	if !strings.Contains(got["installation"], "belong to") || !strings.HasPrefix(got["integrity"], "ok") {
		t.Errorf("after a crash: %v", got)
	}
	// Without its index the log cannot be read without a write.
	index := filepath.Join(s.data, "calotype.db-shm")
	if err := os.Remove(index); err != nil {
		t.Fatal(err)
	}
	got = doctor(t, 0, nil, "-data", s.data, "-listen", "127.0.0.1:0")
	if !strings.HasPrefix(got["database"], "warning") || !strings.Contains(got["database"], "start the server") {
		t.Errorf("without an index: %v", got)
	}
	after := stateOf(t, s.data)
	for _, state := range []map[string]string{before, after} { // the removal is this test's
		delete(state, index)
		delete(state, s.data)
	}
	if !reflect.DeepEqual(after, before) {
		t.Errorf("the folder was %v, and is %v", before, after)
	}
	s.start()
}

// TestDoctorBesideStarts: servers start and end while the command runs, and it finds no failure.
func TestDoctorBesideStarts(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := range 4 {
			if i%2 == 0 {
				s.stop()
			} else {
				s.kill()
			}
			s.start()
		}
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
		}
		doctor(t, 0, nil, "-data", s.data, "-listen", "127.0.0.1:0")
	}
}

// TestDoctorRemoteUnchanged: an empty database of PostgreSQL and an empty bucket remain empty.
func TestDoctorRemoteUnchanged(t *testing.T) {
	t.Parallel()
	gateway, dsn := blobtest.StartGateway(t), sqldbtest.Postgres(t)
	data := filepath.Join(t.TempDir(), "none")
	for range 2 {
		got := doctor(t, 0, gateway.Environ(), "-data", data, "-db", dsn, "-blobs", gateway.URI("doctor"),
			"-listen", "127.0.0.1:0")
		if !strings.Contains(got["schema"], "the database is empty") || !strings.Contains(got["store"], "lists 0 objects") ||
			!strings.Contains(got["installation"], "is new") {
			t.Errorf("%v", got)
		}
	}
	db, err := sqldb.OpenToRead(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var tables int
	if err := db.QueryRow(t.Context(), `SELECT COUNT(*) FROM pg_class WHERE relnamespace =
		to_regnamespace(quote_ident(current_schema()))`).Scan(&tables); err != nil || tables > 0 {
		t.Errorf("%d tables, %v", tables, err)
	}
	if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the data folder exists: %v", err)
	}
}

// TestDoctorEnvironment: a variable that cannot be used ends doctor before its checks, and not version.
func TestDoctorEnvironment(t *testing.T) {
	t.Parallel()
	env := []string{"CALOTYPE_DB_FILE=postgres://me:canary@host/x"} // the URL itself, by mistake
	got := calotype(t, env, "doctor", "-data", t.TempDir())
	if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, "CALOTYPE_DB_FILE") ||
		strings.Contains(got.stderr, "canary") {
		t.Errorf("doctor: %+v", got)
	}
	got = calotype(t, env, "version")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "calotype ") || got.stderr != "" {
		t.Errorf("version: %+v", got)
	}
}

// TestDoctorInterrupted: the command ends soon, and reports nothing about what it did not finish.
func TestDoctorInterrupted(t *testing.T) {
	t.Parallel()
	hung, err := net.Listen("tcp", "127.0.0.1:0") // accepts connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hung.Close()
	cmd := exec.CommandContext(t.Context(), binary, "doctor", "-data", t.TempDir(), "-listen", "127.0.0.1:0",
		"-db", "postgres://me@"+hung.Addr().String()+"/x")
	cmd.Env = append(plainEnviron(), "CALOTYPE_DISK_RESERVE=1MiB")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := hung.Accept() // the check of the database is running
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its status is compared below
	if took := time.Since(began); took > 5*time.Second || cmd.ProcessState.ExitCode() != 1 ||
		!strings.Contains(stderr.String(), "interrupted") || strings.Contains(stdout.String(), "database") ||
		strings.Contains(stdout.String(), "failed") {
		t.Errorf("%v, %v\n%s%s", took, cmd.ProcessState, stdout.String(), stderr.String())
	}
}

// TestDoctorShowsNoSecret, neither if all is well nor if all fails.
func TestDoctorShowsNoSecret(t *testing.T) {
	t.Parallel()
	gateway, dsn := blobtest.StartGateway(t), sqldbtest.Postgres(t)
	s := newServerIn(t, gateway.Environ(), "-db", dsn, "-blobs", gateway.URI("doctor"))
	secrets := []string{
		"CALOTYPE_API_TOKEN=canary-token-longer-than-20", "CALOTYPE_WEBHOOK_URL=https://example.com/canary-hook",
		"CALOTYPE_WEBHOOK_SECRET=canary-webhook", "CALOTYPE_WEBHOOK_SIGNING_SECRET=whsec_Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5",
		"CALOTYPE_DISK_RESERVE=1MiB", "PGPASSWORD=canary-pg",
	}
	well := []string{"-data", s.data, "-listen", strings.TrimPrefix(s.url, "http://"), "-db", dsn,
		"-blobs", gateway.URI("doctor")}
	ill := []string{"-data", s.data, "-db", "postgres://me:canary-password@127.0.0.1:1/x",
		"-blobs", "s3://bucket/x?endpoint=http://127.0.0.1:1", "-webhook-signing-secret", "canary-not-valid"}
	for code, args := range [][]string{well, ill} {
		env := append(slices.Clone(secrets), gateway.Environ()...)
		if code == 1 {
			env = append(secrets, "AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=canary-s3", "AWS_SESSION_TOKEN=canary-session")
		}
		for _, format := range []string{"", "-json"} {
			args := append([]string{"doctor"}, args...)
			if format != "" {
				args = append(args, format)
			}
			got := calotype(t, env, args...)
			text := got.stdout + got.stderr
			if got.code != code || strings.Contains(text, "canary") || strings.Contains(text, "Y2FuYXJ5") {
				t.Errorf("%v: %+v", args, got)
			}
			var parsed struct {
				Failed int
				Checks []struct{ Result, Subject, Found string }
			}
			if format == "" {
				if code == 0 && strings.Count(got.stdout, "from the clock of") != 2 {
					t.Errorf("the clocks were not compared:\n%s", got.stdout)
				}
				continue
			}
			if err := json.Unmarshal([]byte(got.stdout), &parsed); err != nil ||
				(parsed.Failed > 0) != (code == 1) || len(parsed.Checks) < 15 {
				t.Errorf("%v: %+v", err, parsed)
			}
		}
	}
}

// copyProgram copies the program and its libvips to a folder, and returns its path: another user may not read the
// folders of this one.
func copyProgram(t *testing.T, folder string) string {
	t.Helper()
	libraries, err := exec.CommandContext(t.Context(), "ldd", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(folder, "calotype")
	files := map[string]string{binary: program}
	for line := range strings.Lines(string(libraries)) { // name => path (address)
		if fields := strings.Fields(line); len(fields) > 2 && strings.HasPrefix(fields[0], "libvips-cpp") {
			files[fields[2]] = filepath.Join(folder, fields[0])
		}
	}
	for from, to := range files {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o755)
		}
		if err == nil {
			err = os.Chmod(to, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return program
}

// TestDoctorAsOtherUser: a user who may not write to the folders finds that out.
func TestDoctorAsOtherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("this test starts the program as another user, which needs root")
	}
	folder, err := os.MkdirTemp("", "calotype-doctor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	program := copyProgram(t, folder)
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(data string) (code int, out string) {
		cmd := exec.CommandContext(t.Context(), program, "doctor", "-data", data, "-listen", "127.0.0.1:0")
		cmd.Env = append(plainEnviron(), "LD_LIBRARY_PATH="+folder, "CALOTYPE_DISK_RESERVE=1MiB")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		text, _ := cmd.CombinedOutput() // its status is returned
		return cmd.ProcessState.ExitCode(), string(text)
	}
	code, out := run(folder)
	if code != 1 || !strings.Contains(out, "cannot read and write "+folder) || !strings.Contains(out, "ok       engine") {
		t.Errorf("the folder of another user: %d\n%s", code, out)
	}
	// A volume of another owner that the group of the user may use, such as one with Kubernetes' fsGroup.
	data := filepath.Join(folder, "data")
	if err := errors.Join(os.Mkdir(data, 0), os.Chown(data, 0, 65534), os.Chmod(data, 0o770)); err != nil {
		t.Fatal(err)
	}
	if code, out := run(data); code != 0 || !strings.Contains(out, "ok       data folder") {
		t.Errorf("the folder of a group: %d\n%s", code, out)
	}
	for _, name := range []string{"calotype.db", "lock"} {
		path := filepath.Join(data, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o644), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
		if code, out := run(data); code != 1 || !strings.Contains(out, "this user cannot use "+path) {
			t.Errorf("root's file %s: %d\n%s", name, code, out)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	// The owner of the folder is root.
	if err := os.Chown(folder, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	got := calotype(t, nil, "doctor", "-data", folder, "-listen", "127.0.0.1:0")
	if !strings.Contains(got.stdout, "belongs to the user 65534") {
		t.Errorf("%+v", got)
	}
}
