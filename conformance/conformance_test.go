// Package conformance runs programs that use Cloudflare Images through the official SDKs against
// the real binary: the Go SDK in go/, the one for Node.js in node/. Each is a separate module
// with a lock file, and knows only the environment that calotype env prints.
//
// A test that cannot fail proves nothing. So the programs also run against the same server behind a proxy
// that falsifies one part of an answer at a time, and must fail each time.
package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"calotype/internal/programtest"
)

const (
	accountID = "9a7806061c88ada191ed06f989cc3dac"
	token     = "canary-token-of-conformance"
)

// binary is the program under test: CALOTYPE_BIN, else built from the source.
var binary string

func TestMain(m *testing.M) { os.Exit(programtest.Run(m, &binary)) }

// A server is a running program behind a front, which is where it says that it is.
type server struct {
	front    *front
	upstream string   // the program itself
	sdk      []string // what calotype env exports
}

// newServer starts the program on a fresh data folder; more variables override its settings. It may
// fetch pictures from this machine, and post webhooks to it.
func newServer(t *testing.T, more ...string) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	s := &server{upstream: "http://" + address}
	s.front = newFront(t, s.upstream, "", breakage{})
	environ := append(outerEnviron(),
		"CALOTYPE_DATA="+t.TempDir(), "CALOTYPE_LISTEN="+address, "CALOTYPE_URL="+s.front.URL,
		"CALOTYPE_ACCOUNT_ID="+accountID, "CALOTYPE_API_TOKEN="+token,
		"CALOTYPE_DISK_RESERVE=1MiB", "CALOTYPE_OUTBOUND_ALLOW=127.0.0.0/8")
	environ = append(environ, more...)
	listener.Close()
	s.start(t, environ)

	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "sh", "-c",
		`variables=$("$0" env) && eval "$variables" && env | grep ^CLOUDFLARE_`, binary)
	cmd.Env, cmd.Stderr = environ, &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("calotype env: %v\n%s", err, stderr.String())
	}
	s.sdk = strings.Fields(string(out))
	return s
}

// start starts the program and waits until it is ready.
func (s *server) start(t *testing.T, environ []string) {
	t.Helper()
	var log bytes.Buffer
	cmd := exec.Command(binary, "serve")
	cmd.Env, cmd.Stdout, cmd.Stderr = environ, &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-gone
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", log.Bytes()[max(0, log.Len()-2000):])
		}
	})
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if response, err := http.Get(s.upstream + "/readyz"); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-gone:
			t.Fatal("the server ended at its start")
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the server is not ready")
}

// outerEnviron is the environment of this test, without what would configure server or SDKs.
func outerEnviron() (environ []string) {
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "CALOTYPE_") && !strings.HasPrefix(variable, "CLOUDFLARE_") {
			environ = append(environ, variable)
		}
	}
	return environ
}

// play runs a command in a folder, as the program of a user of the front who has typed
// eval "$(calotype env)". It returns what was printed, and whether the program found all well.
func (s *server) play(t *testing.T, at *front, dir string, command ...string,
) (out string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.WaitDelay = dir, 10*time.Second
	cmd.Env = outerEnviron()
	for _, variable := range s.sdk {
		cmd.Env = append(cmd.Env, strings.Replace(variable, s.front.URL, at.URL, 1))
	}
	printed, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("running %s: %v\n%s", command[0], err, printed)
	}
	return string(printed), err == nil
}

// An sdk is one of the programs.
type sdk struct {
	dir     string
	agent   string   // what the SDK calls itself in its requests
	first   []string // runs the program
	images  []string // runs its scenarios about images again
	hooks   []string // runs those about webhooks
	passed  *regexp.Regexp
	skipped *regexp.Regexp
	count   int // of scenarios
}

