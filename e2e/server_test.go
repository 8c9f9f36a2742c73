// Package e2e tests the real binary from outside: HTTP requests, signals, kill -9, and what is on
// the disk afterwards.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"calotype/internal/programtest"
)

const (
	accountID = "023e105f4ecef8ad9ca31a8372d0c353"
	token     = "canary-token-4XWQ7"
)

// binary is the program under test: CALOTYPE_BIN, else built from the source.
var binary string

func TestMain(m *testing.M) { os.Exit(programtest.Run(m, &binary)) }

// A server is a running program. Its data folder outlives it, so that it can be started again.
type server struct {
	t    *testing.T
	url  string
	data string
	env  []string
	args []string
	wrap func(*exec.Cmd) // changes how the program is started; nil for nothing
	cmd  *exec.Cmd
	log  *logBuffer
	gone chan struct{}
}

// newServer starts a server on a fresh data folder with the account and token of the tests.
func newServer(t *testing.T, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: t.TempDir(), args: args, log: &logBuffer{}}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start starts the program and waits until it is ready.
func (s *server) start() {
	s.t.Helper()
	s.startTo(http.StatusOK)
}

// startTo starts the program and waits until /readyz answers a status.
func (s *server) startTo(status int) {
	s.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	s.url = "http://" + address
	s.cmd = exec.Command(binary, append([]string{"serve", "-listen", address, "-data", s.data}, s.args...)...)
	if s.wrap != nil {
		s.wrap(s.cmd)
	}
	s.cmd.Env = append(os.Environ(), "CALOTYPE_ACCOUNT_ID="+accountID, "CALOTYPE_API_TOKEN="+token,
		"CALOTYPE_DISK_RESERVE=1MiB")
	s.cmd.Env = append(s.cmd.Env, s.env...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	before := len(s.log.String()) // printed by an earlier start
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	gone, cmd := make(chan struct{}), s.cmd
	s.gone = gone
	go func() { _ = cmd.Wait(); close(gone) }()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		if response, err := http.Get(s.url + "/readyz"); err == nil {
			response.Body.Close()
			// What the start prints comes through a pipe, a moment later.
			if response.StatusCode == status && strings.Contains(s.log.String()[before:], "SDK here") {
				return
			}
		}
		select {
		case <-gone:
			s.t.Fatalf("the server ended at its start:\n%s", s.log)
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.t.Fatalf("the server is not ready:\n%s", s.log)
}

// kill is kill -9, at once.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// stop is SIGTERM and waits for the end.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.gone:
	case <-time.After(60 * time.Second):
		s.t.Fatalf("the server does not stop:\n%s", s.log)
	}
}

// logBuffer keeps what the program prints.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An answer is an HTTP answer, read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// envelope is the JSON that API and upload URL answer with.
type envelope struct {
	Result  json.RawMessage
	Success bool
	Errors  []struct {
		Code    int
		Message string
	}
}

func (a answer) envelope(t *testing.T) envelope {
	t.Helper()
	var e envelope
	if err := json.Unmarshal(a.body, &e); err != nil {
		t.Fatalf("status %d, no envelope: %v\n%.500s", a.status, err, a.body)
	}
	return e
}

// code is the first error's code, 0 for success.
func (a answer) code(t *testing.T) int {
	t.Helper()
	if e := a.envelope(t); len(e.Errors) > 0 {
		return e.Errors[0].Code
	}
	return 0
}

// client opens a connection a request, as many browsers would.
var client = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
	DisableKeepAlives: true,
	DialContext:       (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
}}

// send sends a request; the error is the connection's.
func send(ctx context.Context, method, url string, body io.Reader, header ...string) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return a, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	a.status, a.header = response.StatusCode, response.Header
	a.body, err = io.ReadAll(response.Body)
	return a, err
}

// do is send for requests that must be answered.
func do(t *testing.T, method, url string, body io.Reader, header ...string) answer {
	t.Helper()
	a, err := send(t.Context(), method, url, body, header...)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return a
}

// api calls the API of the account with the token.
func (s *server) api(method, path string, body io.Reader, header ...string) answer {
	s.t.Helper()
	return do(s.t, method, s.url+"/client/v4/accounts/"+accountID+"/"+path, body,
		append([]string{"Authorization", "Bearer " + token}, header...)...)
}

// A oneTimeURL is what direct_upload answers.
type oneTimeURL struct{ ID, UploadURL string }

// createUploadURL creates a one-time URL; fields are names and values of a form.
func (s *server) createUploadURL(fields ...string) oneTimeURL {
	s.t.Helper()
	body, kind := form(s.t, fields...)
	a := s.api("POST", "images/v2/direct_upload", body, "Content-Type", kind)
	var u oneTimeURL
	if err := json.Unmarshal(a.envelope(s.t).Result, &u); err != nil || u.UploadURL == "" {
		s.t.Fatalf("no one-time URL: status %d\n%s", a.status, a.body)
	}
	return u
}

// form makes a multipart form of names and values.
func form(t *testing.T, fields ...string) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

// fileForm makes the form that a browser posts.
func fileForm(t testing.TB, filename string, content []byte) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	w := multipart.NewWriter(body)
	part, err := w.CreateFormFile("file", filename)
	if err == nil {
		_, err = part.Write(content)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return body, w.FormDataContentType()
}

// post posts a picture to a one-time URL.
func post(t *testing.T, url, filename string, content []byte) answer {
	t.Helper()
	body, kind := fileForm(t, filename, content)
	return do(t, "POST", url, body, "Content-Type", kind)
}

// picture is the Image object as the tests need it.
type picture struct {
	ID                string
	Filename          *string
	Draft             bool
	Variants          []string
	Meta              json.RawMessage
	Uploaded          string
	RequireSignedURLs bool
	Original          *struct {
		Format        string
		Width, Height int
		SHA256        string
		Stripped      []string
	}
	Upload struct {
		Uses struct{ Allowed, Used int }
	}
}

// image returns the details of an image; ok is false if it does not exist.
func (s *server) image(id string) (p picture, ok bool) {
	s.t.Helper()
	a := s.api("GET", "images/v1/"+id, nil)
	if a.status == http.StatusNotFound {
		return p, false
	}
	if err := json.Unmarshal(a.envelope(s.t).Result, &p); err != nil || a.status != http.StatusOK {
		s.t.Fatalf("details: status %d, %v\n%s", a.status, err, a.body)
	}
	return p, true
}

// lines calls fn for each line of the program's log.
func (s *server) lines(fn func(line string)) {
	scanner := bufio.NewScanner(strings.NewReader(s.log.String()))
	for scanner.Scan() {
		fn(scanner.Text())
	}
}
