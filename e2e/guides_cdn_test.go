package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/purges"
)

// cdnGuide is the guide of caches in front of a server.
const cdnGuide = "cdn"

// TestVarnishOfTheGuide runs Varnish with the file of the guide in front of a server that sends it purges.
func TestVarnishOfTheGuide(t *testing.T) {
	t.Parallel()
	program := findFront(t, "varnishd")
	port := freePort(t)
	s := newServer(t, "-purge-form=varnish", "-purge-url=http://127.0.0.1:"+port+"/")
	dir := t.TempDir()
	config := strings.Replace(guideFile(t, cdnGuide, "default.vcl"), `"8080"`, `"`+s.url[strings.LastIndex(s.url, ":")+1:]+`"`, 1)
	writeText(t, filepath.Join(dir, "default.vcl"), config)
	cmd := exec.Command(program, "-F", "-n", filepath.Join(dir, "work"), "-a", "127.0.0.1:"+port,
		"-f", filepath.Join(dir, "default.vcl"), "-s", "malloc,64m")
	startProgram(t, cmd, `Child launched OK`)
	c := &cached{server: s, front: "http://127.0.0.1:" + port}
	c.wantReady()
	c.wantCached(func(id string) {
		c.api("DELETE", "images/v1/"+id, nil)
	})
	// The same for a picture that becomes private.
	c.wantCached(func(id string) {
		a := c.api("PATCH", "images/v1/"+id, strings.NewReader(`{"requireSignedURLs":true}`),
			"Content-Type", "application/json")
		if a.status != http.StatusOK {
			t.Errorf("status %d: %s", a.status, a.body)
		}
	})
	for _, keys := range []string{"", "x", "i-" + strings.Repeat("0", 32) + " .*"} {
		if a := do(t, "PURGE", c.front+"/", nil, "Surrogate-Key", keys); a.status != http.StatusForbidden {
			t.Errorf("a purge of %q: status %d", keys, a.status)
		}
	}
}

// TestNginxOfTheGuide runs nginx with the file of the guide.
func TestNginxOfTheGuide(t *testing.T) {
	t.Parallel()
	program := findFront(t, "nginx")
	s := newServer(t)
	port, dir := freePort(t), t.TempDir()
	config := guideFile(t, cdnGuide, "calotype-cache.conf")
	for _, pair := range [][2]string{
		{"listen 80;", "listen 127.0.0.1:" + port + ";"}, {"http://127.0.0.1:8080", s.url},
		{"/var/cache/nginx/calotype", filepath.Join(dir, "cache")}, {"200 10s", "200 1s"},
		{"/var/log/nginx/calotype.delivery.log", filepath.Join(dir, "delivery.log")},
		{"/var/log/nginx/calotype.error.log", filepath.Join(dir, "error.log")},
	} {
		if strings.Count(config, pair[0]) != 1 {
			t.Fatalf("the guide's nginx has no %q", pair[0])
		}
		config = strings.Replace(config, pair[0], pair[1], 1)
	}
	writeText(t, filepath.Join(dir, "calotype-cache.conf"), config)
	startNginx(t, program, dir, "include calotype-cache.conf;\n")
	c := &cached{server: s, front: "http://127.0.0.1:" + port}
	c.wantReady()
	c.wantCached(func(id string) { c.api("DELETE", "images/v1/"+id, nil) })
	do(t, "GET", c.front+"/healthz?sig=canary", nil)
	waitFor(t, func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "delivery.log"))
		if bytes.Contains(log, []byte("canary")) {
			t.Fatalf("the log has the query of a URL: %s", log)
		}
		return err == nil && bytes.Contains(log, []byte(`"GET /healthz"`))
	})
}

