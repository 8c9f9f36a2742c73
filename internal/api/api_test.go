package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/errs"
)

// answer is an envelope as a client reads it.
type answer struct {
	Result  json.RawMessage
	Success bool
	Errors  []struct {
		Code    int
		Message string
	}
	Messages []any
}

// do sends one request through a handler and reads the envelope.
func do(t *testing.T, h http.Handler, r *http.Request) (*httptest.ResponseRecorder, answer) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); got != "application/json; charset=UTF-8" {
		t.Errorf("Content-Type %q", got)
	}
	if w.Header().Get("X-Request-Id") == "" || w.Header().Get("Cache-Control") != "no-store" ||
		w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers %v", w.Header())
	}
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w, a
}

func wantError(t *testing.T, w *httptest.ResponseRecorder, a answer, status, code int) {
	t.Helper()
	if w.Code != status || a.Success || len(a.Errors) != 1 || a.Errors[0].Code != code ||
		a.Errors[0].Message == "" || string(a.Result) != "null" || a.Messages == nil {
		t.Errorf("%d %s, want %d with code %d", w.Code, w.Body, status, code)
	}
}

func TestWireErrorHidesTheUnforeseen(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/", nil)
	for _, err := range []error{
		errors.New("CANARY"),
		fmt.Errorf("CANARY: %w", context.Canceled), // not the client's doing: it is still there
		&errs.Error{Kind: errs.Internal, Msg: "CANARY", Err: errors.New("CANARY")},
		&errs.Error{Kind: 9999, Msg: "CANARY"},
		&errs.Error{Kind: errs.AccountUnknown, Msg: "CANARY"},
	} {
		if e := wireError(r, err); strings.Contains(e.Message, "CANARY") {
			t.Errorf("%v shows %q", err, e.Message)
		}
	}
	e := wireError(r, errors.New("x"))
	if e.Status != 500 || e.Code != 5500 || e.Message != "Internal Server Error" {
		t.Errorf("%+v", e)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if e := wireError(r.WithContext(gone), context.Canceled); e.Code != 5433 {
		t.Errorf("a client that left: %+v", e)
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		header http.Header
		want   string
	}{
		{"none", http.Header{}, ""},
		{"bearer", http.Header{"Authorization": {"Bearer t"}}, "t"},
		{"bearer in lower case", http.Header{"Authorization": {"bearer  t "}}, "t"},
		{"empty bearer", http.Header{"Authorization": {"Bearer "}}, ""},
		{"another scheme", http.Header{"Authorization": {"Basic dXNlcjpwYXNz"}}, ""},
		{"no scheme", http.Header{"Authorization": {"t"}}, ""},
		{"key", http.Header{"X-Auth-Key": {"k"}, "X-Auth-Email": {"a@b"}}, "k"},
		{"e-mail only", http.Header{"X-Auth-Email": {"a@b"}}, ""},
		{"service key", http.Header{"X-Auth-User-Service-Key": {"s"}}, "s"},
		{"all", http.Header{"Authorization": {"Bearer t"}, "X-Auth-Key": {"k"},
			"X-Auth-User-Service-Key": {"s"}}, "t"},
		{"empty bearer and key", http.Header{"Authorization": {"Bearer"}, "X-Auth-Key": {"k"}}, "k"},
	} {
		if got := credentials(c.header); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		has, need     accounts.Scope
		account, want string
	}{
		{accounts.Read, accounts.Read, testAccount, ""},
		{accounts.Admin, accounts.Write, testAccount, ""},
		{accounts.Read, accounts.Write, testAccount, "write"},
		{accounts.Admin, accounts.Read, "0" + testAccount[1:] + "0", authentication},
		{accounts.Read, accounts.Write, "other", authentication}, // not the scope, which would reveal that the account exists
	} {
		err := authorize(accounts.Token{Account: testAccount, Scope: c.has}, c.account, c.need)
		if (err == nil) != (c.want == "") {
			t.Errorf("%+v: %v", c, err)
		}
		if err != nil && (errs.AsError(err).Kind != errs.Forbidden ||
			!strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestGateway: requests that are refused before the core, which is missing here.
func TestGateway(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := New(Config{URLs: cfapi.URLs{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	const under = Prefix + "accounts/" + testAccount + "/"

	w, a := do(t, h, httptest.NewRequest("GET", under+"nothing?ticket=CANARY", nil))
	wantError(t, w, a, 404, 7003)
	w, a = do(t, h, httptest.NewRequest("GET", under+"images/v1/stats/x", nil))
	wantError(t, w, a, 404, 7003)
	w, a = do(t, h, httptest.NewRequest("PUT", under+"images/v1/CANARY", nil))
	wantError(t, w, a, 405, 7001)
	if got := w.Header().Get("Allow"); got != "GET, HEAD, PATCH, DELETE" {
		t.Errorf("Allow %q", got)
	}
	if got := w.Header().Get("X-Should-Retry"); got != "false" {
		t.Errorf("X-Should-Retry %q", got)
	}
	r := httptest.NewRequest("GET", under+"images/v1/CANARY", nil)
	r.Header.Set("Authorization", "Basic CANARY")
	r.Header.Set("X-Request-Id", "CANARY")
	w, a = do(t, h, r)
	wantError(t, w, a, 400, 9106)
	if got := w.Header().Get("X-Request-Id"); got == "CANARY" {
		t.Error("a secret of the request became its id")
	}
	if strings.Contains(log.String(), "CANARY") {
		t.Errorf("the log holds too much:\n%s", &log)
	}
	for _, part := range []string{"request_id=" + w.Header().Get("X-Request-Id"),
		"method=GET", `route=accounts/{account}/images/v1/{id...}`, "status=400", "code=9106"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s:\n%s", part, &log)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 4 {
		t.Errorf("%d lines for 4 requests:\n%s", n, &log)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a := &api{Config: Config{Log: slog.New(slog.NewTextHandler(&log, nil))}}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.frame(w, r, func(http.ResponseWriter, *http.Request, *logLine) (any, error) {
			panic("CAUSE")
		})
	})
	w, got := do(t, h, httptest.NewRequest("GET", "/", nil))
	wantError(t, w, got, 500, 5500)
	id := w.Header().Get("X-Request-Id")
	if got.Errors[0].Message != "Internal Server Error; the request's id is "+id {
		t.Errorf("the message is %q", got.Errors[0].Message)
	}
	for _, part := range []string{"CAUSE", "api_test.go", id,
		"level=ERROR", "status=500", "code=5500"} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, &log)
		}
	}
}

// TestPanicAfterAnswer panics under a begun answer: the client must not take it for whole.
func TestPanicAfterAnswer(t *testing.T) {
	t.Parallel()
	a := &api{Config: Config{Log: slog.New(slog.DiscardHandler)}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.frame(w, r, func(w http.ResponseWriter, r *http.Request, line *logLine) (any, error) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			panic("CAUSE")
		})
	}))
	defer srv.Close()
	resp, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("taken for whole: %q", got)
	}
}

