package deploy

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "github.com/mattn/go-sqlite3" // the server's file is read
)

// TestFronts runs the program behind each proxy, and has clients of HTTP/1.1 and 2 do all that a
// proxy may spoil. What they must not find in the logs of the proxy is looked for at the end.
func TestFronts(t *testing.T) {
	t.Parallel()
	for name, start := range proxies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := freeAddress(t)
			s := startServer(t, "https://"+address)
			f := start(t, address, s.address)
			var secrets []string
			for protocol, client := range f.clients {
				b := &behind{server: s, front: f, client: client, protocol: protocol}
				t.Run(protocol, b.test)
				secrets = append(secrets, b.secrets...)
			}
			secrets = append(secrets, wantDemoPageShut(t, s, f))
			s.kill()
			secrets = append(secrets, wantReadableOutage(t, f)...)
			f.kill()
			wantNoneLogged(t, f, secrets)
		})
	}
}

// behind is a client of a server behind a proxy.
type behind struct {
	*server
	front    *front
	client   *http.Client
	protocol string
	secrets  []string
}

func (b *behind) test(t *testing.T) {
	if a := do(t, b.client, "GET", b.front.url+"/", nil); a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, b.front.output())
	}
	t.Run("customID", b.customID)
	t.Run("sizes", b.sizes)
	t.Run("streams", b.streams)
	t.Run("refusal", b.refusal)
	t.Run("resumable", b.resumable)
	t.Run("files", b.files)
	t.Run("private", b.private)
	if a := do(t, b.client, "GET", b.front.url+"/readyz", nil); a.status != http.StatusNotFound {
		t.Errorf("/readyz is open to strangers: status %d", a.status)
	}
}

// createUploadURL creates a one-time URL, whose ticket must not be logged.
func (b *behind) createUploadURL(t *testing.T, fields ...string) picture {
	t.Helper()
	p := createUploadURL(t, b.client, b.front.url, fields...)
	b.secrets = append(b.secrets, ticketOf(t, p))
	if !strings.HasPrefix(p.UploadURL, b.front.url+"/upload/") {
		t.Errorf("the one-time URL is not under %s", b.front.url)
	}
	return p
}

func ticketOf(t *testing.T, p picture) string {
	t.Helper()
	_, ticket, ok := strings.Cut(p.UploadURL, "ticket=")
	if !ok || len(ticket) < 20 {
		t.Fatal("the one-time URL has no ticket")
	}
	return ticket
}

// customID: an id with a slash, a space and a percent sign, in both spellings.
func (b *behind) customID(t *testing.T) {
	id := "a/b %c/" + b.protocol
	p := b.createUploadURL(t, "id", id)
	if a := post(t, b.client, p.UploadURL, photo(t, 20_000)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	whole := url.PathEscape(id)
	for _, escaped := range []string{whole, strings.ReplaceAll(whole, "%2F", "/")} {
		var found picture
		a := do(t, b.client, "GET", b.front.url+"/client/v4/accounts/"+accountID+"/images/v1/"+
			escaped, nil, "Authorization", "Bearer "+token)
		if code := a.result(t, &found); code != 0 || found.ID != id {
			t.Errorf("details of %s: status %d, code %d, id %q", escaped, a.status, code, found.ID)
		}
		a = do(t, b.client, "GET", b.front.url+"/"+accountHash()+"/"+escaped+"/public", nil)
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "image/jpeg" {
			t.Errorf("delivery of %s: status %d, %s", escaped, a.status, a.header.Get("Content-Type"))
		}
	}
}

// sizes: bodies below the limit are accepted, and the refusals of larger ones are readable by pages.
func (b *behind) sizes(t *testing.T) {
	if a := post(t, b.client, b.createUploadURL(t).UploadURL, photo(t, 99<<20/10)); a.status != http.StatusOK {
		t.Errorf("9.9 MiB: status %d: %.300s", a.status, a.body)
	}
	for _, size := range []int{11_000_000, 70_000_000} {
		a := post(t, b.client, b.createUploadURL(t).UploadURL, photo(t, size))
		wantReadable(t, a, http.StatusRequestEntityTooLarge, 5413)
	}
}

// files: what pages and backends read beside the pictures.
func (b *behind) files(t *testing.T) {
	for path, want := range map[string]string{
		"/uploader.js":           "text/javascript",
		"/.well-known/jwks.json": "application/jwk-set+json",
		"/openapi.json":          "application/json",
	} {
		a := do(t, b.client, "GET", b.front.url+path, nil, "Origin", "https://app.example")
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), want) || len(a.body) < 100 {
			t.Errorf("%s: status %d, %q, %d bytes", path, a.status, a.header.Get("Content-Type"), len(a.body))
		}
		if a.header.Get("Access-Control-Allow-Origin") != "*" && path != "/openapi.json" {
			t.Errorf("%s: pages of other sites may not read it: %v", path, a.header)
		}
	}
	page := do(t, b.client, "GET", b.createUploadURL(t).UploadURL, nil, "Accept", "text/html")
	if page.status != http.StatusOK || !strings.Contains(page.header.Get("Content-Security-Policy"), "nonce-") ||
		!bytes.Contains(page.body, []byte("/upload/page/")) {
		t.Errorf("the upload page: status %d, %v", page.status, page.header)
	}
}

