package delivery_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"calotype/internal/delivery"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/render"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

var now = time.Unix(1_800_000_000, 0)

// A host is a whole core, and its delivery on loopback.
type host struct {
	t    *testing.T
	core *imagestest.Core
	hash string
	url  string
	log  *lines
	// close ends the server, and waits until all that it answered is in the log.
	close func()
}

// lines collects the log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newHost(t *testing.T, core *imagestest.Core, negotiate bool) *host {
	t.Helper()
	return newHostWith(t, core, delivery.Config{Negotiate: negotiate})
}

// newHostWith completes c.
func newHostWith(t *testing.T, core *imagestest.Core, c delivery.Config) *host {
	t.Helper()
	account, err := core.Accounts.ByID(t.Context(), imagestest.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	log := new(lines)
	server := httptest.NewUnstartedServer(nil)
	c.Renditions, c.Log = core.Renditions, slog.New(slog.NewTextHandler(log, nil))
	c.URL, c.Now = "http://"+server.Listener.Addr().String(), func() time.Time { return now }
	server.Config.Handler = delivery.New(c)
	connections := delivery.NewConnections(server.Listener, 100, nil)
	server.Listener = connections
	server.Config.ConnContext, server.Config.ConnState = connections.ConnContext, connections.ConnState
	server.Start()
	t.Cleanup(server.Close)
	return &host{t, core, account.Hash, server.URL, log, server.Close}
}

// upload stores a picture; id is "" for a generated one.
func (h *host) upload(data []byte, id string, private bool) images.Image {
	h.t.Helper()
	wanted := images.NewDraft{RequireSignedURLs: private}
	if id != "" {
		wanted.ID = &id
	}
	ctx := h.t.Context()
	_, ticket, err := h.core.CreateDraft(ctx, imagestest.AccountID, wanted)
	if err != nil {
		h.t.Fatal(err)
	}
	u, err := h.core.BeginUpload(ctx, images.UploadRequest{Ticket: ticket, Size: int64(len(data))})
	if err != nil {
		h.t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(data); err != nil {
		h.t.Fatal(err)
	}
	img, err := u.Finish(ctx, "picture")
	if err != nil {
		h.t.Fatal(err)
	}
	return img.Image
}

// variant makes a variant of options in the form of a URL.
func (h *host) variant(name, options string, neverSigned bool) {
	h.t.Helper()
	o, err := render.ParseOptions(options)
	if err != nil {
		h.t.Fatal(err)
	}
	err = h.core.CreateVariant(h.t.Context(), imagestest.AccountID, images.Variant{
		ID: name, Options: o, NeverRequireSignedURLs: neverSigned,
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// sign returns the query that signs path with the account's key.
func (h *host) sign(path, query string) string {
	h.t.Helper()
	keys, err := h.core.Accounts.SigningKeys(h.t.Context(), imagestest.AccountID)
	if err != nil || len(keys) == 0 {
		h.t.Fatal(len(keys), "keys,", err)
	}
	mac := hmac.New(sha256.New, []byte(keys[0].Value))
	mac.Write([]byte(path + query))
	separator := "&"
	if query == "" {
		separator = "?"
	}
	return query + separator + "sig=" + hex.EncodeToString(mac.Sum(nil))
}

type reply struct {
	*http.Response
	body []byte
}

// ask sends a request; headers are names and values in turn. path must be escaped.
func (h *host) ask(method, path string, headers ...string) reply {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return reply{response, body}
}

// refused asks and expects a refusal.
func (h *host) refused(path string, status, code int, headers ...string) reply {
	h.t.Helper()
	r := h.ask("GET", path, headers...)
	if r.StatusCode != status || !bytes.HasPrefix(r.body, fmt.Appendf(nil, "ERROR %d: ", code)) ||
		r.Header.Get("Cf-Resized") != fmt.Sprintf("err=%d", code) ||
		r.Header.Get("Cache-Control") != "no-store" ||
		r.Header.Get("Access-Control-Allow-Origin") != "*" {
		h.t.Errorf("%s: got %d %q, want %d/%d", path, r.StatusCode, r.body, status, code)
	}
	return r
}

// kind returns the kind of file that bytes are.
func kind(data []byte) imagefile.Format {
	header, err := imagefile.ReadHeader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return ""
	}
	return header.Format
}

// served asks and expects a picture of a kind.
func (h *host) served(path string, want imagefile.Format, headers ...string) reply {
	h.t.Helper()
	r := h.ask("GET", path, headers...)
	if r.StatusCode != 200 || kind(r.body) != want || r.Header.Get("Content-Type") != want.MIME() ||
		r.ContentLength != int64(len(r.body)) {
		h.t.Errorf("%s: got %d, %d bytes of %q (%.100q), want %s", path, r.StatusCode, len(r.body),
			r.Header.Get("Content-Type"), r.body, want)
	}
	return r
}

// renditions counts the files in the rendition cache.
func (h *host) renditions() (n int) {
	h.t.Helper()
	walk := func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return err
	}
	if err := filepath.WalkDir(filepath.Join(h.core.Dir, "renditions"), walk); err != nil {
		h.t.Fatal(err)
	}
	return n
}
