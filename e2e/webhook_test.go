package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A receiver is a server that webhooks are posted to.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int // that it answers with
	got    []message
}

// A message is what a receiver got.
type message struct {
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.got = append(r.got, message{request.Header.Clone(), body})
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// messages returns those so far about an image; about "" all.
func (r *receiver) messages(id string) (found []message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.got {
		if id == "" || m.about().Data.ID == id {
			found = append(found, m)
		}
	}
	return found
}

// await waits until there are n messages about an image, and returns the last. What a killed program
// had claimed comes again after a minute.
func (r *receiver) await(t *testing.T, id string, n int) message {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if found := r.messages(id); len(found) >= n {
			return found[n-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages about %q, want %d", len(r.messages(id)), id, n)
		}
	}
}

type received struct {
	Name string
	Data struct{ Event, ID string }
}

func (m message) about() (about received) {
	_ = json.Unmarshal(m.body, &about) // of what is no JSON there is nothing
	return about
}

func (m message) id() string { return m.header.Get("webhook-id") }

// verify holds a message against a signing secret.
func (m message) verify(t *testing.T, secret string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = verifier.Verify(m.body, m.header)
	}
	if err != nil {
		t.Errorf("the message %s: %v", m.id(), err)
	}
	if err == nil && verifier.Verify(append(bytes.Clone(m.body), ' '), m.header) == nil {
		t.Error("a message with a byte more verifies too")
	}
}

// signingSecret returns the one that a command printed.
func signingSecret(t *testing.T, output string) string {
	t.Helper()
	secret, _, _ := strings.Cut(printed(t, output, "signing secret"), " ")
	if !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("no signing secret in:\n%s", output)
	}
	return secret
}

// webhook runs a command about webhooks on the server's data, which must end well.
func (s *server) webhook(args ...string) finished {
	s.t.Helper()
	ran := s.tryWebhook(args...)
	if ran.code != 0 {
		s.t.Fatalf("%q ended with %d: %s", args, ran.code, ran.stderr)
	}
	return ran
}

func (s *server) tryWebhook(args ...string) finished {
	s.t.Helper()
	return calotype(s.t, []string{"CALOTYPE_DATA=" + s.data, "CALOTYPE_WEBHOOK_SECRET=canary-of-cf-auth"},
		append([]string{"webhook"}, args...)...)
}

// wantIn fails if a text lacks any of the words.
func wantIn(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("there is no %q in: %s", word, text)
		}
	}
}

// TestWebhookCommands goes through the life of a webhook by the command line, beside the server.
func TestWebhookCommands(t *testing.T) {
	t.Parallel()
	s, r := newServer(t, "-outbound-allow=127.0.0.1"), newReceiver(t)
	hook := r.URL + "/hook?key=canary-of-the-url"

	refused := s.tryWebhook("add", hook)
	if refused.code == 0 || len(r.messages("")) != 0 {
		t.Errorf("added without -outbound-allow: %+v", refused)
	}
	wantIn(t, refused.stderr, "-outbound-allow")
	wantIn(t, s.webhook("list").stderr, "calotype webhook add URL")
	const allow = "-outbound-allow=127.0.0.0/8"
	r.answer(http.StatusTeapot)
	wantIn(t, s.tryWebhook("add", hook, allow).stderr, "418")
	wantIn(t, s.tryWebhook("add", hook, allow, "--events", "image.born").stderr, "image.born",
		"image.upload.succeeded")
	r.answer(http.StatusNoContent)
	added := s.webhook("add", hook, allow, "--name", "backend",
		"--events", "image.upload.succeeded,image.deleted")
	secret, id := signingSecret(t, added.stdout), printed(t, added.stdout, "webhook id")
	test := r.messages("")[len(r.messages(""))-1]
	test.verify(t, secret)
	if test.header.Get("cf-webhook-auth") != "canary-of-cf-auth" || test.about().Data.Event != "test" {
		t.Errorf("the test event was %s with %v", test.body, test.header)
	}

	first := s.uploaded(photo(t, 64, 48, 1))
	received := r.await(t, first, 1)
	received.verify(t, secret)
	if about := received.about(); about.Name != "backend" || about.Data.Event != "image.upload.succeeded" {
		t.Errorf("the server sent %s", received.body)
	}
	waitFor(t, func() bool { return strings.Contains(s.webhook("history").stdout, first) })
	wantIn(t, s.webhook("history", "--webhook", "backend").stdout, received.id(), "status 204",
		"attempt 1", "delivered")
	list := s.webhook("list").stdout
	wantIn(t, list, id, "backend", strings.TrimPrefix(r.URL, "http://"), "image.deleted", "ok;",
		"last failure never", "pending 0")
	if strings.Contains(list, "canary") || strings.Contains(list, secret) {
		t.Errorf("the list holds a secret:\n%s", list)
	}
	s.replays(r, first, received.id())
	s.pauses(r, id, allow)
	s.rotates(r, secret)

	s.webhook("delete", id)
	if left := s.webhook("list"); left.stdout != "" {
		t.Errorf("after the deletion there is %s", left.stdout)
	}
	var policies []json.RawMessage
	a := s.api("GET", "alerting/v3/policies", nil)
	if err := json.Unmarshal(a.envelope(t).Result, &policies); err != nil || len(policies) != 0 {
		t.Errorf("after the deletion there are policies: %v %s", err, a.body)
	}
	wantIn(t, s.tryWebhook("test", id).stderr, "calotype webhook list")
}