// refusal: the reason reaches the page.
func (b *behind) refusal(t *testing.T) {
	a := post(t, b.client, b.createUploadURL(t).UploadURL, []byte("this is no picture"))
	wantReadable(t, a, http.StatusUnsupportedMediaType, 5455)
}

// resumable: an upload in two parts over tus, and one of the IETF by a client that can resume. The secrets of their
// URLs are not logged.
func (b *behind) resumable(t *testing.T) {
	content := photo(t, 300_000)
	half, rest := content[:150_000], content[150_000:]
	version := []string{"Tus-Resumable", "1.0.0", "Upload-Draft-Interop-Version", "8"}
	for name, c := range map[string]struct{ create, end []string }{
		"tus": {
			[]string{"Upload-Length", "300000", "Content-Type", "application/offset+octet-stream"},
			[]string{"Upload-Offset", "150000", "Content-Type", "application/offset+octet-stream"},
		},
		"IETF": {
			[]string{"Tus-Resumable", "", "Upload-Complete", "?0", "Content-Type", "image/jpeg"},
			[]string{"Upload-Complete", "?1", "Upload-Offset", "150000", "Content-Type", "application/partial-upload"},
		},
	} {
		p := b.createUploadURL(t)
		a := do(t, b.client, "POST", p.UploadURL, bytes.NewReader(half), append(version, c.create...)...)
		location := a.header.Get("Location")
		if a.status != http.StatusCreated || !strings.HasPrefix(location, b.front.url+"/upload/") {
			t.Fatalf("%s: status %d, %q: %s", name, a.status, location, a.body)
		}
		b.secrets = append(b.secrets, location[strings.LastIndex(location, "/")+1:])
		if a = do(t, b.client, "HEAD", location, nil, version...); a.header.Get("Upload-Offset") != "150000" {
			t.Errorf("%s: status %d, %v", name, a.status, a.header)
		}
		a = do(t, b.client, "PATCH", location, bytes.NewReader(rest), append(version, c.end...)...)
		if a.status != http.StatusOK {
			t.Errorf("%s: status %d: %s", name, a.status, a.body)
		}
		do(t, b.client, "GET", location+"?x=1", nil)
	}
	a := do(t, b.client, "PUT", b.createUploadURL(t).UploadURL, bytes.NewReader(content), "Upload-Complete", "?1",
		"Upload-Draft-Interop-Version", "8")
	if a.status != http.StatusOK {
		t.Errorf("at once: status %d: %s", a.status, a.body)
	}
}

