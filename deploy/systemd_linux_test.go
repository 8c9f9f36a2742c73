package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/seccomp"
)

// confineVariable makes the test program put itself under the filter of a unit and then become the
// program in its arguments. Its value is the system calls that are allowed.
const confineVariable = "CALOTYPE_DEPLOY_CONFINE"

// families are those of RestrictAddressFamilies that a unit of ours may name.
var families = map[string]uint64{
	"AF_UNIX": unix.AF_UNIX, "AF_INET": unix.AF_INET, "AF_INET6": unix.AF_INET6,
}

// TestUnit has systemd itself read the unit.
func TestUnit(t *testing.T) {
	t.Parallel()
	analyze := findProgram(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "calotype.service")
	writeFile(t, unit, edited(t, "calotype.service", "/usr/local/bin/calotype", binary))
	out, err := exec.CommandContext(t.Context(), analyze, "verify", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), "calotype") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// The threshold is ten times the exposure that systemd counts. It was 1.4 when this was written;
	// a newer systemd may count more.
	out, err = exec.CommandContext(t.Context(), analyze, "security", "--offline=true",
		"--threshold=20", "--no-pager", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
	settings := unitSettings(t)
	for key, want := range map[string]string{
		"KillMode": "mixed", "OOMPolicy": "continue", "StateDirectory": "calotype",
		"ProtectSystem": "strict", "NoNewPrivileges": "yes",
	} {
		if got := settings[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
}

// unitSettings returns the values of each key of the unit.
func unitSettings(t *testing.T) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	for line := range strings.Lines(readFile(t, "calotype.service")) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") {
			settings[key] = append(settings[key], value)
		}
	}
	return settings
}

// TestUnitFilter runs the program under the unit's filter of system calls and address families, as
// systemd would set it. Under it the workers must have the complete sandbox, and must be able to
// render.
func TestUnitFilter(t *testing.T) {
	t.Parallel()
	allowed := allowedCalls(t, unitSettings(t)["SystemCallFilter"])
	if len(allowed) < 150 {
		t.Fatalf("only %d calls are allowed: %v", len(allowed), allowed)
	}
	free := sandboxOf(t, startServer(t, ""))
	s := startConfined(t, allowed)
	if got := sandboxOf(t, s); got != free {
		t.Errorf("under the unit: %s\nwithout it: %s", got, free)
	}
	base := "http://" + s.address
	p := createUploadURL(t, http.DefaultClient, base)
	if a := post(t, http.DefaultClient, p.UploadURL, photo(t, 20_000)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s\n%s", a.status, a.body, s.output())
	}
	for _, accept := range []string{"image/jpeg", "image/webp"} {
		a := do(t, http.DefaultClient, "GET", base+"/"+accountHash()+"/"+p.ID+"/public", nil,
			"Accept", accept)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != accept {
			t.Errorf("%s: status %d, %s", accept, a.status, a.header.Get("Content-Type"))
		}
	}
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.gone
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("SIGTERM: it ended with %d\n%s", code, s.output())
	}
}

// TestUnitFilterMatters: without the line for the workers' sandbox, they are less confined. So the
// test above can fail, and the line is needed.
func TestUnitFilterMatters(t *testing.T) {
	t.Parallel()
	lines := unitSettings(t)["SystemCallFilter"]
	kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		return strings.Contains(line, "landlock_restrict_self")
	})
	if len(kept) != len(lines)-1 {
		t.Fatalf("no separate line is for the sandbox: %q", lines)
	}
	s := startConfined(t, allowedCalls(t, kept))
	if got := sandboxOf(t, s); !strings.Contains(got, "no landlock") ||
		!strings.Contains(got, "no seccomp") {
		t.Errorf("without %q the sandbox is %s", lines, got)
	}
}

// startConfined starts the program through this test program.
func startConfined(t *testing.T, allowed []string) *server {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return startServer(t, "", "/usr/bin/env", confineVariable+"="+strings.Join(allowed, " "), self)
}

