package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// networks reads a list that is valid.
func networks(t testing.TB, list string) []netip.Prefix {
	t.Helper()
	all, err := ParseNetworks(list)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// on starts a server at an address of this machine.
func on(t *testing.T, address string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skipf("this machine has no address %s: %v", address, err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = listener
	s.Start()
	t.Cleanup(s.Close)
	return s
}

// get returns what is at an address.
func get(ctx context.Context, c *Client, address string, most int64) (string, error) {
	answer, err := c.Get(ctx, address, most)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// wantReason wants an *Error that says something, and nothing that is secret.
func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	why := new(Error)
	if !errors.As(err, &why) || !strings.Contains(why.Reason, want) {
		t.Errorf("got %v, want %q", err, want)
	}
	if err != nil && strings.Contains(err.Error(), "canary") {
		t.Errorf("an error holds a secret: %v", err)
	}
}

// TestGet fetches from an opened network.
func TestGet(t *testing.T) {
	t.Parallel()
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RequestURI() != "/a%20b/picture%2Fx.jpg?q=1" || r.UserAgent() != userAgent {
			t.Errorf("asked for %s by %q", r.URL.RequestURI(), r.UserAgent())
		}
		fmt.Fprint(w, "bytes")
	})
	c := New(Config{Allow: networks(t, "127.0.0.1")})
	answer, err := c.Get(t.Context(), s.URL+"/a%20b/picture%2Fx.jpg?q=1#part", 5)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); string(text) != "bytes" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if answer.Name != "picture/x.jpg" {
		t.Errorf("the name is %q", answer.Name)
	}
}

// TestForbiddenHosts asks for a port of this machine by all the names it has. None may get there,
// and each must with the network opened, else the test shows nothing.
func TestForbiddenHosts(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	s := on(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	resolver := dns(t, func(name string) string {
		return map[string]string{"here.example.": "127.0.0.1", "mapped.example.": "127.0.0.1",
			"zero.example.": "0.0.0.0", "cloud.example.": "169.254.169.254",
			"private.example.": "10.0.0.1"}[name]
	})
	c := New(Config{Resolver: resolver})
	for host, want := range map[string]string{
		"127.0.0.1": "public", "127.0.0.2": "public", "0.0.0.0": "public", "localhost": "public",
		"[::1]": "public", "[::]": "public", "[::ffff:127.0.0.1]": "public",
		"[::ffff:7f00:1]": "public", "[::127.0.0.1]": "public", "[64:ff9b::7f00:1]": "public",
		"[2002:7f00:1::]": "public", "[fe80::1]": "public", "[fe80::1%25lo]": "public",
		"169.254.169.254": "public", "10.0.0.1": "public",
		"here.example": "public", "zero.example": "public", "cloud.example": "public",
		"private.example": "public", "HERE.example": "public", "here.example.": "public",
		"none.example": "not found",
		"2130706433":   "neither a name", "0x7f000001": "neither a name", "127.1": "neither a name",
		"0177.0.0.1": "neither a name", "0x7f.0.0.1": "neither a name", "127.0.0.1.": "neither",
		"127.0.0.01": "neither", "[::1": "not valid", "[1:2]": "not valid",
	} {
		_, err := get(t.Context(), c, "http://user:canary@"+host+":"+port+"/canary?canary", 100)
		t.Run(host, func(t *testing.T) { wantReason(t, err, want) })
		if want == "public" && !strings.Contains(err.Error(), allowFlag) {
			t.Errorf("%s: the flag is not named: %v", host, err)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests got through", n)
	}
	open := New(Config{Resolver: resolver, Allow: networks(t, "127.0.0.0/8")})
	for _, host := range []string{"127.0.0.1", "here.example", "[::ffff:127.0.0.1]"} {
		if _, err := get(t.Context(), open, "http://"+host+":"+port+"/", 100); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if n := hits.Load(); n != 3 {
		t.Errorf("%d requests of 3 came with the network opened", n)
	}
}

// dns is a resolver whose server knows the addresses that the function returns, "" for none.
func dns(t *testing.T, address func(name string) string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			answerDNS(&m, address(strings.ToLower(m.Questions[0].Name.String())))
			if packed, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

func answerDNS(m *dnsmessage.Message, address string) {
	q := m.Questions[0]
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	ip, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: ip.As4()},
		}}
	}
}

