package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files of the commands")

// golden compares text with a file in testdata/commands.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "commands", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	lines, wanted := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i, line := range lines {
		if i >= len(wanted) || line != wanted[i] {
			t.Fatalf("%s differs from line %d on:\n%s\nIf that is right: go test ./e2e -run %s -update", name, i+1,
				strings.Join(lines[i:min(i+8, len(lines))], "\n"), t.Name())
		}
	}
	t.Fatalf("%s ends after %d lines of %d", name, len(lines), len(wanted))
}

var commandLine = regexp.MustCompile(`(?m)^  ((?:[a-z0-9-]+ )*[a-z0-9][a-z0-9-]*)(?: .*)?$`)

// TestHelp: the help of every command is as in the golden file, and "help" shows the same.
func TestHelp(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	var show func(path []string)
	show = func(path []string) {
		got := calotype(t, nil, append(slices.Clone(path), "--help")...)
		if got.code != 0 || got.stderr != "" {
			t.Fatalf("%q: %+v", path, got)
		}
		if other := calotype(t, nil, append([]string{"help"}, path...)...); other != got {
			t.Errorf("help %q: %+v", path, other)
		}
		fmt.Fprintf(&all, "$ calotype %s\n%s\n", strings.Join(append(slices.Clone(path), "--help"), " "), got.stdout)
		if !strings.Contains(got.stdout, "<command>") {
			return
		}
		if alone := calotype(t, nil, path...); alone != got && !slices.Equal(path, []string{"import"}) {
			t.Errorf("%q without a subcommand: %+v", path, alone)
		}
		for _, found := range commandLine.FindAllStringSubmatch(got.stdout, -1) {
			words := strings.Fields(found[1])
			if len(words) == len(path)+1 && slices.Equal(words[:len(path)], path) {
				show(words)
			}
		}
	}
	show(nil)
	golden(t, "help.txt", all.String())
	if n := strings.Count(all.String(), "\n$ "); n < 45 {
		t.Errorf("the help of %d commands only was found", n)
	}
}

// TestBadUsage: a command line that is not valid ends with 2 and says what is wrong, and a misspelt variable is named.
func TestBadUsage(t *testing.T) {
	t.Parallel()
	nowhere := t.TempDir()
	for line, want := range map[string]string{
		"imag list": `did you mean "image"`, "image list --limt 3": `did you mean`, "image list --limit 0": "--limit",
		"image list --limit 10001": "--limit", "token create x --scope all": "--scope", "image get": "<id>",
		"image delete": "nothing to delete", "image delete a --creator b": "exclude", "image upload x --parallel 33": "32",
		"image list --base-url http://x": "without a token", "image list --base-url http://x --data y": "different servers",
		"image list --server nowhere": "no server", "account set x": "nothing to set", "completion tcsh": "bash",
		"image delete --creator a --id b": "together", "variant create x width": "width=200",
		"image upload x --metadata [1]": "JSON object", "webhook history --limit 0": "--limit",
		"listen --forward-to here": "http://localhost:3000/hook", "listen --forward-to http://x": "no server is named",
		"listen --forward-to http://x --server a": "no server of the name", "sign https://h/a/b/c?d": "without it",
		"listen --forward-to http://x --base-url http://a --api-token b": "without an account", "sign x": "https://host",
		"listen --forward-to http://x --base-url a --api-token b --account-id c": "is not valid",
		"sign https://h/a/b/c --expires=-1s":                                     "must not be negative",
	} {
		got := calotype(t, []string{"HOME=" + nowhere, "XDG_CONFIG_HOME="}, strings.Fields(line)...)
		if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: %+v, want %q", line, got, want)
		}
	}
	got := calotype(t, []string{"CALOTYPE_LISTN=x", "CALOTYPE_SOMETHING_ELSE=x", "CALOTYPE_DB_FILE="}, "migrate", "-data", nowhere)
	if got.code != 0 || !strings.Contains(got.stderr, "CALOTYPE_LISTN has no effect: did you mean CALOTYPE_LISTEN?") ||
		strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("a misspelt variable: %+v", got)
	}
	if got := calotype(t, nil, "--version"); got.code != 0 || strings.Count(got.stdout, "\n") != 1 {
		t.Errorf("--version: %+v", got)
	}
}

