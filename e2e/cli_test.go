package e2e

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/sqldb/sqldbtest"
)

// A finished is a program that has ended.
type finished struct {
	code           int
	stdout, stderr string
}

// calotype runs the program to its end.
func calotype(t *testing.T, env []string, args ...string) finished {
	t.Helper()
	return runToEnd(t, env, binary, args...)
}

func runToEnd(t *testing.T, env []string, name string, args ...string) finished {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(plainEnviron(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return finished{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// plainEnviron is the environment without what configures the program.
func plainEnviron() (env []string) {
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "CALOTYPE_") {
			env = append(env, e)
		}
	}
	return env
}

// newFirstStart starts a server without account and token, in a folder that a shell must quote.
func newFirstStart(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{
		t: t, data: filepath.Join(t.TempDir(), "it's my data"), log: &logBuffer{}, args: args,
		env: []string{"CALOTYPE_ACCOUNT_ID=", "CALOTYPE_API_TOKEN="},
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// printedLine returns the line of the start's text that begins so.
func printedLine(t *testing.T, output, start string) string {
	t.Helper()
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, start) {
			return line
		}
	}
	t.Fatalf("no line %q in:\n%s", start, output)
	return ""
}

// TestFirstStart does what the first start says.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	s := newFirstStart(t)
	output := s.log.String()
	path := filepath.Join(s.data, "first-token")
	secret, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the token's file has mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(s.data); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the data folder has mode %v, %v", info.Mode(), err)
	}
	if strings.Contains(output, strings.TrimSpace(string(secret))) {
		t.Error("the token was printed to what is no terminal")
	}
	if !strings.Contains(output, "first-token") {
		t.Error("nothing says where the token is")
	}
	account := printed(t, output, "account id")
	curl := printedLine(t, output, "curl ")
	ran := runToEnd(t, nil, "bash", "-c", curl)
	if ran.code != 0 || !strings.HasPrefix(ran.stdout, s.url+"/") {
		t.Fatalf("%s\nended with %d, printed %q and %q", curl, ran.code, ran.stdout, ran.stderr)
	}
	delivered := do(t, "GET", strings.TrimSpace(ran.stdout), nil)
	if delivered.status != http.StatusOK || delivered.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("the printed URL: status %d, %v", delivered.status, delivered.header)
	}
	list := `curl -s -H "Authorization: Bearer $CLOUDFLARE_API_TOKEN" ` +
		`"$CLOUDFLARE_BASE_URL/accounts/$CLOUDFLARE_ACCOUNT_ID/images/v2"`
	eval := printedLine(t, output, "eval ")
	ran = runToEnd(t, nil, "bash", "-c", eval+"\n"+list)
	if !strings.Contains(ran.stdout, `"filename": "sample.jpg"`) || ran.stderr != "" {
		t.Errorf("%s\nended with %d, printed %q and %q", eval, ran.code, ran.stdout, ran.stderr)
	}
	// The second start finds what the first one made.
	s.stop()
	s.start()
	if again := printed(t, s.log.String()[len(output):], "account id"); again != account {
		t.Errorf("the second start has the account %s, the first %s", again, account)
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, secret) {
		t.Errorf("the second start changed the token: %v", err)
	}
	tokens := calotype(t, nil, "token", "list", "-data", s.data)
	if tokens.code != 0 || strings.Count(tokens.stdout, "\n") != 2 { // with the names of the columns
		t.Errorf("the tokens are %q, %q", tokens.stdout, tokens.stderr)
	}
	ran = runToEnd(t, nil, "bash", "-c", printedLine(t, s.log.String()[len(output):], "curl "))
	if ran.code != 0 || !strings.HasPrefix(ran.stdout, s.url+"/") {
		t.Errorf("the second start's line printed %q and %q", ran.stdout, ran.stderr)
	}
}

// TestFirstStartIntoNothing: a device that is no terminal swallows what is printed, so the token
// must be kept.
func TestFirstStartIntoNothing(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	nothing, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer nothing.Close()
	cmd := exec.Command(binary, "serve", "-listen", "127.0.0.1:0", "-data", data)
	cmd.Env, cmd.Stdout, cmd.Stderr = plainEnviron(), nothing, nothing
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if text, err := os.ReadFile(filepath.Join(data, "first-token")); err == nil && len(text) > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the first token is lost: it was printed to /dev/null")
		}
	}
}