// sandboxOf returns what a server says at its start about the sandbox of its workers.
func sandboxOf(t *testing.T, s *server) string {
	t.Helper()
	// A ready server has written the line, but its output comes through pipes.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		for line := range strings.Lines(s.output()) {
			entry := struct{ Msg, Sandbox string }{}
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "render workers" {
				return entry.Sandbox
			}
		}
	}
	t.Fatalf("the server does not say how its workers are confined:\n%s", s.output())
	return ""
}

// allowedCalls reads lines of SystemCallFilter as systemd does: the first decides that only what
// is named is allowed, and those with a tilde take away again.
func allowedCalls(t *testing.T, lines []string) []string {
	t.Helper()
	allowed := map[string]bool{}
	for i, line := range lines {
		line, remove := strings.CutPrefix(line, "~")
		if i == 0 && remove {
			t.Fatal("the first line of SystemCallFilter forbids, so all else would be allowed")
		}
		for name := range strings.FieldsSeq(line) {
			for _, call := range expandCalls(t, name) {
				if remove {
					delete(allowed, call)
				} else {
					allowed[call] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(allowed))
}

// expandCalls returns the system calls in a group, or the one that is named.
func expandCalls(t *testing.T, name string) []string {
	t.Helper()
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	analyze := findProgram(t, "systemd-analyze")
	cmd := exec.CommandContext(t.Context(), analyze, "--no-pager", "syscall-filter", name)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("systemd-analyze syscall-filter %s: %v", name, err)
	}
	var calls []string
	for line := range strings.Lines(string(out)) {
		line, indented := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if indented && line != "" && !strings.HasPrefix(line, "#") {
			calls = append(calls, expandCalls(t, line)...)
		}
	}
	return calls
}

// runConfined is the test program in its other role; it returns only if it fails.
func runConfined() error {
	rules, err := unitRules()
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(os.Getenv(confineVariable)) {
		if !slices.ContainsFunc(rules, func(r seccomp.Rule) bool { return r.Call == name }) {
			rules = append(rules, seccomp.Rule{Call: name, Action: seccomp.Allow})
		}
	}
	if err := os.Unsetenv(confineVariable); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	if err := seccomp.Load(seccomp.Policy{Default: seccomp.Refuse, Rules: rules}); err != nil {
		return err
	}
	return unix.Exec(os.Args[1], os.Args[1:], os.Environ())
}

// unitRules are RestrictAddressFamilies, and MemoryDenyWriteExecute if the unit sets it.
func unitRules() ([]seccomp.Rule, error) {
	unit, err := os.ReadFile("calotype.service")
	if err != nil {
		return nil, err
	}
	var rules []seccomp.Rule
	if strings.Contains(string(unit), "\nMemoryDenyWriteExecute=yes") {
		rules = append(rules,
			seccomp.Rule{Call: "mmap", Action: seccomp.Allow, When: []seccomp.All{
				{seccomp.HasNone(2, unix.PROT_WRITE)}, {seccomp.HasNone(2, unix.PROT_EXEC)},
			}},
			seccomp.Rule{Call: "mprotect", Action: seccomp.Allow, When: []seccomp.All{{seccomp.HasNone(2, unix.PROT_EXEC)}}},
		)
	}
	_, line, ok := strings.Cut(string(unit), "\nRestrictAddressFamilies=")
	if !ok {
		return nil, errors.New("the unit does not restrict address families")
	}
	line, _, _ = strings.Cut(line, "\n")
	socket := seccomp.Rule{Call: "socket", Action: seccomp.Allow}
	for name := range strings.FieldsSeq(line) {
		family, ok := families[name]
		if !ok {
			return nil, fmt.Errorf("this test does not know the family %s", name)
		}
		socket.When = append(socket.When, seccomp.All{seccomp.Equals(0, family)})
	}
	return append(rules, socket), nil
}