// startNginx starts nginx with the configuration of its http block, and stops it at the end of the test.
func startNginx(t *testing.T, program, dir, config string) {
	t.Helper()
	main := "daemon off;\nmaster_process off;\npid nginx.pid;\nerror_log stderr notice;\nevents {}\nhttp {\naccess_log off;\n"
	if os.Geteuid() == 0 {
		main = "user root;\n" + main
	}
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += fmt.Sprintf("%s_temp_path %s;\n", kind, filepath.Join(dir, kind))
	}
	writeText(t, filepath.Join(dir, "nginx.conf"), main+config+"}\n")
	cmd := exec.Command(program, "-e", "stderr", "-p", dir, "-c", filepath.Join(dir, "nginx.conf"))
	startProgram(t, cmd, `OS: `)
}

// cacheWithoutVary is the http block of a cache that ignores Vary and obeys Cache-Control, as many CDNs do.
const cacheWithoutVary = `proxy_cache_path %[1]s keys_zone=cache:1m;
server {
	listen 127.0.0.1:%[2]s;
	merge_slashes off;
	location / {
		proxy_pass %[3]s;
		proxy_cache cache;
		proxy_cache_key $request_uri;
		proxy_ignore_headers Vary;
		proxy_cache_methods GET;
		add_header X-Cache $upstream_cache_status;
	}
}
`

// TestFormatInURL: through a cache that ignores Vary, each client gets a format that it accepts, from the cache the
// second time.
func TestFormatInURL(t *testing.T) {
	t.Parallel()
	program := findFront(t, "nginx")
	s := newServer(t, "-format-in-url=redirect")
	port, dir := freePort(t), t.TempDir()
	startNginx(t, program, dir, fmt.Sprintf(cacheWithoutVary, filepath.Join(dir, "cache"), port, s.url))
	c := &cached{server: s, front: "http://127.0.0.1:" + port}
	c.wantReady()
	id := s.uploaded(photo(t, 640, 480, 3))
	url := c.front + strings.TrimPrefix(s.public(id), s.url)
	for _, want := range []string{"MISS", "HIT"} {
		for _, client := range [][2]string{
			{"image/png,image/*;q=0.8", "image/jpeg"}, {"image/avif,image/webp,*/*;q=0.8", "image/avif"}, {"image/webp,*/*", "image/webp"},
		} {
			// The client follows the redirect.
			a := do(t, "GET", url, nil, "Accept", client[0])
			if a.status != http.StatusOK || a.header.Get("Content-Type") != client[1] || a.header.Get("X-Cache") != want {
				t.Errorf("%s: status %d, %v, want %s", client[0], a.status, a.header, want)
			}
		}
	}
	if a := do(t, "GET", url+"?calotype-format=avif", nil); a.header.Get("X-Cache") != "HIT" {
		t.Errorf("the URL with the name: status %d, %v", a.status, a.header)
	}
}

// TestFormatNamesOfTheGuide requests the URLs of the guide's HTML, with the Accept header of a browser with AVIF.
func TestFormatNamesOfTheGuide(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-format-in-url=name")
	id := s.uploaded(photo(t, 64, 48, 3))
	var got []string
	html := guideFile(t, cdnGuide, "picture.html")
	for _, m := range regexp.MustCompile(`https://images\.example\.com/HASH/ID/public([^\s"]*)`).FindAllStringSubmatch(html, -1) {
		a := do(t, "GET", s.public(id)+m[1], nil, "Accept", "image/avif,image/webp,*/*")
		got = append(got, a.header.Get("Content-Type"))
	}
	if want := []string{"image/avif", "image/webp", "image/jpeg"}; !slices.Equal(got, want) {
		t.Errorf("the URLs have %v, want %v", got, want)
	}
}

// cached is a server with a cache in front of it.
type cached struct {
	*server
	front string
}

func (c *cached) wantReady() {
	waitFor(c.t, func() bool {
		response, err := http.Get(c.front + "/readyz")
		return err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK
	})
}