// replacements hide what differs between two runs of TestJSON.
var replacements = []struct {
	of   *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"`), `"TIME"`},
	{regexp.MustCompile(`[0-9a-f]{64}`), "SHA256"},
	{regexp.MustCompile(`"phash": "[0-9a-f]{16}"`), `"phash": "PHASH"`},
	{regexp.MustCompile(`exp=\d+`), "exp=N"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`), "UUID"},
	{regexp.MustCompile(`calo_[A-Z2-7]{26}`), "TOKEN"},
	{regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`), "SIGNING"},
	{regexp.MustCompile(`"(event|key|blob|erasure|go|platform|engine|version|found|value|webhook|next|avif|gif|heic|jpeg|png|webp)": "[^"]*"`), `"$1": "X"`},
	{regexp.MustCompile(`"(bytes|copiedBytes|used|seconds|milliseconds|limit|size|total|objects)": \d+`), `"$1": N`},
	{regexp.MustCompile(`"id": "[0-9a-f]{32}"`), `"id": "HEX"`},
}

// normal returns JSON without what differs between two runs. It fails for what is no JSON object with keys in camelCase.
func (s *server) normal(t *testing.T, line, text string) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%s printed no JSON object: %v\n%s", line, err, text)
	}
	text = strings.NewReplacer(s.url, "URL", s.data, "DATA", accountHashOf(accountID), "HASH").Replace(text)
	for _, r := range replacements {
		text = r.of.ReplaceAllString(text, r.with)
	}
	return text
}

