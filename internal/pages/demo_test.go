package pages

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/uploadpolicy"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const key = "canarykeyABCDEFGHIJKLMNOPQ"

var web = fstest.MapFS{
	"index.html":     {Data: []byte("<!doctype html>the page")},
	"assets/one.js":  {Data: []byte("1")},
	"assets/one.txt": {Data: []byte("no part of a page")},

	"docs/index.html":        {Data: []byte("<!doctype html>the viewer")},
	"docs/assets/viewer.js":  {Data: []byte("2")},
	"docs/assets/viewer.txt": {Data: []byte("no part of the viewer")},
}

// A site is the pages with what stands around them.
type site struct {
	t       *testing.T
	handler http.Handler
	log     bytes.Buffer
}

func newSite(t *testing.T, try string, change func(*Config)) *site {
	t.Helper()
	core := imagestest.New(t)
	account, err := core.Accounts.ByID(t.Context(), imagestest.AccountID)
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := ParseDemoHosts(try)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t}
	base := "http://localhost:8080"
	c := Config{
		Core: core.Service, Account: account, URLs: cfapi.URLs{API: base, Upload: base, Delivery: base},
		Log: slog.New(slog.NewTextHandler(&s.log, nil)), DemoKey: key, DemoHosts: hosts,
		NotFound: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "nothing", http.StatusTeapot)
		}),
	}
	if change != nil {
		change(&c)
	}
	s.handler = newPages(c, web)
	return s
}

// do sends a request; with Host among the headers, to that host.
func (s *site) do(method, target string, header ...string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost:8080"
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Add(header[i], header[i+1])
	}
	if r.Header.Get("Proto") == "HTTP/1.0" {
		r.ProtoMajor, r.ProtoMinor = 1, 0
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

// enter exchanges the key for a cookie, as it is sent back.
func (s *site) enter(header ...string) string {
	s.t.Helper()
	w := s.do("GET", "/try?key="+key, header...)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/try" || len(cookies) != 1 {
		s.t.Fatalf("status %d, %v", w.Code, w.Header())
	}
	return cookies[0].Name + "=" + cookies[0].Value
}

const hidden = http.StatusTeapot

func TestKeyAndCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, "localhost", nil)
	cookie := s.enter()
	if strings.Contains(cookie, key) {
		t.Error("the cookie is the key: it must be derived from it")
	}
	name, value, _ := strings.Cut(cookie, "=")
	for _, tt := range []struct {
		method, target, cookie string
		want                   int
	}{
		{"GET", "/try", "", hidden}, {"GET", "/try?key=", "", hidden},
		{"GET", "/try?key=" + key[1:], "", hidden}, {"GET", "/try?key=" + key + "x", "", hidden},
		{"POST", "/try?key=" + key, "", hidden}, {"GET", "/try/?key=" + key, "", hidden},
		{"GET", "/try/api/about?key=" + key, "", hidden}, {"GET", "/try/assets/one.js", "", hidden},
		{"GET", "/try/api/about", "", hidden}, {"POST", "/try/api/draft", "", hidden},
		{"GET", "/try", name + "=" + value[1:], hidden}, {"GET", "/try", name + "=", hidden},
		{"GET", "/try", "other=" + value, hidden}, {"GET", "/try", name + "=x; " + cookie, 200},
		{"GET", "/try", cookie, 200}, {"HEAD", "/try", cookie, 200},
		{"GET", "/try?key=wrong", cookie, 200}, {"GET", "/try/assets/one.js", cookie, 200},
		{"GET", "/try/api/about", cookie, 200}, {"GET", "/try/api/draft", cookie, hidden},
		{"POST", "/try", cookie, hidden}, {"GET", "/try/", cookie, hidden},
		{"GET", "/try/index.html", cookie, hidden}, {"GET", "/try/assets/none.js", cookie, hidden},
		{"GET", "/try/assets/one.txt", cookie, hidden}, {"GET", "/try/assets/../x", cookie, hidden},
		{"GET", "/try/api/image", cookie, 404}, {"GET", "/try/api/image?id=x", cookie, 404},
	} {
		if w := s.do(tt.method, tt.target, "Cookie", tt.cookie); w.Code != tt.want {
			t.Errorf("%s %s with %q: status %d, want %d", tt.method, tt.target, tt.cookie, w.Code, tt.want)
		}
	}
	if strings.Contains(s.log.String(), key) || strings.Contains(s.log.String(), value) {
		t.Errorf("a secret is in the log:\n%s", s.log.String())
	}
	other := newSite(t, "localhost", func(c *Config) { c.DemoKey = "another" + key })
	if w := other.do("GET", "/try", "Cookie", cookie); w.Code != hidden {
		t.Errorf("another server takes the cookie: status %d", w.Code)
	}
	none := newSite(t, "on", func(c *Config) { c.DemoKey = "" })
	if w := none.do("GET", "/try?key="); w.Code != hidden {
		t.Errorf("without a key: status %d", w.Code)
	}
}

func TestCookieAndHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, "images.example.com", func(c *Config) {
		c.URLs = cfapi.URLs{API: "https://images.example.com", Upload: "https://up.example.com",
			Delivery: "https://cdn.example.com"}
	})
	for host, secure := range map[string]bool{"localhost:8080": false, "images.example.com": true} {
		w := s.do("GET", "/try?key="+key, "Host", host)
		c := w.Result().Cookies()[0]
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/try" ||
			c.Secure != secure || c.Domain != "" {
			t.Errorf("%s: the cookie is %v", host, c)
		}
		if got := w.Header().Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("the key may leave by a Referer: %q", got)
		}
	}
	cross := s.do("GET", "/try?key="+key, "Sec-Fetch-Site", "cross-site")
	if cross.Code != http.StatusOK || len(cross.Result().Cookies()) != 1 ||
		!strings.Contains(cross.Body.String(), `content="0;url=/try"`) {
		t.Errorf("from another site: status %d, %s", cross.Code, cross.Body)
	}
	w := s.do("GET", "/try", "Cookie", s.enter())
	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';",
		"img-src 'self' blob: https://cdn.example.com;", "frame-ancestors 'none'",
		"connect-src 'self' https://up.example.com https://cdn.example.com;"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Body.String() != "<!doctype html>the page" {
		t.Errorf("%v\n%s", w.Header(), w.Body)
	}
}

