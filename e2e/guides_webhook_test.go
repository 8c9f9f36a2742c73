package e2e

import (
	"database/sql"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// webhookGuide is the guide of waiting and webhooks.
const webhookGuide = "react-to-uploads"

// TestWaitOfTheGuide runs the function of the guide, which waits for an upload.
func TestWaitOfTheGuide(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	dir := t.TempDir()
	writeGuideFiles(t, webhookGuide, dir, "wait.mjs")
	linkModules(t, dir, map[string][]string{"../conformance/node": {"cloudflare"}})
	waiting, expired := s.createUploadURL(), s.createUploadURL()
	if err := s.behind(func(db *sql.DB) error {
		_, err := db.Exec(`UPDATE images SET expires = ? WHERE id = ?`, time.Now().Add(-time.Second).UnixMicro(), expired.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "--input-type=module", "-e", `import { uploaded } from './wait.mjs'
		const [open, expired] = process.argv.slice(1)
		console.log('expired:', await uploaded(expired, 1))
		console.log('waiting')
		const image = await uploaded(open)
		console.log('uploaded:', image.id, image.filename)`, waiting.ID, expired.ID)
	cmd.Dir, cmd.Env = dir, s.guideEnviron()
	_, log, _ := startProgram(t, cmd, `expired: null\nwaiting\n`)
	if a := post(t, waiting.UploadURL, "a.jpg", photo(t, 64, 48, 1)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	waitFor(t, func() bool { return strings.Contains(log.String(), "uploaded: "+waiting.ID+" a.jpg") })
}

// TestReceiversOfTheGuide runs the receivers of the guide behind calotype listen, then as webhooks of the server, with
// the commands of the guide.
func TestReceiversOfTheGuide(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeGuideFiles(t, webhookGuide, dir, "receiver.mjs", "receiver.go")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile("../examples/webhook-go/" + name)
		if err != nil {
			t.Fatal(err)
		}
		writeText(t, filepath.Join(dir, name), string(text))
	}
	linkModules(t, dir, map[string][]string{"../conformance/node": {"express", "standardwebhooks"}})
	for _, args := range [][]string{{"vet", "."}, {"build", "-o", "receiver", "."}} {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	for name, command := range map[string][]string{"node": {"node", "receiver.mjs"}, "go": {"./receiver"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, "-outbound-allow=127.0.0.1")
			port := freePort(t)
			url := "http://localhost:" + port + "/hook"
			start := func(secret string) (*logBuffer, func()) {
				cmd := exec.Command(command[0], command[1:]...)
				cmd.Dir, cmd.Env = dir, append(s.guideEnviron(), "PORT="+port, "WEBHOOK_SIGNING_SECRET="+secret)
				_, log, stop := startProgram(t, cmd, `listening on`)
				return log, stop
			}
			l := listen(t, s.url, url)
			log, stop := start(l.secret())
			s.wantReceived(log)
			l.interrupt()
			stop()
			added := s.webhook("add", url, "--signing-secret", "new", "--outbound-allow", "127.0.0.1")
			log, _ = start(signingSecret(t, added.stdout))
			id := printed(t, added.stdout, "webhook id")
			wantIn(t, s.webhook("test", id, "--outbound-allow", "127.0.0.1").stdout, "no longer paused")
			s.wantReceived(log)
			waitFor(t, func() bool { return strings.Count(s.webhook("history").stdout, " 204 ") >= 2 })
			s.webhook("replay", "--failed")
			if a := do(t, "POST", url, strings.NewReader(`{"data":{"event":"image.upload.succeeded"}}`),
				"Content-Type", "application/json", "webhook-id", "evt_1", "webhook-timestamp", "1795639227",
				"webhook-signature", "v1,AAAA"); a.status != http.StatusUnauthorized {
				t.Errorf("a forgery is answered %d", a.status)
			}
			if a := do(t, "POST", url, nil); a.status != http.StatusUnauthorized {
				t.Errorf("an empty request is answered %d", a.status)
			}
		})
	}
}

// wantReceived uploads a picture, and what is no picture, and waits until the receiver has printed both.
func (s *server) wantReceived(log *logBuffer) {
	s.t.Helper()
	id := s.uploaded(photo(s.t, 64, 48, 1))
	u := s.createUploadURL()
	if a := post(s.t, u.UploadURL, "a.jpg", []byte("no picture")); a.status == http.StatusOK {
		s.t.Fatal("what is no picture was accepted")
	}
	waitFor(s.t, func() bool {
		return strings.Contains(log.String(), id+" is uploaded: "+s.url) &&
			strings.Contains(log.String(), u.ID+" was refused: Uploaded image must have")
	})
}
