package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A gate is a proxy before a server that may move, so that a client keeps its address.
type gate struct {
	*httptest.Server
	to atomic.Pointer[url.URL]
}

func newGate(t *testing.T, s *server) *gate {
	t.Helper()
	g := &gate{}
	g.lead(t, s)
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(g.to.Load()) },
		ErrorLog: nil,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	g.Server = httptest.NewServer(proxy)
	t.Cleanup(func() {
		g.CloseClientConnections()
		g.Close()
	})
	return g
}

func (g *gate) lead(t *testing.T, s *server) {
	t.Helper()
	to, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	g.to.Store(to)
}

// A listening is a running calotype listen.
type listening struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *logBuffer
	gone chan struct{}
}

func listen(t *testing.T, base, forward string) *listening {
	t.Helper()
	return listenWith(t, binary, base, forward)
}

// listenWith starts the listen command of a program.
func listenWith(t *testing.T, program, base, forward string) *listening {
	t.Helper()
	l := &listening{t: t, log: &logBuffer{}, gone: make(chan struct{})}
	l.cmd = exec.Command(program, "listen", "--forward-to", forward)
	l.cmd.Env = append(plainEnviron(), "CLOUDFLARE_BASE_URL="+base+"/client/v4",
		"CLOUDFLARE_ACCOUNT_ID="+accountID, "CLOUDFLARE_API_TOKEN="+token)
	l.cmd.Stdout, l.cmd.Stderr = l.log, l.log
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = l.cmd.Wait(); close(l.gone) }()
	t.Cleanup(func() {
		l.kill()
		if t.Failed() {
			t.Logf("listen printed:\n%s", l.log)
		}
	})
	l.await("WEBHOOK_SIGNING_SECRET=")
	return l
}

// await waits until a text was printed.
func (l *listening) await(text string) {
	l.t.Helper()
	waitFor(l.t, func() bool { return strings.Contains(l.log.String(), text) })
}

func (l *listening) secret() string {
	_, rest, _ := strings.Cut(l.log.String(), "WEBHOOK_SIGNING_SECRET=")
	secret, _, _ := strings.Cut(rest, "\n")
	return secret
}

func (l *listening) kill() {
	_ = l.cmd.Process.Kill()
	<-l.gone
}

// interrupt is Ctrl-C, after which the program must end well.
func (l *listening) interrupt() {
	l.t.Helper()
	l.signal()
	l.awaitEnd()
}

// signal sends Ctrl-C.
func (l *listening) signal() {
	l.t.Helper()
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil {
		l.t.Fatal(err)
	}
}

// awaitEnd waits until the program has ended well.
func (l *listening) awaitEnd() {
	l.t.Helper()
	select {
	case <-l.gone:
	case <-time.After(time.Minute):
		l.t.Fatalf("listen does not end:\n%s", l.log)
	}
	if code := l.cmd.ProcessState.ExitCode(); code != 0 {
		l.t.Errorf("listen ended with %d:\n%s", code, l.log)
	}
}

// TestListen: what happens while the connection, the server or listen itself is away is forwarded
// when they are back.
func TestListen(t *testing.T) {
	t.Parallel()
	s, r := newServer(t), newReceiver(t)
	g := newGate(t, s)
	l := listen(t, g.URL, r.URL+"/hook")
	seed := 0
	upload := func() string {
		seed++
		return s.uploaded(photo(t, 64, 48, seed))
	}
	first := upload()
	received := r.await(t, first, 1)
	received.verify(t, l.secret())
	if about := received.about(); about.Data.Event != "image.upload.succeeded" ||
		received.header.Get("Content-Type") != "application/json" {
		t.Errorf("forwarded %s with %v", received.body, received.header)
	}
	l.await("image.upload.succeeded " + first + " 204 ")

	// Between two claims no connection is open, or an idle one, which the client replaces without a word.
	waitFor(t, func() bool {
		g.CloseClientConnections()
		return strings.Contains(l.log.String(), "no connection: ")
	})
	dropped := upload()
	r.await(t, dropped, 1)

	// The receiver refuses one, just before the server is killed.
	r.answer(http.StatusInternalServerError)
	refused := upload()
	r.await(t, refused, 1)
	s.kill()
	r.answer(http.StatusOK)
	l.await("status 502")
	s.start()
	g.lead(t, s)
	afterKill := upload()
	r.await(t, afterKill, 1)
	l.await("connected again")

	l.interrupt()
	for _, id := range []string{first, dropped, afterKill} {
		if n := len(r.messages(id)); n != 1 {
			t.Errorf("%s was forwarded %d times", id, n)
		}
	}
	away := upload()
	again := listen(t, g.URL, r.URL+"/hook")
	if again.secret() != l.secret() {
		t.Error("the signing secret is another after a restart")
	}
	r.await(t, away, 1).verify(t, again.secret())
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(calotype(t, []string{"CALOTYPE_DATA=" + s.data}, "webhook", "history").stdout)
		}
	})
	r.await(t, refused, 2)
	wantIn(t, s.webhook("list").stdout, "calotype listen")
	wantIn(t, s.webhook("history").stdout, "status 500", "status 204", "attempt 2")
}