// TestRedirects may lead within what is open, not out of it, and not for ever.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var hits atomic.Int64
	forbidden := on(t, "127.0.0.2", func(w http.ResponseWriter, _ *http.Request) {
		hits.Add(1)
		fmt.Fprint(w, "secret")
	})
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		switch path, n := r.URL.Path[:2], len(r.URL.Path)-1; {
		case path == "/f":
			w.Header().Set("Location", forbidden.URL)
		case path == "/l" && n > 1:
			w.Header().Set("Location", "/"+strings.Repeat("l", n-1))
		case path == "/l":
			fmt.Fprint(w, "the end")
			return
		case path == "/o":
			w.Header().Set("Location", r.URL.Query().Get("to"))
		}
		w.WriteHeader(http.StatusFound)
	})
	c := New(Config{Allow: networks(t, "127.0.0.1/32")})
	_, err := get(t.Context(), c, s.URL+"/f", 100)
	wantReason(t, err, "not at a public address")
	if hits.Load() != 0 {
		t.Error("the redirect was followed")
	}
	open := New(Config{Allow: networks(t, "127.0.0.0/8")})
	if text, err := get(t.Context(), open, s.URL+"/f", 100); text != "secret" || err != nil {
		t.Errorf("with the network opened: %q, %v", text, err)
	}
	if text, err := get(t.Context(), c, s.URL+"/llllll", 100); text != "the end" || err != nil {
		t.Errorf("five redirects: %q, %v", text, err)
	}
	_, err = get(t.Context(), c, s.URL+"/lllllll", 100)
	wantReason(t, err, "more than 5 redirects")
	for to, want := range map[string]string{
		"file:///etc/passwd": "http://", "gopher://127.0.0.1/": "http://", "": "invalid URL",
		"http://": "no host", "http://0x7f.1/": "neither a name", "%zz": "invalid URL",
		"http://169.254.169.254/latest": "not at a public address",
	} {
		_, err := get(t.Context(), c, s.URL+"/o?to="+to+"&canary", 100)
		wantReason(t, err, want)
	}
}

// TestLogin has a user and a password in the URL: they go to that origin only, and do not come back.
func TestLogin(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	note := func(where string, r *http.Request) {
		user, password, _ := r.BasicAuth()
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s%s %s:%s%s", where, r.URL.Path, user, password,
			r.Header.Get("Referer")))
	}
	var here, other *httptest.Server
	other = on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		note("other", r)
		http.Redirect(w, r, here.URL+"/back", http.StatusFound)
	})
	here = on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		note("here", r)
		switch r.URL.Path {
		case "/first":
			http.Redirect(w, r, here.URL+"/same", http.StatusTemporaryRedirect)
		case "/same":
			to := strings.Replace(other.URL, "http://", "http://planted:by-server@", 1)
			http.Redirect(w, r, to+"/away", http.StatusFound)
		}
	})
	c := New(Config{Allow: networks(t, "127.0.0.1")})
	address := strings.Replace(here.URL, "http://", "http://us%40er:p%3Aw@", 1) + "/first"
	if _, err := get(t.Context(), c, address, 100); err != nil {
		t.Fatal(err)
	}
	want := "[here/first us@er:p:w here/same us@er:p:w other/away : here/back :]"
	if got := fmt.Sprint(seen); got != want {
		t.Errorf("seen were %s\nwant %s", got, want)
	}
}

// TestOrigin: the same name by another scheme or port is elsewhere.
func TestOrigin(t *testing.T) {
	t.Parallel()
	for location, kept := range map[string]bool{
		"/x": true, "https://EXAMPLE.com/x": true, "https://example.com:443/x": true,
		"//example.com/x": true, "http://example.com/x": false, "https://example.com:444/x": false,
		"https://a.example.com/x": false, "http://example.com:443/x": false,
	} {
		to, err := parse("https://user:pass@example.com/")
		if err == nil {
			err = to.redirect(location)
		}
		if err != nil || (to.login != "") != kept {
			t.Errorf("%s: login %q, %v", location, to.login, err)
		}
	}
}