// TestJSON runs the commands with --json, beside the data folder of a running server, and compares their output with the
// golden file: it is a stable form, which programs read.
func TestJSON(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hook.Close()
	receiver := hook.URL
	dir := t.TempDir()
	for i, name := range []string{"a.jpg", "sub/b.jpg"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, photo(t, 64, 48, 900+i), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var all strings.Builder
	for _, line := range []string{
		"image upload DIR/a.jpg --id one --creator me --metadata {\"n\":1}",
		"image upload DIR/sub --parallel 1 --private=false", "image upload DIR/sub --parallel 1", "image list",
		"image list --limit 1", "image show one", "image get one -o DIR/out.jpg", "draft list",
		"variant create thumb width=200 height=100 fit=cover", "variant list", "variant show thumb",
		"variant delete thumb --dry-run", "variant delete thumb", "key create second", "key list", "key list --values",
		"key delete second --dry-run", "key delete second", "stats", "token create t --scope read", "token list",
		"account create --account-id 11111111111111111111111111111111", "account list",
		"sign URL/HASH/one/public", "import folder DIR/sub --dry-run", "import folder DIR/sub", "backup DIR/backup",
		"restore DIR/backup --data DIR/restored", "login URL --name here --account-id " + accountID, "logout",
		"account delete 11111111111111111111111111111111 --dry-run",
		"image delete one nothing --dry-run", "image delete one", "image delete --creator me --dry-run",
		"image delete --creator me --confirm --account-id " + accountID, "sweep", "scrub", "migrate", "version",
		"image list --prefix nowhere", "webhook history", "webhook list",
		"webhook add " + receiver + " --outbound-allow 127.0.0.0/8 --name hook", "webhook list",
	} {
		// Two accounts exist at the end, and the commands must name one.
		args := strings.Fields(strings.NewReplacer("DIR", dir, "URL", s.url, "HASH", accountHashOf(accountID)).Replace(line))
		args = append(args, "--json")
		if !slices.Contains(args, "--data") && !strings.HasPrefix(line, "log") {
			args = append(args, "--data", s.data)
		}
		if !strings.Contains(line, "account") && args[0] != "version" && args[0] != "migrate" && args[0] != "scrub" &&
			args[0] != "backup" && args[0] != "restore" && args[0] != "logout" {
			args = append(args, "--account-id", accountID)
		}
		if args[0] == "version" {
			args = args[:2]
		}
		got := calotype(t, []string{"HOME=" + dir, "XDG_CONFIG_HOME=", "CALOTYPE_TOKEN=" + token}, args...)
		if wanted := map[bool]int{true: 1}[strings.Contains(line, "nothing")]; got.code != wanted {
			t.Fatalf("%s ended with %d\n%s%s", line, got.code, got.stdout, got.stderr)
		}
		text := strings.ReplaceAll(s.normal(t, line, got.stdout), dir, "DIR")
		fmt.Fprintf(&all, "$ calotype %s --json\n%s", strings.ReplaceAll(line, receiver, "RECEIVER"),
			strings.ReplaceAll(text, strings.TrimPrefix(receiver, "http://"), "HOST"))
	}
	golden(t, "json.txt", all.String())
}

// clientEnv is the environment of a command that knows the server by the variables of SDKs.
func (s *server) clientEnv(t *testing.T) []string {
	return []string{"CLOUDFLARE_BASE_URL=" + s.url + "/client/v4", "CLOUDFLARE_ACCOUNT_ID=" + accountID,
		"CLOUDFLARE_API_TOKEN=" + token, "HOME=" + t.TempDir(), "XDG_CONFIG_HOME="}
}

// TestRemote manages images by the URL and token of a server alone.
func TestRemote(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	env, dir := s.clientEnv(t), t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		got := calotype(t, env, args...)
		if got.code != 0 {
			t.Fatalf("%q ended with %d: %s%s", args, got.code, got.stdout, got.stderr)
		}
		return got.stdout
	}
	picture := photo(t, 320, 240, 77)
	path := filepath.Join(dir, "写真 \u202e\x1b[2J.jpg")
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	run("image", "upload", path, "--id", "a/ü b.jpg", "--creator", "me")
	if listed := run("image", "list"); !strings.Contains(listed, "a/ü b.jpg") || strings.ContainsAny(listed, "\x1b\u202e") ||
		strings.Count(listed, "\n") != 2 {
		t.Errorf("the list is %q", listed)
	}
	if shown := run("image", "show", "a/ü b.jpg"); !strings.Contains(shown, "320 x 240") {
		t.Errorf("shown: %s", shown)
	}
	if got := run("image", "get", "a/ü b.jpg"); got != string(picture) {
		t.Errorf("the original has %d bytes, want %d", len(got), len(picture))
	}
	out := filepath.Join(dir, "out.jpg")
	run("image", "get", "a/ü b.jpg", "-o", out)
	if got := calotype(t, env, "image", "get", "a/ü b.jpg", "-o", out); got.code != 1 || !strings.Contains(got.stderr, "--force") {
		t.Errorf("a file that exists: %+v", got)
	}
	run("image", "get", "a/ü b.jpg", "-o", out, "--force")
	if got, err := os.ReadFile(out); err != nil || !bytes.Equal(got, picture) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := calotype(t, env, "image", "get", "a/ü b.jpg", "-o", pipe, "--force"); got.code != 1 ||
		!strings.Contains(got.stderr, "no regular file") {
		t.Errorf("a pipe: %+v", got)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode().IsRegular() {
		t.Errorf("the pipe was replaced: %v, %v", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("the folder has %v, %v", left, err)
	}
	if got := calotype(t, env, "image", "show", "nothing"); got.code != 1 || !strings.Contains(got.stderr, "code 5404") ||
		!strings.Contains(got.stderr, "given by CLOUDFLARE_BASE_URL") || strings.Contains(got.stderr, token) {
		t.Errorf("an unknown image: %+v", got)
	}
	if got := calotype(t, env, "image", "delete", "--creator", "me"); got.code != 1 || !strings.Contains(got.stderr, "1 image") {
		t.Errorf("a deletion without a confirmation: %+v", got)
	}
	if got := run("image", "delete", "--creator", "me", "--confirm"); !strings.Contains(got, `"complete": true`) {
		t.Errorf("the receipt is %s", got)
	}
	if got := calotype(t, env, "image", "list"); got.code != 0 || got.stdout != "" || got.stderr == "" {
		t.Errorf("an empty list: %+v", got)
	}
	if got := calotype(t, append(env, "CLOUDFLARE_API_TOKEN=wrong-token-0000"), "image", "list"); got.code != 1 ||
		!strings.Contains(got.stderr, "status 401") || strings.Contains(got.stderr, "wrong-token") {
		t.Errorf("a wrong token: %+v", got)
	}
}

// TestLogin stores a server, which later commands use, and forgets it.
func TestLogin(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	home := t.TempDir()
	env := []string{"HOME=" + home, "XDG_CONFIG_HOME="}
	file := filepath.Join(home, ".config", "calotype", "logins.json")
	login := func(secret string) finished {
		cmd := exec.CommandContext(t.Context(), binary, "login", s.url, "--account-id", accountID, "--name", "mine")
		cmd.Env, cmd.Stdin = append(plainEnviron(), env...), strings.NewReader(secret+"\n")
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return finished{cmd.ProcessState.ExitCode(), string(out), ""}
	}
	if got := login("a-wrong-token"); got.code != 1 || strings.Contains(got.stdout, "a-wrong-token") {
		t.Errorf("a wrong token: %+v", got)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a wrong token was stored")
	}
	if got := login(token); got.code != 0 || strings.Contains(got.stdout, token) {
		t.Fatalf("login: %+v", got)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	for _, args := range [][]string{{"stats"}, {"stats", "--server", "mine"}} {
		if got := calotype(t, env, args...); got.code != 0 || !strings.Contains(got.stdout, accountID) {
			t.Errorf("%q: %+v", args, got)
		}
	}
	if got := calotype(t, env, "listen", "--forward-to", "http://127.0.0.1:1/hook", "--account-id", "x"); got.code != 1 ||
		!strings.Contains(got.stdout, "of "+s.url+"/client/v4") || !strings.Contains(got.stderr, "refuses the token") {
		t.Errorf("listen does not use the stored server: %+v", got)
	}
	// A data folder on the command line precedes the stored server; a variable does too.
	empty := t.TempDir()
	for _, got := range []finished{
		calotype(t, env, "stats", "--data", empty), calotype(t, append(env, "CALOTYPE_DATA="+empty), "stats"),
	} {
		if got.code != 1 || !strings.Contains(got.stderr, "the data folder "+empty) {
			t.Errorf("the data folder was not used: %+v", got)
		}
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := calotype(t, env, "stats"); got.code != 1 || !strings.Contains(got.stderr, "chmod 600") {
		t.Errorf("a file that others can read: %+v", got)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := calotype(t, env, "logout"); got.code != 0 {
		t.Errorf("logout: %+v", got)
	}
	if text, err := os.ReadFile(file); err != nil || strings.Contains(string(text), token) {
		t.Errorf("after logout: %s, %v", text, err)
	}
}

// TestUploadOfAFolder is killed in the middle, and continues: at the end each file is there once, byte for byte.
func TestUploadOfAFolder(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for _, ids := range []string{"path", "random"} {
		env, dir, sums := s.clientEnv(t), t.TempDir(), map[string]bool{}
		for i := range 40 {
			picture := photo(t, 320, 240, 5000+i+len(ids)*100)
			sum := sha256.Sum256(picture)
			sums[hex.EncodeToString(sum[:])] = true
			name := filepath.Join(dir, fmt.Sprint("d", i%3), fmt.Sprint(i, ".jpg"))
			if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, picture, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{"image", "upload", dir, "--ids", ids, "--creator", ids, "--parallel", "1"}
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = append(plainEnviron(), env...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for s.ofCreator(ids) < 10 {
			select {
			case err := <-ended:
				t.Fatalf("the upload has ended before it was killed: %v", err)
			case <-time.After(5 * time.Millisecond):
			}
		}
		_ = cmd.Process.Kill()
		<-ended
		before := s.imagesOf(t, env, ids)
		got := calotype(t, env, append(args, "--json")...)
		var report struct{ Uploaded, Present, Failed int }
		if err := json.Unmarshal([]byte(got.stdout), &report); err != nil || got.code != 0 {
			t.Fatalf("%v, %+v", err, got)
		}
		if report.Failed != 0 || report.Uploaded+report.Present != 40 || report.Present < before || before == 40 {
			t.Errorf("%s: %d were there, then %+v", ids, before, report)
		}
		listed := calotype(t, env, "image", "list", "--creator", ids, "--json", "--limit", "100")
		var list struct{ Items []struct{ ID, SHA256 string } }
		if err := json.Unmarshal([]byte(listed.stdout), &list); err != nil || len(list.Items) != 40 {
			t.Fatalf("%v, %d images", err, len(list.Items))
		}
		for _, item := range list.Items {
			if !sums[item.SHA256] || ids == "path" != strings.Contains(item.ID, "/") {
				t.Errorf("%s: %+v", ids, item)
			}
			delete(sums, item.SHA256)
		}
	}
}

// ofCreator returns the number of images of a creator, by the API.
func (s *server) ofCreator(creator string) int {
	s.t.Helper()
	var list struct{ Images []picture }
	if err := unmarshalResult(s.api("GET", "images/v2?creator="+creator, nil), &list); err != nil {
		s.t.Fatal(err)
	}
	return len(list.Images)
}

// imagesOf returns the number of images of a creator.
func (s *server) imagesOf(t *testing.T, env []string, creator string) int {
	t.Helper()
	got := calotype(t, env, "image", "list", "--creator", creator, "--json", "--limit", "100")
	var list struct{ Items []struct{ ID string } }
	if err := json.Unmarshal([]byte(got.stdout), &list); err != nil {
		t.Fatalf("%v: %+v", err, got)
	}
	return len(list.Items)
}

// TestUploadReportsFailures: what fails is named, the rest is uploaded, and other bytes replace no image.
func TestUploadReportsFailures(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	env, dir := s.clientEnv(t), t.TempDir()
	write := func(name string, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("good.jpg", photo(t, 64, 48, 1))
	write("bad.jpg", []byte("no picture"))
	write("notes.txt", []byte("no picture by its name"))
	write(".hidden.jpg", photo(t, 64, 48, 2))
	got := calotype(t, env, "image", "upload", dir)
	if got.code != 1 || !strings.Contains(got.stderr, "bad.jpg: ") || !strings.Contains(got.stderr, "1 of 2 files failed") ||
		!strings.Contains(got.stdout, "uploaded 1 file; there already: 0, failed: 1, no pictures by their names: 2") {
		t.Errorf("%+v", got)
	}
	write("good.jpg", photo(t, 64, 48, 3))
	got = calotype(t, env, "image", "upload", dir)
	if got.code != 1 || !strings.Contains(got.stderr, "differs from the image") {
		t.Errorf("other bytes: %+v", got)
	}
	if got = calotype(t, env, "image", "upload", filepath.Join(dir, "good.jpg"), "--dry-run"); got.code != 0 ||
		!strings.Contains(got.stdout, "would upload 1 file") || s.imagesOf(t, env, "") != 1 {
		t.Errorf("a dry run: %+v", got)
	}
	s.stop()
	stopped := calotype(t, nil, "image", "upload", dir, "--data", s.data)
	if stopped.code != 1 || !strings.Contains(stopped.stderr, "no server runs in this data folder") {
		t.Errorf("without a server: %+v", stopped)
	}
}
