// Package deploy tests the files in this folder: the real program runs behind the real nginx and
// Caddy with the configurations that lie here, under the system call filter of the systemd unit,
// and what the Dockerfile must say is looked for in it.
package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"calotype/internal/programtest"
)

const (
	accountID = "023e105f4ecef8ad9ca31a8372d0c353"
	token     = "canary-token-7QK2M"
)

// binary is the program under test: CALOTYPE_BIN, else built from the source.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv(confineVariable) != "" {
		fmt.Fprintln(os.Stderr, "running confined:", runConfined())
		os.Exit(1)
	}
	if os.Getenv(rootVariable) != "" {
		fmt.Fprintln(os.Stderr, "entering a root:", enterRoot())
		os.Exit(1)
	}
	code := programtest.Run(m, &binary)
	if err := removeBuilds(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// findProgram returns the path of a program that scripts/setup test installs. Without it the test
// is skipped, but not in continuous integration.
func findProgram(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{"../.tools/bin/" + name, name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			if found, err = filepath.Abs(found); err == nil {
				return found
			}
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no %s: run scripts/setup test", name)
	}
	t.Skipf("there is no %s: run scripts/setup test", name)
	return ""
}

// readFile returns a committed file.
func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// edited replaces parts of a committed file, in pairs of old and new; each old one must be there.
func edited(t *testing.T, path string, pairs ...string) string {
	t.Helper()
	text := readFile(t, path)
	for i := 0; i+1 < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("%s no longer contains %q", path, pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

// freeAddress is a loopback address that is free now.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// A daemon is a process that runs for a test, and where its output goes.
type daemon struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  string
	gone chan struct{}
}

// startDaemon starts a program and waits until a GET of url is answered.
func startDaemon(t *testing.T, cmd *exec.Cmd, client *http.Client, url string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: cmd, out: filepath.Join(t.TempDir(), "output.log"),
		gone: make(chan struct{})}
	out, err := os.Create(d.out)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait(); close(d.gone) }()
	t.Cleanup(d.kill)
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if response, err := client.Get(url); err == nil {
			response.Body.Close()
			return d
		}
		select {
		case <-d.gone:
			t.Fatalf("%s ended at its start:\n%s", cmd.Path, d.output())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("%s does not answer:\n%s", cmd.Path, d.output())
	return nil
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.gone
}

func (d *daemon) output() string { return readFile(d.t, d.out) }

// A server is the real program on a fresh data folder.
type server struct {
	*daemon
	address, data string
}

// startServer starts the program. public is the base of the URLs that it makes; prefix runs before
// it, if there is one, and must become it.
func startServer(t *testing.T, public string, prefix ...string) *server {
	t.Helper()
	s := &server{address: freeAddress(t), data: t.TempDir()}
	args := append(prefix, binary, "serve", "-listen", s.address, "-data", s.data)
	if public != "" {
		args = append(args, "-url", public)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CALOTYPE_ACCOUNT_ID="+accountID, "CALOTYPE_API_TOKEN="+token,
		"CALOTYPE_DISK_RESERVE=1MiB")
	s.daemon = startDaemon(t, cmd, http.DefaultClient, "http://"+s.address+"/readyz")
	return s
}

// An answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request to exactly this URL.
func do(t *testing.T, client *http.Client, method, url string, body io.Reader,
	header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return send(t, client, request)
}

func send(t *testing.T, client *http.Client, request *http.Request) answer {
	t.Helper()
	response, err := client.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", request.Method, err)
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		t.Fatalf("%s: %v", request.Method, err)
	}
	return answer{response.StatusCode, response.Header, body}
}

// result unpacks the envelope of an answer; code is that of the first error, 0 for none.
func (a answer) result(t *testing.T, into any) (code int) {
	t.Helper()
	e := struct {
		Result json.RawMessage
		Errors []struct{ Code int }
	}{}
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("status %d, no envelope: %v\n%.300s", a.status, err, a.body)
	}
	if len(e.Errors) > 0 {
		return e.Errors[0].Code
	}
	if err := json.Unmarshal(e.Result, into); err != nil {
		t.Fatalf("the result is not as expected: %v\n%s", err, e.Result)
	}
	return 0
}

// picture is what the tests need of an Image.
type picture struct {
	ID        string
	UploadURL string
	Draft     bool
	Variants  []string
}

// createUploadURL creates a one-time URL under base; fields are names and values.
func createUploadURL(t *testing.T, client *http.Client, base string, fields ...string) picture {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := form.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	a := do(t, client, "POST", base+"/client/v4/accounts/"+accountID+"/images/v2/direct_upload",
		&body, "Content-Type", form.FormDataContentType(), "Authorization", "Bearer "+token)
	var p picture
	if code := a.result(t, &p); code != 0 || p.UploadURL == "" {
		t.Fatalf("no one-time URL: status %d\n%s", a.status, a.body)
	}
	return p
}

// fileForm is the form that a browser posts.
func fileForm(t *testing.T, content []byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("file", "a.jpg")
	if err == nil {
		_, err = part.Write(content)
	}
	if err = errors.Join(err, form.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), form.FormDataContentType()
}

// post posts a picture to a one-time URL, as a page of another site does.
func post(t *testing.T, client *http.Client, url string, content []byte) answer {
	t.Helper()
	body, kind := fileForm(t, content)
	return do(t, client, "POST", url, bytes.NewReader(body), "Content-Type", kind,
		"Origin", "https://app.example")
}

// photo makes a JPEG of this many bytes; what its pixels do not fill, comments do.
func photo(t *testing.T, size int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			img.SetRGBA(x, y, color.RGBA{uint8(x), uint8(y), uint8(x ^ y), 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	pixels := b.Bytes()[2:]
	out := append(make([]byte, 0, size), 0xff, 0xd8)
	const marker = 4
	for left := size - len(out) - len(pixels); left > marker; left = size - len(out) - len(pixels) {
		n := min(left-marker, 65000)
		out = append(out, 0xff, 0xfe, byte((n+2)>>8), byte(n+2))
		out = append(out, bytes.Repeat([]byte{'.'}, n)...)
	}
	return append(out, pixels...)
}
