package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"calotype/internal/blob/blobtest"
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
		before := filesIn(t, s.data)
		got := doctor(t, 0, nil, "-data", s.data, "-listen", address)
		if after := filesIn(t, s.data); !slices.Equal(after, before) {
			t.Errorf("the files were %v, and are %v", before, after)
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
	program := filepath.Join(folder, "calotype")
	text, err := os.ReadFile(binary)
	if err == nil {
		err = os.WriteFile(program, text, 0o755)
	}
	if err == nil {
		err = os.Chmod(folder, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "doctor", "-data", folder, "-listen", "127.0.0.1:0")
	cmd.Env = plainEnviron()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), fmt.Sprint("cannot read and write ", folder)) {
		t.Errorf("%v\n%s", err, out)
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