// serve runs fn on the body of every request, in the frame of the API but without its routes.
func serve(t *testing.T, timeout time.Duration, fn func(*body) (any, error)) (
	*httptest.Server, *bytes.Buffer) {
	t.Helper()
	handler, log := inFrame(timeout, fn)
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return srv, log
}

// inFrame is the handler of serve.
func inFrame(timeout time.Duration, fn func(*body) (any, error)) (http.Handler, *bytes.Buffer) {
	log := &bytes.Buffer{}
	a := &api{Config: Config{Log: slog.New(slog.NewTextHandler(log, nil))}, bodyTimeout: timeout}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.frame(w, r, func(w http.ResponseWriter, r *http.Request, _ *logLine) (any, error) {
			b, err := a.openBody(w, r)
			if err != nil {
				return nil, err
			}
			return fn(b)
		})
	}), log
}

func post(t *testing.T, url, contentType string, body io.Reader, header http.Header) (int, answer) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = http.Header{}
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, a
}

func TestBodies(t *testing.T) {
	t.Parallel()
	srv, _ := serve(t, time.Minute, func(b *body) (any, error) {
		f, err := b.form()
		return len(f), err
	})
	const asJSON = "application/json"
	fits := `{"a":"` + strings.Repeat("x", maxBody-8) + `"}`
	for _, c := range []struct {
		name         string
		body         string
		header       http.Header
		status, code int
	}{
		{"at the limit", fits, nil, 200, 0},
		{"over the limit", fits + " ", nil, 413, 7011},
		{"far over the limit", strings.Repeat(" ", 4*maxBody), nil, 413, 7011},
		{"gzip", "{}", http.Header{"Content-Encoding": {"gzip"}}, 415, 5415},
		{"identity", "{}", http.Header{"Content-Encoding": {"identity"}}, 200, 0},
		{"of the text", "{}", http.Header{"Content-Encoding": {" UTF-8"}}, 200, 0},
		{"of the transfer", "{}", http.Header{"Content-Encoding": {"binary"}}, 200, 0},
		{"nonsense", "x", nil, 400, 5400},
	} {
		for _, chunked := range []bool{false, true} {
			var reader io.Reader = strings.NewReader(c.body)
			if chunked {
				reader = io.MultiReader(reader) // hides the length
			}
			status, a := post(t, srv.URL, asJSON, reader, c.header)
			if status != c.status || c.code != 0 && (len(a.Errors) != 1 || a.Errors[0].Code != c.code) {
				t.Errorf("%s, chunked %v: %d %+v, want %d with %d",
					c.name, chunked, status, a, c.status, c.code)
			}
		}
	}
}

