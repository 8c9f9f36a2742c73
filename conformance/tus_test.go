package conformance

import (
	"database/sql"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the time of a URL is changed in its file
)

// tusScenarios counts the scenarios of the program in tus/.
const tusScenarios = 12

// tusBreakages are what the scenarios must notice.
var tusBreakages = []breakage{
	{name: "another filename", want: "the image has another filename",
		request: func(r *http.Request) { r.Header.Del("Upload-Metadata") }},
	{name: "no offset", want: "Unexpected end of JSON input", // the client asks for it by HEAD
		answer: func(r *http.Response, _ *[]byte) {
			if r.Request.Method == http.MethodPatch {
				r.Header.Del("Upload-Offset")
			}
		}},
	{name: "no answer at the end", want: "Unexpected end of JSON input",
		answer: func(r *http.Response, body *[]byte) {
			if r.Request.Method == http.MethodPatch {
				*body = nil
			}
		}},
	{name: "a used URL conflicts", want: "the refusal is .*response code: 409",
		answer: func(r *http.Response, body *[]byte) {
			if r.StatusCode == http.StatusGone && strings.Contains(string(*body), "5409") {
				r.StatusCode = http.StatusConflict
			}
		}},
	{name: "the offset is lost", want: "response code: 409",
		answer: func(r *http.Response, _ *[]byte) {
			if r.Request.Method == http.MethodHead && r.StatusCode == http.StatusOK {
				r.Header.Set("Upload-Offset", "0")
			}
		}},
	{name: "nothing is terminated", want: "a terminated upload continues",
		request: func(r *http.Request) {
			if r.Method == http.MethodDelete {
				r.Method = http.MethodOptions
			}
		}},
}

// TestTus plays uploads by tus-js-client, as npm has it.
func TestTus(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat("tus/node_modules/tus-js-client/package.json")
	}
	if err != nil {
		skipWithout(t, "node and npm ci in conformance/tus", err)
	}
	command := []string{node, "--test-reporter=tap", "tus.test.mjs"}
	data := t.TempDir()
	s := newServer(t, "CALOTYPE_DATA="+data)
	s.sdk = append(s.sdk, "EXPIRED_URL="+s.expiredURL(t, data))
	out, ok := s.play(t, s.front, "tus", command...)
	passed := len(regexp.MustCompile(`(?m)^ok \d`).FindAllString(out, -1))
	if !ok || passed != tusScenarios {
		t.Fatalf("%d scenarios of %d passed:\n%s", passed, tusScenarios, out)
	}
	s.breakEach(t, tusBreakages, "tus", command)
}

// expiredURL returns a one-time URL whose time is over, of a server with its data in a folder.
func (s *server) expiredURL(t *testing.T, data string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		s.upstream+"/client/v4/accounts/"+accountID+"/images/v2/direct_upload", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var created struct {
		Result struct{ ID, UploadURL string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&created); err != nil || created.Result.UploadURL == "" {
		t.Fatalf("no one-time URL: %v", err)
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(data, "calotype.db")+"?mode=rw&_busy_timeout=20000")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(t.Context(), `UPDATE images SET expires = ? WHERE id = ?`,
		time.Now().Add(-time.Second).UnixMicro(), created.Result.ID)
	if err != nil {
		t.Fatal(err)
	}
	return created.Result.UploadURL
}