func TestGo(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "scenario")
	conform(t, sdk{
		dir: "go", agent: "Cloudflare/Go 7.9.0",
		first:   []string{"go", "test", "-count=1", "-v", "-o", program, "."},
		images:  []string{program, "-test.skip=^TestWebhook"},
		hooks:   []string{program, "-test.run=^TestWebhook"},
		passed:  regexp.MustCompile(`(?m)^ *--- PASS: `),
		skipped: regexp.MustCompile(`(?m)^ *--- SKIP: `),
		count:   26, // with the two that hold others
	})
}

func TestNode(t *testing.T) {
	t.Parallel()
	node := nodeParts(t)
	command := []string{node, "--test", "--test-reporter=tap"}
	conform(t, sdk{
		dir: "node", agent: "Cloudflare/JS 7.3.0", first: command,
		images: append(slices.Clone(command), "account.test.mjs", "edit.test.mjs",
			"scenario.test.mjs"),
		hooks:   append(slices.Clone(command), "webhook.test.mjs"),
		passed:  regexp.MustCompile(`(?m)^ *ok \d`),
		skipped: regexp.MustCompile(`(?m)# (SKIP|TODO)`),
		count:   25, // with the one that holds others
	})
}

// conform runs a program against the server as it is, and against broken ones.
func conform(t *testing.T, c sdk) {
	s := newServer(t)
	out, ok := s.play(t, s.front, c.dir, c.first...)
	passed := len(c.passed.FindAllString(out, -1))
	if !ok || passed != c.count || c.skipped.MatchString(out) {
		t.Fatalf("%d scenarios of %d passed:\n%s", passed, c.count, out)
	}
	s.front.check(t, c.agent)
	// What the programs say of broken servers must not be said of the front itself.
	whole := newFront(t, s.upstream, s.front.URL, breakage{message: func(*message) {}})
	if out, ok := s.play(t, whole, c.dir, c.hooks...); !ok {
		t.Fatalf("behind a front that breaks nothing the scenarios failed:\n%s", out)
	}
	s.breakEach(t, breakages, c.dir, c.images)
	s.breakEach(t, webhookBreakages, c.dir, c.hooks)
}

// breakEach runs a program against the server with each of the breakages, and checks that it fails.
func (s *server) breakEach(t *testing.T, breakages []breakage, dir string, command []string) {
	for _, b := range breakages {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			out, ok := s.play(t, newFront(t, s.upstream, s.front.URL, b), dir, command...)
			if ok || !regexp.MustCompile(b.want).MatchString(out) {
				t.Errorf("passed is %v; what is wrong is not said (%s):\n%s", ok, b.want, out)
			}
		})
	}
}

// scenariosV0 counts the scenarios of the program in gov0.
const scenariosV0 = 10 // with the one that holds others

// TestGoV0 runs the program for the older Go SDK. It makes every call that this has for images,
// and most of those for webhooks.
func TestGoV0(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	program := filepath.Join(t.TempDir(), "scenario")
	out, ok := s.play(t, s.front, "gov0", "go", "test", "-count=1", "-v", "-o", program, ".")
	passed := len(regexp.MustCompile(`(?m)^ *--- PASS: `).FindAllString(out, -1))
	if !ok || passed != scenariosV0 {
		t.Fatalf("%d scenarios of %d passed:\n%s", passed, scenariosV0, out)
	}
	s.breakEach(t, breakagesV0, "gov0", []string{program, "-test.skip=^TestWebhook"})
	s.breakEach(t, webhookBreakagesV0, "gov0", []string{program, "-test.run=^TestWebhook"})
}

// skipWithout skips a test on a machine without something. In CI nothing may be missing.
func skipWithout(t *testing.T, what string, err error) {
	t.Helper()
	reason := fmt.Sprintf("this test needs %s: %v", what, err)
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// nodeParts finds what the test needs. In CI nothing may be missing.
func nodeParts(t *testing.T) (node string) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("node/node_modules/cloudflare/package.json")
	}
	if err == nil {
		_, err = os.Stat("node/node_modules/standardwebhooks/package.json")
	}
	if err == nil {
		return node
	}
	skipWithout(t, "node and npm ci in conformance/node", err)
	return ""
}
