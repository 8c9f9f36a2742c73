package e2e

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// ciGuide is the guide of tests of other programs.
const ciGuide = "test-in-ci"

// TestCIGuide runs the commands of the guide with its test, which also meets the test tickets.
func TestCIGuide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeGuideFiles(t, ciGuide, dir, "upload.test.mjs")
	linkModules(t, dir, map[string][]string{"../conformance/node": {"cloudflare"}})
	script := strings.ReplaceAll(guideScript(t, ciGuide), "127.0.0.1:8090", "127.0.0.1:"+freePort(t))
	env := append(programInPath(t), "TMPDIR="+t.TempDir(), "NODE_OPTIONS=--test-reporter=tap")
	printed := runShell(t, dir, script, env)
	if n := strings.Count(printed, "\nok "); n != 6 || strings.Contains(printed, "not ok") {
		t.Errorf("%d tests of 6 passed:\n%s", n, printed)
	}
}

// TestFailureOfTheCIGuide runs the commands of the guide with a test that fails, and with a server that cannot start, in
// a shell that continues after a failure, and in one that does not. The script fails, and leaves no server and no
// folder.
func TestFailureOfTheCIGuide(t *testing.T) {
	t.Parallel()
	for _, shell := range [][]string{{"sh", "-c"}, {"bash", "-euo", "pipefail", "-c"}} {
		t.Run(shell[0], func(t *testing.T) {
			t.Parallel()
			failingCIGuide(t, shell, "127.0.0.1:"+freePort(t), "fail 1", nil)
			failingCIGuide(t, shell, "127.0.0.1:"+freePort(t), "no-such-host", []string{"CALOTYPE_URL=no-such-host"})
		})
	}
}

// failingCIGuide runs the commands of the guide, which fail and print want.
func failingCIGuide(t *testing.T, shell []string, address, want string, env []string) {
	t.Helper()
	dir, temporary := t.TempDir(), t.TempDir()
	writeText(t, filepath.Join(dir, "fails.test.mjs"), "throw new Error('fails')\n")
	script := strings.NewReplacer("127.0.0.1:8090", address, "timeout 30", "timeout 5").Replace(guideScript(t, ciGuide))
	cmd := exec.CommandContext(t.Context(), shell[0], append(shell[1:], script)...)
	cmd.Dir, cmd.Env = dir, append(append(programInPath(t), "TMPDIR="+temporary), env...)
	printed, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(printed), want) {
		t.Errorf("%v\n%s", err, printed)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("the script leaves %v, %v", left, err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("the script leaves a server")
	}
}

// TestCIContainers starts the program with the environment of each container of the guide, and uses its token. The
// containers need Docker and a registry of images, which no test has: TestContainer in deploy/ runs the image itself
// by podman. testcontainers, whose modules are large, is not run: its code was compiled by hand.
func TestCIContainers(t *testing.T) {
	t.Parallel()
	setting := regexp.MustCompile(`"?(CALOTYPE_[A-Z_]+)"?: ['"]?([^'", ]+|url|account|token)\b`)
	variables := strings.NewReplacer("account", accountOfCI, "token", tokenOfCI)
	for _, file := range []string{".github/workflows/test.yaml", "compose.test.yaml", "calotype.mjs", "calotype_test.go"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			code := guideFile(t, ciGuide, file)
			if strings.Count(code, accountOfCI) == 0 || strings.Count(code, tokenOfCI) == 0 {
				t.Fatal("the account and the token are not those of this test")
			}
			s := &server{t: t, data: t.TempDir(), log: &logBuffer{}}
			for _, m := range setting.FindAllStringSubmatch(code, -1) {
				if m[1] != "CALOTYPE_URL" { // the test chooses the port
					value := m[2]
					if strings.HasSuffix(file, ".go") {
						value = variables.Replace(value)
					}
					s.env = append(s.env, m[1]+"="+value)
				}
			}
			if len(s.env) < 3 {
				t.Fatalf("only %v were found", s.env)
			}
			s.start()
			t.Cleanup(s.kill)
			a := do(t, "GET", s.url+"/client/v4/accounts/"+accountOfCI+"/images/v1/stats", nil,
				"Authorization", "Bearer "+tokenOfCI)
			if a.status != http.StatusOK {
				t.Errorf("status %d: %s", a.status, a.body)
			}
		})
	}
}

// The account and the token of the guide.
const (
	accountOfCI = "0123456789abcdef0123456789abcdef"
	tokenOfCI   = "token-of-the-tests-only"
)

// TestCIWorkflow has actionlint read the workflow of the guide.
func TestCIWorkflow(t *testing.T) {
	t.Parallel()
	lint := "../.tools/bin/actionlint"
	if _, err := os.Stat(lint); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no actionlint: run scripts/setup test")
		}
		t.Skip("there is no actionlint: run scripts/setup test")
	}
	dir := t.TempDir()
	const file = ".github/workflows/test.yaml"
	writeGuideFiles(t, ciGuide, dir, file)
	if out, err := exec.CommandContext(t.Context(), lint, "-no-color", filepath.Join(dir, file)).CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}