// TestSlowBody sends half a body and waits for the refusal.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	srv, _ := serve(t, 50*time.Millisecond, func(b *body) (any, error) {
		return b.read()
	})
	half, w := io.Pipe()
	defer w.Close()
	go func() { _, _ = w.Write([]byte(`{"id":`)) }()
	status, a := post(t, srv.URL, "application/json", half, nil)
	if status != 408 || len(a.Errors) != 1 || a.Errors[0].Code != 5408 {
		t.Errorf("%d %+v, want 408 with 5408", status, a)
	}
}

// TestBodyInTime lets a handler work for longer than a body may take.
func TestBodyInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		handler, _ := inFrame(bodyTimeout, func(b *body) (any, error) {
			if _, err := b.read(); err != nil {
				return nil, err
			}
			select {
			case <-b.request.Context().Done():
				return nil, b.request.Context().Err()
			case <-time.After(2 * bodyTimeout):
				return "done", nil
			}
		})
		client, served := net.Pipe()
		pipe := &pipeListener{conns: make(chan net.Conn, 1)}
		pipe.conns <- served
		server := &http.Server{Handler: handler}
		go func() { _ = server.Serve(pipe) }()
		defer server.Close()
		r := httptest.NewRequest("POST", "/", strings.NewReader("{}"))
		r.Header.Set("Content-Type", "application/json")
		if err := r.Write(client); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(bufio.NewReader(client), r)
		if err != nil || response.StatusCode != 200 {
			t.Errorf("got %+v, %v, want status 200", response, err)
		}
		client.Close()
	})
}

// A pipeListener accepts connections of net.Pipe, so that their time is that of synctest.
type pipeListener struct{ conns chan net.Conn }

func (l *pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l *pipeListener) Close() error {
	close(l.conns)
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// An original is said to have seven bytes, and may have fewer.
type original struct{ *io.SectionReader }

func newOriginal(content string) original {
	return original{io.NewSectionReader(strings.NewReader(content), 0, 7)}
}

func (o original) Read(p []byte) (int, error) {
	n, err := o.SectionReader.Read(p)
	if at, _ := o.Seek(0, io.SeekCurrent); err == io.EOF && at < 7 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (original) Close() error { return nil }

func TestStream(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, content string
		size          int64
		whole         bool
	}{
		{"whole", "picture", 7, true},
		{"longer than recorded", "picture, and more", 7, true},
		{"shorter than recorded", "pict", 7, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, log := serve(t, time.Minute, func(*body) (any, error) {
				return &stream{mime: "image/png", etag: `"x"`, content: newOriginal(c.content)}, nil
			})
			resp, err := http.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if whole := err == nil && string(got) == "picture"; whole != c.whole {
				t.Errorf("%q, %v", got, err)
			}
			for name, want := range map[string]string{
				"Content-Type":            "image/png",
				"ETag":                    `"x"`,
				"Accept-Ranges":           "bytes",
				"Content-Length":          "7",
				"Content-Disposition":     "attachment",
				"Content-Security-Policy": "default-src 'none'; sandbox",
				"X-Content-Type-Options":  "nosniff",
			} {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s %q, want %q", name, got, want)
				}
			}
			srv.Close() // waits for the handler, which writes the log
			if logged := strings.Contains(log.String(), "level=ERROR"); logged == c.whole {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func TestStreamHEAD(t *testing.T) {
	t.Parallel()
	srv, _ := serve(t, time.Minute, func(*body) (any, error) {
		return &stream{mime: "image/png", etag: `"x"`, content: newOriginal("picture")}, nil
	})
	resp, err := http.Head(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.ContentLength != 7 {
		t.Errorf("%d with length %d", resp.StatusCode, resp.ContentLength)
	}
}
