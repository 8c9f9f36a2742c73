package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// wantUsage holds the usage that accounts keep against a recount of their rows.
func wantUsage(t *testing.T, dsn string) {
	t.Helper()
	core := imagestest.NewCore(images.Config{DB: sqldbtest.Open(t, dsn)})
	defer core.Close()
	imagestest.CheckUsage(t, core)
}

// TestForeignUser: a user who may not read the data folder gets that as the reason.
func TestForeignUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can run a command as another user")
	}
	s := newServer(t)
	folder := t.TempDir()
	for dir := folder; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := copyProgram(t, folder)
	for _, command := range []string{"token list", "stats", "image upload x.jpg"} {
		cmd := exec.Command(program, append(strings.Fields(command), "-data", s.data)...)
		cmd.Env = append(plainEnviron(), "LD_LIBRARY_PATH="+folder)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		cmd.Dir = "/"
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "permission denied") ||
			strings.Contains(string(out), "there is no database") || strings.Contains(string(out), "no server runs") {
			t.Errorf("%s of another user ended with %v: %s", command, err, out)
		}
	}
}

// TestAccountCommands: what they do counts at once in the running server.
func TestAccountCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	run := func(args ...string) string {
		t.Helper()
		got := calotype(t, nil, append(args, "-data", s.data)...)
		if got.code != 0 {
			t.Fatalf("%q ended with %d: %s", args, got.code, got.stderr)
		}
		return strings.TrimSpace(got.stdout)
	}
	made := strings.Fields(run("account", "create"))
	id, hash := made[2], made[5]
	secret := run("token", "create", "ci", "-account-id", id, "-life", "1h")
	as := func(method, path string) answer {
		t.Helper()
		return do(t, method, s.url+path, nil, "Authorization", "Bearer "+secret)
	}
	base := "/client/v4/accounts/" + id + "/images/"
	want := func(a answer, status int, text string) {
		t.Helper()
		if a.status != status || !strings.Contains(string(a.body), text) {
			t.Errorf("status %d, want %d with %s\n%s", a.status, status, text, a.body)
		}
	}
	minted := as("POST", base+"v2/direct_upload")
	want(minted, http.StatusOK, hash)
	want(do(t, "GET", s.url+"/client/v4/accounts/"+accountID+"/images/v2", nil,
		"Authorization", "Bearer "+secret), http.StatusForbidden, "10000")
	want(as("GET", "/client/v4/user/tokens/verify"), http.StatusOK, "expires_on")
	if tokens := run("token", "list", "-account-id", id, "-json"); !strings.Contains(tokens, `"expires": "20`) {
		t.Errorf("the list says nothing of the expiry: %s", tokens)
	}

	run("account", "set", id, "-max-images", "1", "-max-bytes", "1GiB", "-max-upload-urls", "none")
	want(as("POST", base+"v2/direct_upload"), http.StatusForbidden, "5453")
	want(as("GET", base+"v1/stats"), http.StatusOK, `"allowed": 1`)
	if all := run("account", "list"); !strings.Contains(all, "1 of 100,000\n") ||
		!strings.Contains(all, "of 1.0 GiB") || strings.Count(all, "hash ") != 2 {
		t.Errorf("the list is\n%s", all)
	}

	uploadURL := strings.Split(string(minted.body), `"uploadURL": "`)[1]
	uploadURL, _, _ = strings.Cut(uploadURL, `"`)
	picture := photo(t, 64, 48, 1)
	run("account", "suspend", id)
	wantRefusal(t, post(t, uploadURL, "a.jpg", picture), http.StatusForbidden, 5403)
	want(as("GET", base+"v2"), http.StatusForbidden, "5403")
	run("account", "resume", id)
	posted := post(t, uploadURL, "a.jpg", picture)
	want(posted, http.StatusOK, "/public")
	delivered := strings.Split(string(posted.body), `"`+s.url+"/"+hash)[1]
	delivered, _, _ = strings.Cut("/"+hash+delivered, `"`)
	want(do(t, "GET", s.url+delivered, nil), http.StatusOK, "")
	want(as("GET", base+"v1/stats"), http.StatusOK, `"current": 1`)

	transformed := s.url + "/cdn-cgi/image/width=32" + delivered
	want(do(t, "GET", transformed, nil), http.StatusForbidden, "9429")
	run("account", "set", id, "-flexible-variants", "on", "-lenient-options", "on", "-private-options", "off")
	want(as("GET", base+"v1/config"), http.StatusOK, `"lenient_options": true`)
	time.Sleep(1100 * time.Millisecond) // the server has the account in memory for a second
	want(do(t, "GET", transformed, nil), http.StatusOK, "")

	for _, wrong := range [][]string{
		{"account", "delete", id}, {"account", "delete", accountID, "-confirm"},
		{"account", "set", id}, {"account", "set", id, "-max-images", "-3"},
		{"account", "set", id, "-max-images", "many"}, {"account", "suspend", "unknown"},
		{"account", "set", id, "-flexible-variants", "yes"},
		{"account", "create", "-account-id", id},
	} {
		if got := calotype(t, nil, append(wrong, "-data", s.data)...); got.code == 0 || got.stderr == "" {
			t.Errorf("%q ended with %d: %s", wrong, got.code, got.stderr)
		}
	}
	want(as("GET", base+"v2"), http.StatusOK, "")
	run("account", "delete", id, "-confirm")
	want(as("GET", base+"v2"), http.StatusUnauthorized, "10000")
	for _, dir := range []string{"blobs", "renditions"} {
		left := func(path string, e os.DirEntry, err error) error {
			if err == nil && !e.IsDir() && e.Name() != "calotype-installation" {
				t.Errorf("%s is left", path)
			}
			return err
		}
		if err := filepath.WalkDir(filepath.Join(s.data, dir), left); err != nil {
			t.Error(err)
		}
	}
}
