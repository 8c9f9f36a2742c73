package api

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/notify"
	"calotype/internal/outbound"
	"calotype/internal/sqldb/sqldbtest"
)

// The tests with a fixture ask the API over HTTP, with the real core on a real database.

func TestMain(m *testing.M) { imagestest.Main(m) }

const (
	testToken   = imagestest.Token
	uploadBase  = "https://upload.example"
	accountPath = "/client/v4/accounts/" + testAccount
)

type fixture struct {
	*httptest.Server
	t    *testing.T
	core *imagestest.Core
	api  *api
	hash string // the account's
	log  *syncBuffer
	now  *clock

	notifier *notify.Notifier // sends nothing until a test calls Run
}

// newNotifier returns one that may reach the networks allow, for the core and URLs of c.
func newNotifier(t *testing.T, c Config, allow string) *notify.Notifier {
	t.Helper()
	networks, err := outbound.ParseNetworks(allow)
	if err != nil {
		t.Fatal(err)
	}
	return notify.New(notify.Config{
		Webhooks: c.Core.Webhooks, URLs: c.URLs, Log: c.Log, Now: c.Core.Now,
		Outbound: outbound.Config{Allow: networks},
	})
}

// A clock stands still until it is set; before that it is the real one.
type clock struct{ at atomic.Pointer[time.Time] }

func (c *clock) now() time.Time {
	if at := c.at.Load(); at != nil {
		return *at
	}
	return time.Now()
}

// syncBuffer is a log that handlers write to while the test reads.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// each runs fn against an API on an empty database of each engine.
func each(t *testing.T, fn func(t *testing.T, f *fixture)) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) { fn(t, newFixture(t, dsn)) })
}

func newFixture(t *testing.T, dsn string) *fixture {
	local, err := outbound.ParseNetworks("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	now := &clock{}
	f := newServer(t, imagestest.Open(t, images.Config{
		Now: now.now, Outbound: outbound.New(outbound.Config{Allow: local}),
	}, dsn), Config{})
	f.now = now
	return f
}

// newServer serves a core; what is not in c is filled in.
func newServer(t *testing.T, core *imagestest.Core, c Config) *fixture {
	t.Helper()
	account, err := core.Accounts.ByID(t.Context(), testAccount)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, log: &syncBuffer{}, core: core, hash: account.Hash}
	c.Core, c.Lists, c.Log = core.Service, core.Lists, slog.New(slog.NewTextHandler(f.log, nil))
	c.URLs = cfapi.URLs{Upload: uploadBase, Delivery: "https://img.example"}
	if c.Notifier == nil {
		c.Notifier = newNotifier(t, c, "127.0.0.0/8")
	}
	f.notifier = c.Notifier
	f.api = New(c).(*api)
	f.Server = httptest.NewServer(f.api)
	t.Cleanup(f.Close)
	return f
}

// reply is what came back: the envelope as it is, and taken apart.
type reply struct {
	answer
	status int
	header http.Header
	body   string
}

func (r reply) code() int {
	if len(r.Errors) == 0 {
		return 0
	}
	return r.Errors[0].Code
}

// image is the Image object as a client reads it.
type image struct {
	ID, Filename, Uploaded string
	UploadURL              string
	Meta, Metadata         json.RawMessage
	Creator                *string
	RequireSignedURLs      bool
	Variants               []string
	Draft                  bool
	Original               map[string]any
	Upload                 map[string]any
}

func (r reply) image(t *testing.T) (img image) {
	t.Helper()
	if r.status != 200 || !r.Success {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if err := json.Unmarshal(r.Result, &img); err != nil {
		t.Fatalf("%s: %v", r.body, err)
	}
	return img
}

// ask sends a request below the account with the account's token; header pairs may replace it.
func (f *fixture) ask(method, path, contentType, body string, header ...string) reply {
	f.t.Helper()
	return f.send(method, accountPath+path, contentType, body,
		append([]string{"Authorization", "Bearer " + testToken}, header...)...)
}

func (f *fixture) send(method, path, contentType, body string, header ...string) reply {
	f.t.Helper()
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.URL+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(resp.Body); err != nil {
		f.t.Fatal(err)
	}
	got := reply{status: resp.StatusCode, header: resp.Header, body: b.String()}
	if resp.Header.Get("Content-Type") == "application/json; charset=UTF-8" && method != "HEAD" {
		if err := json.Unmarshal(b.Bytes(), &got.answer); err != nil {
			f.t.Fatalf("%s: %v", got.body, err)
		}
		f.conform(method, path, got)
	}
	return got
}

func (f *fixture) want(r reply, status, code int) {
	f.t.Helper()
	if r.status != status || r.code() != code || r.Success != (code == 0) ||
		r.header.Get("Content-Type") != "application/json; charset=UTF-8" {
		f.t.Errorf("%d %s\nwant %d with code %d", r.status, r.body, status, code)
	}
}

// draft makes a draft from pairs of fields.
func (f *fixture) draft(pairs ...string) image {
	f.t.Helper()
	contentType, body := multi(f.t, pairs...)
	return f.ask("POST", "/images/v2/direct_upload", contentType, body).image(f.t)
}

// upload makes a draft into an image. The upload URL itself is another package's.
func (f *fixture) upload(draft image, filename string, content []byte) {
	f.t.Helper()
	oneTime, err := url.Parse(draft.UploadURL)
	if err != nil {
		f.t.Fatal(err)
	}
	u, err := f.core.BeginUpload(f.t.Context(), images.UploadRequest{
		Ticket: oneTime.Query().Get("ticket"), Size: int64(len(content)),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = u.Write(content)
	if err == nil {
		_, err = u.Finish(f.t.Context(), filename)
	}
	u.Close()
	if err != nil {
		f.t.Fatal(err)
	}
}