// TestHosts: the page is on this machine, unless -demo says otherwise.
func TestHosts(t *testing.T) {
	t.Parallel()
	forwardedFor := []string{"X-Forwarded-For", "203.0.113.7"}
	nginx := []string{"Proto", "HTTP/1.0"}
	for _, tt := range []struct {
		try, host string
		header    []string
		want      int
	}{
		{"localhost", "localhost:8080", nil, 303}, {"localhost", "LOCALHOST.", nil, 303},
		{"localhost", "127.0.0.1:8080", nil, 303}, {"localhost", "[::1]:8080", nil, 303},
		{"localhost", "evil.example", nil, hidden}, {"localhost", "", nil, hidden},
		{"localhost", "localhost.evil.example", nil, hidden}, {"localhost", "10.0.0.7", nil, hidden},
		{"localhost", "127.0.0.1.evil.example:8080", nil, hidden},
		{"localhost", "localhost", forwardedFor, hidden}, {"localhost", "127.0.0.1", nginx, hidden},
		{"localhost", "localhost", []string{"Forwarded", "for=203.0.113.7"}, hidden},
		{"localhost", "localhost", []string{"Via", "1.1 proxy"}, hidden},
		{"a.example, 10.0.0.7", "a.example:443", forwardedFor, 303},
		{"a.example, 10.0.0.7", "10.0.0.7:8080", nginx, 303},
		{"a.example", "b.example", forwardedFor, hidden}, {"a.example", "localhost", nil, 303},
		{"a.example", "localhost", forwardedFor, hidden}, {"::1", "[::1]", forwardedFor, hidden},
		{"on", "anything.example", forwardedFor, 303}, {"on", "127.0.0.1", nginx, 303},
		{"off", "localhost:8080", nil, hidden}, {"nas.,localhost", "nas:8080", forwardedFor, 303},
	} {
		s := newSite(t, tt.try, nil)
		w := s.do("GET", "/try?key="+key, append([]string{"Host", tt.host}, tt.header...)...)
		if w.Code != tt.want {
			t.Errorf("-demo %q, host %q, %v: status %d, want %d", tt.try, tt.host, tt.header, w.Code,
				tt.want)
		}
	}
	for _, wrong := range []string{
		"", "https://a.example", "a.example:80", "a b", "a.example,,b", "*", "maybe", "yes", "a.example,nas",
	} {
		if _, err := ParseDemoHosts(wrong); err == nil {
			t.Errorf("-demo %q was taken", wrong)
		}
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		try, url, host, origin string
		want                   int
	}{
		{"localhost", "http://localhost:8080", "localhost:8080", "http://localhost:8080", 200},
		{"localhost", "http://localhost:8080", "127.0.0.1:8080", "http://127.0.0.1:8080", 200},
		{"localhost", "http://localhost:8080", "localhost:8080", "", 403},
		{"localhost", "http://localhost:8080", "localhost:8080", "null", 403},
		{"localhost", "http://localhost:8080", "localhost:8080", "http://localhost:3000", 403},
		{"localhost", "http://localhost:8080", "localhost:8080", "http://evil.example", 403},
		{"localhost", "http://localhost:8080", "localhost:8080", "file://localhost:8080", 403},
		// A proxy that adds no header, in front of a page that is not public.
		{"localhost", "https://a.example", "127.0.0.1:8080", "https://a.example", 403},
		{"a.example", "https://a.example", "a.example", "https://a.example", 200},
		{"on", "https://a.example", "127.0.0.1:8080", "https://a.example", 200},
		{"on", "https://a.example", "127.0.0.1:8080", "https://b.example", 403},
	} {
		s := newSite(t, tt.try, func(c *Config) { c.URLs.API = tt.url })
		w := s.do("POST", "/try/api/draft", "Host", tt.host, "Origin", tt.origin,
			"Cookie", s.enter("Host", tt.host))
		if w.Code != tt.want {
			t.Errorf("%+v: status %d, %s", tt, w.Code, w.Body)
		}
	}
}

func TestMakeAndLook(t *testing.T) {
	t.Parallel()
	var c Config
	s := newSite(t, "localhost", func(used *Config) { c = *used })
	header := []string{"Cookie", s.enter(), "Origin", "http://localhost:8080"}
	ask := func(method, target string, result any) int {
		t.Helper()
		w := s.do(method, target, header...)
		answer := struct{ Result any }{result}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%v: %s", err, w.Body)
		}
		return w.Code
	}
	var about facts
	if ask("GET", "/try/api/about", &about); about.Account != imagestest.AccountID ||
		about.API != "http://localhost:8080/client/v4" || about.MaxUploadBytes != 10<<20 {
		t.Errorf("about: %+v", about)
	}
	var made struct{ ID, UploadURL string }
	if status := ask("POST", "/try/api/draft", &made); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	u, err := url.Parse(made.UploadURL)
	if err != nil || len(u.Query().Get("ticket")) != 26 || !strings.HasSuffix(u.Path, "/"+made.ID) {
		t.Errorf("made %+v, %v", made, err)
	}
	var image struct {
		ID    string
		Draft bool
	}
	if status := ask("GET", "/try/api/image?id="+made.ID, &image); status != http.StatusOK ||
		image.ID != made.ID || !image.Draft {
		t.Errorf("status %d, %+v", status, image)
	}
	// A default policy of the account, set after the start of the server, applies.
	policy := uploadpolicy.Policy{MaxWidth: 100}
	if err := c.Core.Accounts.SetUploadPolicy(t.Context(), c.Account.ID, policy); err != nil {
		t.Fatal(err)
	}
	ask("POST", "/try/api/draft", &made)
	if draft, err := c.Core.Image(t.Context(), c.Account.ID, made.ID); err != nil ||
		draft.Ticket.Policy.MaxWidth != 100 {
		t.Errorf("the draft is %+v, %v", draft, err)
	}
	// The page has no access to other images.
	other, _, err := c.Core.CreateDraft(t.Context(), c.Account.Owner(), images.NewDraft{})
	if err != nil {
		t.Fatal(err)
	}
	if status := ask("GET", "/try/api/image?id="+other.ID, &image); status != http.StatusNotFound {
		t.Errorf("another's image: status %d", status)
	}
	last := 0
	for range 29 {
		last = max(last, ask("POST", "/try/api/draft", &made))
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("31 drafts at once: status %d", last)
	}
}