// replays sends an event again, in each of the ways to name it.
func (s *server) replays(r *receiver, image, event string) {
	s.t.Helper()
	wantIn(s.t, s.tryWebhook("replay").stderr, "--event", "--webhook", "--from", "--to", "--failed")
	wantIn(s.t, s.tryWebhook("replay", "--webhook", "unknown").stderr, "unknown", "webhook list")
	wantIn(s.t, s.tryWebhook("replay", "--from", "yesterday").stderr, "2026-01-31")
	wantIn(s.t, s.tryWebhook("replay", "--from", "1h", "--to", "2h").stderr, "before")
	for _, none := range [][]string{
		{"--event", "evt_none"}, {"--failed"}, {"--to", "1h"}, {"--event", event, "--failed"},
	} {
		if ran := s.webhook(append([]string{"replay"}, none...)...); ran.stdout != "0 will be sent again\n" {
			s.t.Errorf("replay %q printed %q", none, ran.stdout)
		}
	}
	for i, some := range [][]string{
		{"--event", event}, {"--webhook", "backend"}, {"--from", "1h"},
		{"--from", "2026-01-01", "--to", "2126-01-01", "--webhook", "backend"},
	} {
		ran := s.webhook(append([]string{"replay"}, some...)...)
		if ran.stdout != "1 will be sent again\n" {
			s.t.Errorf("replay %q printed %q", some, ran.stdout)
		}
		if again := r.await(s.t, image, i+2); again.id() != event {
			s.t.Errorf("replay %q sent %s again, not %s", some, again.id(), event)
		}
		waitFor(s.t, func() bool { return strings.Contains(s.webhook("list").stdout, "pending 0") })
	}
}

// pauses has the receiver say that it is gone, and come back.
func (s *server) pauses(r *receiver, id, allow string) {
	s.t.Helper()
	r.answer(http.StatusGone)
	image := s.uploaded(photo(s.t, 64, 48, 2))
	r.await(s.t, image, 1)
	waitFor(s.t, func() bool { return strings.Contains(s.webhook("list").stdout, "paused since") })
	wantIn(s.t, s.webhook("list").stdout, "410", "pending 1")
	wantIn(s.t, s.tryWebhook("test", id, allow).stderr, "410")
	wantIn(s.t, s.tryWebhook("test", id).stderr, "-outbound-allow")
	r.answer(http.StatusOK)
	wantIn(s.t, s.webhook("test", "backend", allow).stdout, "no longer paused")
	// What waited waits for its next attempt, or is sent by a replay at once.
	if ran := s.webhook("replay", "--failed"); ran.stdout == "1 will be sent again\n" {
		r.await(s.t, image, 2)
	}
	waitFor(s.t, func() bool { return strings.Contains(s.webhook("list").stdout, "pending 0") })
	wantIn(s.t, s.webhook("list").stdout, "ok;")
}

// rotates changes the signing secret: both are good.
func (s *server) rotates(r *receiver, old string) {
	s.t.Helper()
	secret := signingSecret(s.t, s.webhook("rotate", "backend").stdout)
	if secret == old {
		s.t.Error("the new signing secret is the old one")
	}
	received := r.await(s.t, s.uploaded(photo(s.t, 64, 48, 3)), 1)
	received.verify(s.t, secret)
	received.verify(s.t, old)
}