// TestBounds: bytes and time are limited for every host.
func TestBounds(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/declared":
			fmt.Fprint(w, "123456")
		case "/chunked":
			fmt.Fprint(w, "123")
			w.(http.Flusher).Flush()
			fmt.Fprint(w, "456")
		case "/cut":
			w.Header().Set("Content-Length", "6")
			fmt.Fprint(w, "123")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/silent":
			<-stop
		case "/slow":
			w.(http.Flusher).Flush()
			<-stop
		case "/missing":
			http.NotFound(w, r)
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/headers":
			w.Header().Set("X-Long", strings.Repeat("x", maxHeaderBytes*2))
		}
	})
	defer close(stop)
	c := New(Config{Allow: networks(t, "127.0.0.1")})
	for _, path := range []string{"/declared", "/chunked"} {
		if text, err := get(t.Context(), c, s.URL+path, 6); text != "123456" || err != nil {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if _, err := get(t.Context(), c, s.URL+path, 5); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v, want ErrTooLarge", path, err)
		}
	}
	hurried := New(Config{Allow: networks(t, "127.0.0.1"), Time: 100 * time.Millisecond})
	for path, want := range map[string]string{
		"/silent": "took longer", "/slow": "took longer",
	} {
		_, err := get(t.Context(), hurried, s.URL+path+"?canary", 6)
		wantReason(t, err, want)
	}
	for path, want := range map[string]string{
		"/cut": "failed", "/headers": "failed", "/missing": "status 404", "/empty": "status 204",
	} {
		_, err := get(t.Context(), c, s.URL+path+"?canary", 6)
		wantReason(t, err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	answer, err := c.Get(ctx, s.URL+"/slow", 6)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := answer.Body.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the caller left: %v", err)
	}
	answer.Body.Close()
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it says that the client left
	s.StartTLS()
	defer s.Close()
	_, err := get(t.Context(), New(Config{Allow: networks(t, "127.0.0.1")}), s.URL, 5)
	wantReason(t, err, "certificate")
}

// TestNoProxy has a proxy in the environment, which sees nothing.
func TestNoProxy(t *testing.T) {
	var proxied atomic.Int64
	proxy := on(t, "127.0.0.1", func(http.ResponseWriter, *http.Request) { proxied.Add(1) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "direct") })
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	c := New(Config{Allow: networks(t, "127.0.0.1"),
		Resolver: dns(t, func(string) string { return "127.0.0.1" })})
	text, err := get(t.Context(), c, "http://pictures.example:"+port+"/", 10)
	if text != "direct" || err != nil || proxied.Load() != 0 {
		t.Errorf("got %q, %v; the proxy saw %d requests", text, err, proxied.Load())
	}
}

func TestDestination(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://Example.com/a?b": "example.com:443", "http://u:p@example.com": "example.com:80",
		"https://example.com:8443/": "example.com:8443", "http://[::1]:9/": "[::1]:9",
		"%": "", "mailto:a@b": "",
	} {
		if got := Destination(url); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}

// TestFetch: validators are sent, 304 is an answer to them only, and no URL is requested that is not permitted.
func TestFetch(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := on(t, "127.0.0.1", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		switch {
		case r.URL.Path == "/slow":
			<-r.Context().Done()
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/forbidden", http.StatusFound)
		case r.Header.Get("If-None-Match") == `"tag"`, r.URL.Path == "/unasked":
			w.WriteHeader(http.StatusNotModified)
		default:
			w.Header().Set("ETag", `"tag"`)
			fmt.Fprint(w, "bytes")
		}
	})
	c := New(Config{Allow: networks(t, "127.0.0.1")})
	permit := func(u *url.URL) bool { return u.Path != "/forbidden" }
	answer, err := c.Fetch(t.Context(), s.URL+"/a", Request{Most: 5, Permit: permit})
	if err != nil || answer.NotModified || answer.Header.Get("ETag") != `"tag"` {
		t.Fatalf("got %+v, %v", answer, err)
	}
	answer.Body.Close()
	header := http.Header{"If-None-Match": {`"tag"`}, "User-Agent": {"other"}}
	answer, err = c.Fetch(t.Context(), s.URL+"/a", Request{Most: 5, Permit: permit, Header: header})
	if err != nil || !answer.NotModified {
		t.Fatalf("got %+v, %v", answer, err)
	}
	answer.Body.Close()
	before := asked.Load()
	for path, want := range map[string]Error{
		"/unasked":          {Cause: CauseStatus, Status: 304, Reason: "status 304"},
		"/forbidden?canary": {Cause: CauseURL, Reason: "is not permitted"},
		"/moved?canary":     {Cause: CauseRedirect, Reason: "after a redirect, the host \"127.0.0.1\" is not permitted"},
		"/slow?canary":      {Cause: CauseTime, Reason: "took longer than 200ms"},
	} {
		_, err := c.Fetch(t.Context(), s.URL+path, Request{Most: 5, Permit: permit, Time: 200 * time.Millisecond})
		wantReason(t, err, want.Reason)
		why := new(Error)
		if errors.As(err, &why) && (why.Cause != want.Cause || why.Status != want.Status) {
			t.Errorf("%s: got %+v", path, why)
		}
	}
	if n := asked.Load() - before; n != 3 {
		t.Errorf("%d requests were sent", n)
	}
}