// TestUnbuilt: a program that was built without node says so.
func TestUnbuilt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "localhost", nil)
	s.handler.(*pages).web = fstest.MapFS{".keep": {}}
	w := s.do("GET", "/try", "Cookie", s.enter())
	if w.Code != http.StatusNotImplemented || !strings.Contains(w.Body.String(), "make build") {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

func TestFixed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "off", nil)
	for _, tt := range []struct {
		method, path, kind string
		status             int
	}{
		{"GET", "/", "text/html; charset=utf-8", 200}, {"GET", SamplePath, "image/jpeg", 200},
		{"HEAD", SamplePath, "image/jpeg", 200}, {"POST", "/", "", 405},
	} {
		w := s.do(tt.method, tt.path)
		if w.Code != tt.status || tt.kind != "" && w.Header().Get("Content-Type") != tt.kind {
			t.Errorf("%s %s: status %d, %v", tt.method, tt.path, w.Code, w.Header())
		}
		if _, err := io.Copy(io.Discard, w.Result().Body); err != nil {
			t.Error(err)
		}
		if Serves(tt.path) != true {
			t.Errorf("%s is not served here", tt.path)
		}
	}
	for path, want := range map[string]bool{
		"/try": true, "/try/x": true, "/tryx": false, "/sample.jpeg": false, "/x/try": false,
	} {
		if Serves(path) != want {
			t.Errorf("Serves(%s) = %v", path, !want)
		}
	}
}

// TestTheWayIn: the answer to a request without the key says where the key is, on this machine only.
func TestTheWayIn(t *testing.T) {
	t.Parallel()
	ask := func(s *site, target, from, host string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", target, nil)
		r.RemoteAddr, r.Host = from, host
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, r)
		return w
	}
	s := newSite(t, "localhost,images.example.com", nil)
	for _, tt := range []struct {
		target, from, host string
		header             []string
		want               int
	}{
		{"/try", "127.0.0.1:5", "localhost:8080", nil, 403},
		{"/try?key=wrong", "[::1]:5", "127.0.0.1", nil, 403},
		{"/try", "192.0.2.1:5", "localhost:8080", nil, hidden},
		{"/try", "127.0.0.1:5", "images.example.com", nil, hidden},
		{"/try", "127.0.0.1:5", "evil.example", nil, hidden},
		{"/try", "127.0.0.1:5", "localhost", []string{"X-Forwarded-For", "203.0.113.7"}, hidden},
		{"/try/api/about", "127.0.0.1:5", "localhost", nil, hidden},
		{"/try/index.html", "127.0.0.1:5", "localhost", nil, hidden},
	} {
		w := ask(s, tt.target, tt.from, tt.host, tt.header...)
		if w.Code != tt.want || strings.Contains(w.Body.String(), key) {
			t.Errorf("%s from %s at %s: status %d", tt.target, tt.from, tt.host, w.Code)
		}
		if shown := strings.Contains(w.Body.String(), "try-key"); shown != (tt.want == 403) {
			t.Errorf("%s from %s at %s says %s", tt.target, tt.from, tt.host, w.Body)
		}
	}
	off := newSite(t, "off", nil)
	if w := ask(off, "/try", "127.0.0.1:5", "localhost"); w.Code != hidden {
		t.Errorf("without a page: status %d", w.Code)
	}
	for of, want := range map[*site]bool{s: true, off: false} {
		w := ask(of, "/", "192.0.2.1:5", "localhost")
		if got := strings.Contains(w.Body.String(), `href="/try"`); got != want || w.Code != 200 {
			t.Errorf("the front page: %d, links the demo page: %v, want %v", w.Code, got, want)
		}
	}
}