// wantCached: a client without AVIF and one with it get what they accept, from the cache the second time, and neither
// gets the picture after its end. A private picture is never cached.
func (c *cached) wantCached(end func(id string)) {
	c.t.Helper()
	id := c.uploaded(photo(c.t, 640, 480, 3))
	url := c.front + strings.TrimPrefix(c.public(id), c.url)
	plain, modern := "image/png,image/*;q=0.8", "image/avif,image/webp,*/*;q=0.8"
	for i, want := range []string{"MISS", "HIT"} {
		for accept, kind := range map[string]string{plain: "image/jpeg", modern: "image/avif"} {
			a := do(c.t, "GET", url, nil, "Accept", accept, "Cookie", "a=b", "User-Agent", fmt.Sprint("browser", i))
			if a.status != http.StatusOK || a.header.Get("Content-Type") != kind || a.header.Get("X-Cache") != want {
				c.t.Errorf("%s: status %d, %v", accept, a.status, a.header)
			}
		}
	}
	end(id)
	for _, accept := range []string{plain, modern} {
		waitFor(c.t, func() bool { return do(c.t, "GET", url, nil, "Accept", accept).status == http.StatusNotFound })
	}
	private := c.uploaded(photo(c.t, 64, 48, 3), "requireSignedURLs", "true")
	key, err := c.signingKey()
	if err != nil {
		c.t.Fatal(err)
	}
	withSignature := c.front + signed(key, strings.TrimPrefix(c.public(private), c.url), "")
	for range 3 {
		a := do(c.t, "GET", withSignature, nil, "Accept", modern)
		if a.status != http.StatusOK || a.header.Get("X-Cache") == "HIT" {
			c.t.Errorf("a private picture: status %d, %v", a.status, a.header)
		}
	}
}

// TestPurgesSurviveAKill: a purge that the cache has refused is sent by the next start of a server that was killed, and
// its token is neither in the log, nor in the arguments, nor in a file.
func TestPurgesSurviveAKill(t *testing.T) {
	t.Parallel()
	const secret = "canary-purge-token-9XW"
	var refusing atomic.Bool
	var mu sync.Mutex
	var refused, accepted []string
	refusing.Store(true)
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Tags []string }
		text, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(text, &body); err != nil || r.Header.Get("Authorization") != "Bearer "+secret {
			t.Errorf("%v: %s, %v", err, text, r.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		if refusing.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			refused = append(refused, body.Tags...)
			return
		}
		accepted = append(accepted, body.Tags...)
		io.WriteString(w, `{"success":true}`)
	}))
	defer fake.Close()
	s := &server{t: t, data: t.TempDir(), log: &logBuffer{}, env: []string{"CALOTYPE_PURGE_TOKEN=" + secret},
		args: []string{"-purge-form=cloudflare", "-purge-url=" + fake.URL + "/purge_cache"}}
	s.start()
	t.Cleanup(s.kill)
	id := s.uploaded(photo(t, 64, 48, 3))
	tag, _, _ := strings.Cut(do(t, "GET", s.public(id), nil).header.Get("Cache-Tag"), ",")
	if a := s.api("DELETE", "images/v1/"+id, nil); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	has := func(tags *[]string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return slices.Contains(*tags, tag) }
	}
	waitFor(t, has(&refused))
	s.kill()
	refusing.Store(false)
	s.start()
	began := time.Now()
	// A server that is killed before it has recorded the refusal leaves its claim, whose lease must end.
	waitAtMost(t, purges.Lease+30*time.Second, has(&accepted))
	t.Logf("purged %v after the start", time.Since(began))
	s.stop()
	if strings.Contains(s.log.String(), secret) || strings.Contains(s.log.String(), "purge_cache") {
		t.Error("the log has the token or the URL")
	}
	for _, path := range filesIn(t, s.data) {
		content, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(content), secret) {
			t.Errorf("%s has the token, %v", path, err)
		}
	}
}

// findFront returns the path of a cache that scripts/setup test installs.
func findFront(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../.tools/bin/" + name)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		path, err = exec.LookPath(name)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("there is no %s: run scripts/setup test", name)
		}
		t.Skipf("there is no %s: run scripts/setup test", name)
	}
	return path
}
