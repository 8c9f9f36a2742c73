package e2e

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// exampleSecret is the signing secret that the examples are given.
const exampleSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="

// TestExampleReceivers runs the receivers of examples/ against the server, and against forgeries.
func TestExampleReceivers(t *testing.T) {
	t.Parallel()
	t.Run("go", func(t *testing.T) {
		t.Parallel()
		program := filepath.Join(t.TempDir(), "receiver")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".")
		build.Dir = "../examples/webhook-go"
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the example: %v\n%s", err, out)
		}
		vet := exec.CommandContext(t.Context(), "go", "vet", ".")
		vet.Dir = build.Dir
		if out, err := vet.CombinedOutput(); err != nil {
			t.Errorf("vetting the example: %v\n%s", err, out)
		}
		tryReceiver(t, build.Dir, program)
	})
	t.Run("node", func(t *testing.T) {
		t.Parallel()
		const dir = "../examples/webhook-node"
		if _, err := os.Stat(dir + "/node_modules"); err != nil {
			reason := "its modules are not installed: make test does that"
			if os.Getenv("CI") == "true" {
				t.Fatal(reason)
			}
			t.Skip(reason)
		}
		tryReceiver(t, dir, "node", "receiver.mjs")
	})
}

func tryReceiver(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	url := "http://" + address + "/"
	start := func(secret string) (log *logBuffer, stop func()) {
		return startReceiver(t, address, dir, secret, name, append(args, address)...)
	}
	firstUse(t, url, start)
	log, _ := start(exampleSecret)
	s := newServer(t, "-outbound-allow=127.0.0.1", "-webhook-url="+url, "-webhook-secret=of-the-header",
		"-webhook-signing-secret="+exampleSecret)
	shows := func(text string) {
		t.Helper()
		waitFor(t, func() bool { return strings.Contains(log.String(), text) })
	}
	id := s.uploaded(photo(t, 64, 48, 1))
	shows("image " + id + " is ready: ")
	u := s.createUploadURL()
	if a := post(t, u.UploadURL, "a.jpg", []byte("no picture")); a.status == http.StatusOK {
		t.Fatal("what is no picture was taken")
	}
	shows("upload of " + u.ID + " failed: unsupported, final false")
	s.webhook("test", "env", "-outbound-allow=127.0.0.1")
	s.webhook("replay", "--webhook", "env")
	shows(" again")
	if n := strings.Count(log.String(), "is ready"); n != 1 {
		t.Errorf("done %d times:\n%s", n, log)
	}
	forgeries(t, url, log)
}

// startReceiver starts a receiver with a signing secret, "" for none.
func startReceiver(
	t *testing.T, address, dir, secret, name string, args ...string,
) (log *logBuffer, stop func()) {
	t.Helper()
	log = &logBuffer{}
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Env = append(plainEnviron(), "WEBHOOK_SIGNING_SECRET="+secret, "WEBHOOK_SECRET=of-the-header")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() { _ = cmd.Wait(); close(gone) }()
	stop = func() { _ = cmd.Process.Kill(); <-gone }
	t.Cleanup(stop)
	waitFor(t, func() bool {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
	return log, stop
}

// firstUse adds a webhook to a receiver that has no secret yet, as a newcomer does: each step says
// what the next one is.
func firstUse(t *testing.T, url string, start func(secret string) (*logBuffer, func())) {
	t.Helper()
	s := newServer(t, "-outbound-allow=127.0.0.1")
	webhook := func(args ...string) finished {
		return calotype(t, []string{"CALOTYPE_DATA=" + s.data, "CALOTYPE_WEBHOOK_SECRET=of-the-header"},
			append([]string{"webhook"}, append(args, "-outbound-allow=127.0.0.1")...)...)
	}
	for _, none := range []string{"", "whsec_"} {
		log, stop := start(none)
		waitFor(t, func() bool { return strings.Contains(log.String(), "--signing-secret new") })
		if ran := webhook("add", url); ran.code == 0 || !strings.Contains(ran.stderr, "503") ||
			!strings.Contains(ran.stderr, "--signing-secret new") {
			t.Errorf("without a secret: %+v", ran)
		}
		stop()
	}
	added := webhook("add", url, "--signing-secret", "new")
	wantIn(t, added.stdout, "paused", "webhook test", "(shown once)")
	log, stop := start(signingSecret(t, added.stdout))
	defer stop()
	wantIn(t, webhook("test", printed(t, added.stdout, "webhook id")).stdout, "no longer paused")
	id := s.uploaded(photo(t, 64, 48, 1))
	waitFor(t, func() bool { return strings.Contains(log.String(), "image "+id+" is ready: ") })
	s.stop()
}

// forgeries sends what the server has not sent.
func forgeries(t *testing.T, url string, log *logBuffer) {
	t.Helper()
	body := []byte(`{"data":{"event":"image.upload.succeeded","id":"forged","variants":[]}}`)
	send := func(method, secret, auth string, at time.Time, body []byte, tail string) int {
		t.Helper()
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign("evt_1", at, body)
		if err != nil {
			t.Fatal(err)
		}
		a := do(t, method, url, bytes.NewReader(append(bytes.Clone(body), tail...)),
			"webhook-id", "evt_1", "webhook-timestamp", strconv.FormatInt(at.Unix(), 10), "webhook-signature", signature,
			"cf-webhook-auth", auth)
		return a.status
	}
	const auth, other = "of-the-header", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	now := time.Now()
	for i, c := range []struct {
		got, want int
	}{
		{send("POST", other, auth, now, body, ""), http.StatusUnauthorized},
		{send("POST", exampleSecret, "", now, body, ""), http.StatusUnauthorized},
		{send("POST", exampleSecret, "of-the-headeR", now, body, ""), http.StatusUnauthorized},
		{send("POST", exampleSecret, auth, now, body, " "), http.StatusUnauthorized},
		{send("POST", exampleSecret, auth, now.Add(-time.Hour), body, ""), http.StatusUnauthorized},
		{send("PUT", exampleSecret, auth, now, body, ""), http.StatusMethodNotAllowed},
	} {
		if c.got != c.want {
			t.Errorf("forgery %d: status %d, want %d", i, c.got, c.want)
		}
	}
	if a := do(t, "POST", url, bytes.NewReader(body)); a.status != http.StatusUnauthorized {
		t.Errorf("without a signature: status %d", a.status)
	}
	if strings.Contains(log.String(), "forged") {
		t.Errorf("a forgery was taken:\n%s", log)
	}
	if status := send("POST", exampleSecret, auth, now, body, ""); status != http.StatusNoContent {
		t.Errorf("what is right was answered with %d", status)
	}
}