// TestFirstStartOnTerminal: there the token is shown, once, and kept nowhere.
func TestFirstStartOnTerminal(t *testing.T) {
	t.Parallel()
	ours, theirs := terminal(t)
	data := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(binary, "serve", "-listen", "127.0.0.1:0", "-data", data, "-url", "http://x")
	cmd.Env, cmd.Stdout, cmd.Stderr = plainEnviron(), theirs, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var shown strings.Builder
	output := io.TeeReader(ours, &shown)
	if err := ours.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		if strings.HasPrefix(strings.TrimSpace(scanner.Text()), "eval ") {
			break
		}
	}
	secret, _, _ := strings.Cut(printed(t, shown.String(), "API token"), " ")
	if !strings.HasPrefix(secret, "calo_") ||
		!strings.Contains(printedLine(t, shown.String(), "curl "), "Bearer "+secret+`"`) {
		t.Errorf("no token in:\n%s", shown.String())
	}
	for _, path := range filesIn(t, data) {
		if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s holds the token that was shown; %v", path, err)
		}
	}
}

// terminal makes a terminal and returns its two ends.
func terminal(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("this machine makes no terminals: %v", err)
	}
	t.Cleanup(func() { ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetUint32(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { theirs.Close() })
	return ours, theirs
}

// TestTokenCommands: what they do counts at once in the running server.
func TestTokenCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	as := func(secret, method, path string) int {
		return do(t, method, s.url+"/client/v4/accounts/"+accountID+"/images/"+path, nil,
			"Authorization", "Bearer "+secret).status
	}
	create := func(args ...string) string {
		t.Helper()
		made := calotype(t, nil, append([]string{"token", "create", "-data", s.data}, args...)...)
		if made.code != 0 {
			t.Fatalf("token create ended with %d: %s", made.code, made.stderr)
		}
		return strings.TrimSpace(made.stdout)
	}
	writer, reader := create("app"), create("-scope", "read", "watch.er-1")
	id := s.uploaded(photo(t, 64, 48, 50))
	for name, want := range map[string][2]int{
		"GET":              {as(writer, "GET", "v2"), 200},
		"GET as reader":    {as(reader, "GET", "v2"), 200},
		"POST":             {as(writer, "POST", "v2/direct_upload"), 200},
		"POST as reader":   {as(reader, "POST", "v2/direct_upload"), 403},
		"DELETE as reader": {as(reader, "DELETE", "v1/"+id), 403},
		"DELETE":           {as(writer, "DELETE", "v1/"+id), 200},
	} {
		if want[0] != want[1] {
			t.Errorf("%s: status %d, want %d", name, want[0], want[1])
		}
	}
	listed := calotype(t, nil, "token", "list", "-data", s.data)
	for _, name := range []string{"app", "watch.er-1", "env"} {
		if !strings.Contains(listed.stdout, name) {
			t.Errorf("the list lacks %s:\n%s", name, listed.stdout)
		}
	}
	for _, secret := range []string{writer, reader, token} {
		if strings.Contains(listed.stdout, secret) {
			t.Error("the list holds a secret")
		}
	}
	if gone := calotype(t, nil, "token", "revoke", "-data", s.data, "app"); gone.code != 0 {
		t.Errorf("token revoke ended with %d: %s", gone.code, gone.stderr)
	}
	if got := as(writer, "GET", "v2"); got != http.StatusUnauthorized {
		t.Errorf("a revoked token: status %d", got)
	}
	for _, wrong := range [][]string{
		{"token", "revoke", "-data", s.data, "app"}, {"token", "create", "-data", s.data, "watch.er-1"},
		{"token", "create", "-data", s.data, "a b"},
		{"token", "create", "-data", s.data, "-scope", "all", "x"},
		{"token", "list", "-data", filepath.Join(s.data, "nowhere")},
	} {
		if got := calotype(t, nil, wrong...); got.code == 0 || got.stderr == "" {
			t.Errorf("%q ended with %d: %s", wrong, got.code, got.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(s.data, "nowhere")); !os.IsNotExist(err) {
		t.Errorf("a list made a data folder: %v", err)
	}
}

func TestSmallCommands(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	address := strings.TrimPrefix(s.url, "http://")
	if got := calotype(t, nil, "healthcheck", "-listen", address); got.code != 0 || got.stderr != "" {
		t.Errorf("healthcheck of a server that is well: %+v", got)
	}
	if got := calotype(t, []string{"CALOTYPE_LISTEN=" + address}, "healthcheck"); got.code != 0 {
		t.Errorf("healthcheck by the environment: %+v", got)
	}
	s.stop()
	if got := calotype(t, nil, "healthcheck", "-listen="+address); got.code != 1 || got.stderr == "" {
		t.Errorf("healthcheck of nothing: %+v", got)
	}
	got := calotype(t, nil, "version")
	if got.code != 0 || !strings.HasPrefix(got.stdout, "calotype ") {
		t.Errorf("version: %+v", got)
	}
	if got := calotype(t, nil, "migrate", "-data", s.data); got.code != 0 {
		t.Errorf("migrate: %+v", got)
	}
	if got := calotype(t, nil, "sweep", "--dry-run", "-data", s.data); got.code != 0 {
		t.Errorf("sweep: %+v", got)
	}
	if got := calotype(t, nil, "serve", "--help"); got.code != 0 ||
		!strings.Contains(got.stdout, "max-upload-bytes") {
		t.Errorf("serve --help: %+v", got)
	}
}

// TestSecretFiles: secrets may be named by a file.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tokenFile := file("token", "from-a-file")
	both := calotype(t, []string{"CALOTYPE_API_TOKEN=x", "CALOTYPE_API_TOKEN_FILE=" + tokenFile},
		"serve", "-data", filepath.Join(dir, "data"))
	if both.code == 0 || !strings.Contains(both.stderr, "CALOTYPE_API_TOKEN_FILE") {
		t.Errorf("both variables: %+v", both)
	}
	dsn := sqldbtest.Postgres(t)
	s := newServerIn(t, []string{
		"CALOTYPE_API_TOKEN=", "CALOTYPE_API_TOKEN_FILE=" + tokenFile,
		"CALOTYPE_DB_FILE=" + file("db", dsn),
	})
	a := do(t, "GET", s.url+"/client/v4/accounts/"+accountID+"/images/v2", nil,
		"Authorization", "Bearer from-a-file")
	if a.status != http.StatusOK {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
	if _, err := os.Stat(filepath.Join(s.data, "calotype.db")); !os.IsNotExist(err) {
		t.Errorf("CALOTYPE_DB_FILE was not used: %v", err)
	}
}

// TestNewerSchema: a binary refuses a database of a later release, naming both versions.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.stop()
	err := s.behind(func(db *sql.DB) error {
		_, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var known int
	err = s.behind(func(db *sql.DB) error {
		return db.QueryRow(`SELECT max(version_id) FROM goose_db_version
			WHERE version_id < 9999`).Scan(&known)
	})
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("schema 9999, this program knows schemas up to %d:", known)
	got := calotype(t, nil, "serve", "-listen", "127.0.0.1:0", "-data", s.data)
	if got.code == 0 || !strings.Contains(got.stderr, want) {
		t.Errorf("ended with %d: %s", got.code, got.stderr)
	}
}

// TestBadConfiguration: each message says what would be right, and repeats no secret.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	const secret, like = "canary-password", "https://images.example.com"
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-url", "https://images.example.com/path"}, like},
		{[]string{"-url", "images.example.com"}, like},
		{[]string{"-upload-url", "ftp://x"}, like},
		{[]string{"-url", "https://me:" + secret + "@images.example.com"}, like},
		{[]string{"-url", "https://me:" + secret + "@images.example.com:port"}, like},
		{[]string{"-max-upload-bytes", "ten"}, "10MiB"},
		{[]string{"-cache-bytes=-1"}, "10MiB"},
		{[]string{"-disk-reserve", "1e9"}, "10MiB"},
		{[]string{"-listen", "8080"}, "localhost:8080"},
		{[]string{"-listen", "203.0.113.1:1"}, "-listen"},
		{[]string{"-blobs", "ftp://bucket/x"}, "s3://"},
		{[]string{"-blobs", "s3://me:" + secret + "@bucket/x"}, "AWS_ACCESS_KEY_ID"},
		{[]string{"-blobs", "s3://bucket/x?shape=round"}, "path_style"},
		{[]string{"-db", "postgres://me:" + secret + "@127.0.0.1:1/none"}, "127.0.0.1"},
		{[]string{"-db", "postgres://me:" + secret + "@127.0.0.1:port/none"}, ""},
		{[]string{"-account-id", "short"}, "32 lower-case hex digits"},
		{[]string{"-account-hash", "short"}, "22 characters"},
		{[]string{"-log-format", "xml"}, "json"},
		{[]string{"-eager", "w=400"}, "public,thumb"},
		{[]string{"-eager-formats", "jxl"}, "avif,webp,fallback"},
		{[]string{"-nonsense"}, "nonsense"},
	} {
		t.Run(strings.ReplaceAll(strings.Join(tt.args, " "), "/", "|"), func(t *testing.T) {
			t.Parallel()
			args := append([]string{"serve", "-data", filepath.Join(t.TempDir(), "d")}, tt.args...)
			if tt.args[0] != "-listen" {
				args = append(args, "-listen", "127.0.0.1:0")
			}
			got := calotype(t, nil, args...)
			if got.code == 0 || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("ended with %d: %s", got.code, got.stderr)
			}
			if strings.Contains(got.stdout+got.stderr, secret) {
				t.Errorf("a secret is repeated: %s", got.stderr)
			}
		})
	}
}