// TestListenKilled: what a killed listen had in flight comes again when its lease has ended; what
// Ctrl-C finds in flight is reported.
func TestListenKilled(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	arrived, answer := make(chan struct{}, 10), make(chan struct{}, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-answer
	}))
	t.Cleanup(hook.Close)
	l := listen(t, s.url, hook.URL)
	id := s.uploaded(photo(t, 64, 48, 1))
	<-arrived
	l.kill()
	answer <- struct{}{}

	l = listen(t, s.url, hook.URL)
	select {
	case <-arrived:
	case <-time.After(2 * time.Minute):
		t.Fatalf("what the killed one had is lost:\n%s", l.log)
	}
	l.signal()
	time.Sleep(200 * time.Millisecond) // so that the answer comes after the signal; the result is the same before it
	answer <- struct{}{}
	l.awaitEnd()
	l.await("image.upload.succeeded " + id + " 200 ")
	wantIn(t, s.webhook("history").stdout, "status 200", "delivered")
	if list := s.webhook("list").stdout; !strings.Contains(list, "pending 0") {
		t.Errorf("after all was reported:\n%s", list)
	}
}

// TestListenRefused: what can never work ends listen, and says what is wrong.
func TestListenRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	moved := httptest.NewServer(http.RedirectHandler("https://example.com/", http.StatusMovedPermanently))
	t.Cleanup(moved.Close)
	good := map[string]string{
		"CLOUDFLARE_BASE_URL": s.url + "/client/v4", "CLOUDFLARE_ACCOUNT_ID": accountID,
		"CLOUDFLARE_API_TOKEN": token,
	}
	for _, c := range []struct {
		variable, value string
		args            []string
		code            int
		want            string
	}{
		{"CLOUDFLARE_BASE_URL", "", nil, 2, "calotype env"},
		{"CLOUDFLARE_BASE_URL", "localhost", nil, 2, "/client/v4"},
		{"CLOUDFLARE_BASE_URL", moved.URL, nil, 1, "301"},
		{"CLOUDFLARE_API_TOKEN", "", nil, 2, "set CLOUDFLARE_API_TOKEN"},
		{"CLOUDFLARE_API_TOKEN", "canary-wrong-token", nil, 1, "CLOUDFLARE_API_TOKEN"},
		{"CLOUDFLARE_ACCOUNT_ID", "", nil, 2, "set CLOUDFLARE_ACCOUNT_ID"},
		{"CLOUDFLARE_ACCOUNT_ID", strings.Repeat("0", 32), nil, 1, "CLOUDFLARE_"},
		{"", "", []string{"--events", "image.born"}, 1, "image.upload.succeeded"},
		{"", "", []string{"--name", strings.Repeat("n", 101)}, 1, "100"},
		{"", "", []string{"--forward-to", "localhost:3000"}, 2, "http://localhost:3000/hook"},
	} {
		env := []string{"HOME=" + t.TempDir(), "XDG_CONFIG_HOME="} // without stored servers
		for name, value := range good {
			if name == c.variable {
				value = c.value
			}
			env = append(env, name+"="+value)
		}
		args := append([]string{"listen", "--forward-to", "http://127.0.0.1:1/"}, c.args...)
		ran := calotype(t, env, args...)
		if ran.code != c.code || strings.Contains(ran.stderr+ran.stdout, "canary") {
			t.Errorf("%s=%s %q ended with %d: %s", c.variable, c.value, c.args, ran.code, ran.stderr)
		}
		wantIn(t, ran.stderr, c.want)
	}
}

// TestListenRedirects: redirects of the receiver are answers like others, and not followed.
func TestListenRedirects(t *testing.T) {
	t.Parallel()
	s, elsewhere := newServer(t), newReceiver(t)
	hook := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	t.Cleanup(hook.Close)
	l := listen(t, s.url, hook.URL)
	id := s.uploaded(photo(t, 64, 48, 1))
	l.await(id + " 307 ")
	if followed := elsewhere.messages(""); len(followed) != 0 {
		t.Errorf("a redirect was followed: %s", followed[0].body)
	}
	l.interrupt()
}