// wantReadable checks that a page of another site can read a refusal of an upload, also when it sends
// credentials.
func wantReadable(t *testing.T, a answer, status, code int) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if got := a.result(t, new(picture)); got != code {
		t.Errorf("code %d, want %d", got, code)
	}
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": "https://app.example", "Cache-Control": "no-store",
		"Access-Control-Allow-Credentials": "true", "Referrer-Policy": "no-referrer",
	} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if kind, _, _ := strings.Cut(a.header.Get("Content-Type"), ";"); kind != "application/json" {
		t.Errorf("the type is %q", kind)
	}
}

// streams: the server has the first half of a body before the second half is sent.
func (b *behind) streams(t *testing.T) {
	body, kind := fileForm(t, photo(t, 2<<20))
	reader, writer := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), "POST", b.createUploadURL(t).UploadURL, reader)
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = int64(len(body))
	request.Header.Set("Content-Type", kind)
	arrived := make(chan error, 1)
	go func() {
		_, err := writer.Write(body[:len(body)/2])
		if err == nil {
			err = awaitSpool(b.data)
		}
		arrived <- err
		_, _ = writer.Write(body[len(body)/2:]) // the answer shows an error
		writer.Close()
	}()
	a := send(t, b.client, request)
	if err := <-arrived; err != nil || a.status != http.StatusOK {
		t.Errorf("status %d, %v: %.300s", a.status, err, a.body)
	}
}