// TestWebhookFlags: a server that is configured with a webhook creates it once, and shows no
// secrets.
func TestWebhookFlags(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	dir := t.TempDir()
	auth := filepath.Join(dir, "auth")
	if err := os.WriteFile(auth, []byte("canary-of-cf-auth\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{
		t: t, data: filepath.Join(dir, "data"), log: &logBuffer{},
		args: []string{"-outbound-allow=127.0.0.1", "-webhook-url=" + r.URL + "/canary-of-the-url"},
		env:  []string{"CALOTYPE_WEBHOOK_SECRET_FILE=" + auth},
	}
	s.start()
	t.Cleanup(s.kill)
	path := filepath.Join(s.data, "webhook-signing-secret")
	wantIn(t, s.log.String(), path)
	made := readSecret(t, path)
	received := r.await(t, s.uploaded(photo(t, 64, 48, 1)), 1)
	received.verify(t, made)
	if received.header.Get("cf-webhook-auth") != "canary-of-cf-auth" {
		t.Errorf("the headers are %v", received.header)
	}
	s.stop()
	s.start()
	if again := readSecret(t, path); again != made {
		t.Error("the second start changed the signing secret")
	}
	if list := s.webhook("list").stdout; strings.Count(list, "\n  to ") != 1 {
		t.Errorf("after two starts there is:\n%s", list)
	}
	s.stop()

	const given = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
	s.env = append(s.env, "CALOTYPE_WEBHOOK_SIGNING_SECRET="+given)
	s.start()
	received = r.await(t, s.uploaded(photo(t, 64, 48, 2)), 1)
	received.verify(t, given)
	received.verify(t, made) // for a day
	if _, err := os.Stat(path); err == nil {
		t.Error("the file of the secret that was made is still there")
	}
	s.stop()
	for _, secret := range []string{made, given, "canary-of"} {
		if strings.Contains(s.log.String(), strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("the log holds %s:\n%s", secret, s.log)
		}
	}
}

// readSecret reads a file that must be for its owner only.
func readSecret(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("the file of the signing secret: %v, %v", info, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestWebhookFlagsRefused: what can never work ends the start, and says what would.
func TestWebhookFlagsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want string
		args []string
	}{
		{"-outbound-allow", []string{"-webhook-url=http://127.0.0.1:3000/canary-path"}},
		{"-outbound-allow", []string{"-webhook-url=http://[::ffff:127.0.0.1]/canary-path"}},
		{"-outbound-allow", []string{"-webhook-url=http://localhost:3000/canary-path"}},
		{"-outbound-allow", []string{"-webhook-url=http://169.254.169.254/canary-path"}},
		{"http://", []string{"-webhook-url=ftp://example.com/canary-path"}},
		{"cf-webhook-auth", []string{"-webhook-url=https://user:canary-path@example.com/"}},
		{"whsec_", []string{"-webhook-url=https://example.com", "-webhook-signing-secret=canary-path"}},
		{"-webhook-url", []string{"-webhook-secret=canary-path"}},
		{"-webhook-url", []string{"-webhook-signing-secret=canary-path"}},
	} {
		ran := calotype(t, nil, append([]string{"serve", "-listen=127.0.0.1:0",
			"-data=" + t.TempDir()}, c.args...)...)
		if ran.code == 0 || strings.Contains(ran.stderr, "canary-path") {
			t.Errorf("%q ended with %d: %s", c.args, ran.code, ran.stderr)
		}
		wantIn(t, ran.stderr, c.want)
	}
}

// TestWebhookSecretOnTerminal: there a signing secret that is made is shown, once, and in no file.
func TestWebhookSecretOnTerminal(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	var secrets []string
	for range 2 {
		ours, theirs := terminal(t)
		cmd := exec.Command(binary, "serve", "-listen=127.0.0.1:0", "-data="+data, "-url=http://x",
			"-webhook-url=https://example.com/hook")
		cmd.Env, cmd.Stdout, cmd.Stderr = plainEnviron(), theirs, theirs
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := ours.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for scanner := bufio.NewScanner(ours); scanner.Scan(); {
			line := strings.TrimSpace(scanner.Text())
			if rest, ok := strings.CutPrefix(line, "signing secret"); ok {
				secret, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
				secrets = append(secrets, secret)
			}
			if strings.HasPrefix(line, "eval ") {
				break
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if len(secrets) != 1 || !strings.HasPrefix(secrets[0], "whsec_") {
		t.Fatalf("two starts showed %q", secrets)
	}
	for _, path := range filesIn(t, data) {
		if strings.HasPrefix(filepath.Base(path), "calotype.db") {
			continue
		}
		if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte(secrets[0])) {
			t.Errorf("%s holds the secret that was shown; %v", path, err)
		}
	}
}