// awaitSpool waits until a server has received a part of a body.
func awaitSpool(data string) error {
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		var size int64
		err := filepath.WalkDir(filepath.Join(data, "spool"),
			func(_ string, entry fs.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				if info, err := entry.Info(); err == nil {
					size += info.Size()
				}
				return nil
			})
		if err == nil && size > 0 {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("no byte of a half-sent body has reached the server")
}

// private: a signed URL is good behind the proxy, in both spellings of the id, and only signed.
func (b *behind) private(t *testing.T) {
	p := b.createUploadURL(t, "requireSignedURLs", "true")
	if a := post(t, b.client, p.UploadURL, photo(t, 20_000)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	for _, prefix := range []string{"", "/cdn-cgi/imagedelivery"} {
		path := prefix + "/" + accountHash() + "/" + p.ID + "/public"
		signed := path + "?" + b.sign(t, path, fmt.Sprintf("exp=%d", time.Now().Add(time.Hour).Unix()))
		for range 2 {
			a := do(t, b.client, "GET", b.front.url+signed, nil)
			if a.status != http.StatusOK || a.header.Get("X-Cache") == "HIT" ||
				!strings.HasPrefix(a.header.Get("Cache-Control"), "private") {
				t.Errorf("%s: status %d, %s: %.200s", path, a.status, a.header.Get("Cache-Control"), a.body)
			}
		}
		if a := do(t, b.client, "GET", b.front.url+path, nil); a.status != http.StatusForbidden {
			t.Errorf("%s without a signature: status %d", path, a.status)
		}
	}
}

// sign returns a query with the signature that the account's key makes over path and query.
func (b *behind) sign(t *testing.T, path, query string) string {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(b.data, "calotype.db")+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var key string
	err = db.QueryRow(`SELECT value FROM signing_keys WHERE account = ? AND name = 'default'`,
		accountID).Scan(&key)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(path + "?" + query))
	signature := hex.EncodeToString(mac.Sum(nil))
	b.secrets = append(b.secrets, signature)
	return query + "&sig=" + signature
}

func accountHash() string {
	sum := sha256.Sum256([]byte(accountID))
	return base64.RawURLEncoding.EncodeToString(sum[:])[:22]
}

// wantDemoPageShut: the demo page is for this machine only. A proxy is on this machine, but its
// clients are not: even with the key, which is returned, they get what any unknown path gets: 404.
func wantDemoPageShut(t *testing.T, s *server, f *front) (key string) {
	t.Helper()
	key = strings.TrimSpace(readFile(t, filepath.Join(s.data, "try-key")))
	for base, want := range map[string]bool{"http://" + s.address: true, f.url: false} {
		for _, client := range f.clients {
			a := do(t, client, "GET", base+"/try?key="+key, nil)
			if open := a.status < 400; open != want || !open && a.status != http.StatusNotFound {
				t.Errorf("the demo page at %s: status %d", base, a.status)
			}
			a = do(t, client, "GET", base+"/try", nil)
			shut := http.StatusNotFound
			if want {
				shut = http.StatusForbidden // and says where the key is
			}
			if a.status != shut {
				t.Errorf("the demo page at %s without its key: status %d", base, a.status)
			}
		}
	}
	return key
}

// TestTryBehindPlainNginx has nginx with a default configuration and proxy_pass only: it adds no header of
// a proxy, and requests the host 127.0.0.1.
func TestTryBehindPlainNginx(t *testing.T) {
	t.Parallel()
	address, dir := freeAddress(t), t.TempDir()
	s := startServer(t, "http://"+address)
	key := strings.TrimSpace(readFile(t, filepath.Join(s.data, "try-key")))
	cmd := nginxOf(t, findProgram(t, "nginx"), dir, dir, "access_log off;\nserver {\n  listen "+address+
		";\n  location / { proxy_pass http://"+s.address+"; }\n}\n")
	front := "http://" + address
	startDaemon(t, cmd, http.DefaultClient, front+"/healthz")
	for _, path := range []string{"/try", "/try?key=x", "/try?key=" + key, "/try/"} {
		if a := do(t, http.DefaultClient, "GET", front+path, nil); a.status != http.StatusNotFound {
			t.Errorf("status %d for %.8s...: %s", a.status, path, a.body)
		}
	}
}

// wantReadableOutage: a page can read the refusal if there is no server behind the proxy.
func wantReadableOutage(t *testing.T, f *front) (secrets []string) {
	t.Helper()
	for protocol, client := range f.clients {
		ticket, sig := "TICKETINANOUTAGE"+protocol, strings.Repeat("0ff", 20)+protocol
		secrets = append(secrets, ticket, sig)
		a := post(t, client, f.url+"/upload/"+accountHash()+"/x?ticket="+ticket, photo(t, 20_000))
		wantReadable(t, a, http.StatusServiceUnavailable, 5503)
		if a.header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
		upload := "SECRETINANOUTAGE" + strings.ReplaceAll(protocol, "/", "-")
		secrets = append(secrets, upload)
		for _, way := range []string{"tus", "resumable"} {
			a = do(t, client, "GET", f.url+"/upload/"+way+"/"+upload, nil, "Origin", "https://app.example")
			wantReadable(t, a, http.StatusServiceUnavailable, 5503)
		}
		a = do(t, client, "GET", f.url+"/"+accountHash()+"/x/public?sig="+sig, nil)
		if a.status != http.StatusBadGateway && a.status != http.StatusServiceUnavailable {
			t.Errorf("a delivery: status %d", a.status)
		}
	}
	return secrets
}

// wantNoneLogged: the proxy has logged the requests, and none of the secrets.
func wantNoneLogged(t *testing.T, f *front, secrets []string) {
	t.Helper()
	logged := f.logged()
	for _, want := range []string{"/upload/" + accountHash() + "/", "/" + accountHash() + "/x/public",
		"a%2Fb%20%25c"} {
		if !strings.Contains(logged, want) {
			t.Errorf("no log has %q:\n%.2000s", want, logged)
		}
	}
	for _, secret := range secrets {
		if secret == "" {
			t.Error("an empty secret")
		}
		lines := strings.Split(logged, "\n")
		if i := slices.IndexFunc(lines, func(line string) bool {
			return strings.Contains(line, secret)
		}); secret != "" && i >= 0 {
			t.Errorf("%q is in a log: %s", secret, lines[i])
		}
	}
}
