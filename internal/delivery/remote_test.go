package delivery_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/outbound"
	"calotype/internal/renditions"
)

// An origin is another server on loopback.
type origin struct {
	*httptest.Server
	mu    sync.Mutex
	serve http.HandlerFunc
	asked []*http.Request
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.asked = append(o.asked, r)
		serve := o.serve
		o.mu.Unlock()
		serve(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

// answers sets the answer, and forgets the earlier requests.
func (o *origin) answers(serve http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.serve, o.asked = serve, nil
}

// requests returns the requests since answers.
func (o *origin) requests() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

// host returns host and port.
func (o *origin) host() string { return strings.TrimPrefix(o.URL, "http://") }

// picture answers with a picture and headers, names and values in turn.
func picture(data []byte, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		if tag := w.Header().Get("ETag"); tag != "" && r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(data)
	}
}

// newRemoteHost returns a host that may request sources in places, at networks.
func newRemoteHost(t *testing.T, places, networks string) (*host, *imagestest.Clock) {
	t.Helper()
	core, clock := newRemoteCore(t, places, networks)
	return newHost(t, core, true), clock
}

// newRemoteCore returns the core of newRemoteHost.
func newRemoteCore(t *testing.T, places, networks string) (*imagestest.Core, *imagestest.Clock) {
	t.Helper()
	allowed, err := outbound.ParsePlaces("-remote-sources", places)
	if err != nil {
		t.Fatal(err)
	}
	open, err := outbound.ParseNetworks(networks)
	if err != nil {
		t.Fatal(err)
	}
	clock := imagestest.NewClock()
	core := imagestest.OpenWith(t, images.Config{MaxUploadBytes: 100_000, Now: clock.Now}, renditions.Config{
		Outbound: outbound.New(outbound.Config{Allow: open, Own: []string{"own.example"}}), Sources: allowed,
	}, filepath.Join(t.TempDir(), "calotype.db"))
	return core, clock
}

func TestRemoteSource(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	h, clock := newRemoteHost(t, o.host()+"/media", "127.0.0.0/8")
	o.answers(picture(imagestest.JPEG(t, 1), "ETag", `W/"v,1"`, "Cache-Control", "max-age=7200", "Vary", "Cookie"))
	to := "/cdn-cgi/image/w=32/"
	at := o.URL + "/media/a%20b.jpg"
	first := h.served(to+at+"?token=canary", imagefile.JPEG, "Cookie", "canary=1", "Authorization", "Bearer canary",
		"Referer", "http://canary.example/", "X-Forwarded-For", "192.0.2.1", "Accept", "image/jpeg")
	if size(t, first.body) != "32x24" {
		t.Errorf("got %s", size(t, first.body))
	}
	for name, want := range map[string]string{
		"Cache-Control": "public, max-age=7200", "Vary": "Accept", "Cf-Resized": "internal=ok/-",
	} {
		if got := first.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	etag := first.Header.Get("ETag")
	if !strings.HasPrefix(etag, `"cf-`) || !strings.HasSuffix(etag, `:v1"`) {
		t.Errorf("ETag is %s", etag)
	}
	// No header of a client reaches the other server, so one client cannot change what another one gets.
	asked := o.requests()
	if len(asked) != 1 || asked[0].URL.RequestURI() != "/media/a%20b.jpg?token=canary" {
		t.Fatalf("got %d requests", len(asked))
	}
	for name, values := range asked[0].Header {
		if strings.Contains(strings.Join(values, ""), "canary") || strings.Contains(strings.Join(values, ""), "192.0.2.1") {
			t.Errorf("the source is sent %s: %q", name, values)
		}
	}
	if via := asked[0].Header.Get("Via"); via != "1.1 image-resizing" {
		t.Errorf("Via is %q", via)
	}
	// One request for all forms of the URL and all options.
	for _, path := range []string{
		to + at + "?token=canary", "/cdn-cgi/image/w=16/" + at + "?token=canary",
		to + url.PathEscape(at+"?token=canary"), to + strings.Replace(at, "://", ":/", 1) + "?token=canary",
	} {
		h.served(path, imagefile.JPEG)
	}
	h.served(to+at+"?token=canary", imagefile.WebP, "Accept", "image/webp")
	if r := h.ask("GET", to+at+"?token=canary", "If-None-Match", etag); r.StatusCode != 304 {
		t.Errorf("got %d", r.StatusCode)
	}
	if n := len(o.requests()); n != 1 {
		t.Errorf("%d requests for one source", n)
	}
	// Revalidated after its time, without new bytes.
	clock.Forward(3 * time.Hour)
	made := h.renditions()
	if r := h.served(to+at+"?token=canary", imagefile.JPEG); r.Header.Get("ETag") != etag {
		t.Errorf("ETag became %s", r.Header.Get("ETag"))
	}
	if asked = o.requests(); len(asked) != 2 || asked[1].Header.Get("If-None-Match") != `W/"v,1"` ||
		h.renditions() != made {
		t.Errorf("%d requests, %d files after %d", len(asked), h.renditions(), made)
	}
	// New bytes are seen after that time.
	o.answers(picture(imagestest.JPEG(t, 2), "ETag", `"v2"`))
	h.served(to+at+"?token=canary", imagefile.JPEG)
	clock.Forward(3 * time.Hour)
	if r := h.served(to+at+"?token=canary", imagefile.JPEG); r.Header.Get("ETag") == etag ||
		r.Header.Get("Cache-Control") != "public, max-age=3600" || len(o.requests()) != 1 {
		t.Errorf("got %s, %q", r.Header.Get("ETag"), r.Header.Get("Cache-Control"))
	}
	h.refused("/cdn-cgi/image/w=0/"+at, 400, 9401)
	h.refused("/cdn-cgi/image/w=9999,fit=contain/"+at+"?token=canary", 400, 9401)
	h.close()
	if log := h.log.String(); strings.Contains(log, "canary") || strings.Contains(log, "media") {
		t.Errorf("the log has the URL of a source:\n%s", log)
	}
}

// TestStaleSource: a source that cannot be revalidated is shown as it was, for a time, and is revalidated afterwards.
// What its server refuses is not shown.
func TestStaleSource(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	h, clock := newRemoteHost(t, o.host(), "127.0.0.0/8")
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	for i, c := range []struct {
		control string
		fails   http.HandlerFunc
		after   time.Duration
		status  int // of the answer
		code    int
	}{
		{"max-age=7200", cut, 3 * time.Hour, 200, 0},
		{"max-age=7200", cut, 25 * time.Hour, 200, 0},
		{"max-age=7200", cut, 27 * time.Hour, 502, 9505},
		{"max-age=7200", status(500), 3 * time.Hour, 502, 9509},
		{"max-age=7200, stale-if-error=7200", status(500), 3 * time.Hour, 200, 0},
		{"max-age=7200, stale-if-error=7200", status(500), 5 * time.Hour, 502, 9509},
		{"max-age=7200, stale-if-error=7200", status(404), 3 * time.Hour, 404, 9404},
		{"max-age=7200, must-revalidate", cut, 3 * time.Hour, 502, 9505},
	} {
		path := fmt.Sprintf("/cdn-cgi/image/w=8/%s/%d", o.URL, i)
		o.answers(picture(imagestest.JPEG(t, 5), "ETag", `"v"`, "Cache-Control", c.control))
		first := h.served(path, imagefile.JPEG)
		clock.Forward(c.after)
		o.answers(c.fails)
		for range 2 { // the failure is cached, and the second answer does not wait for the server
			if c.status != 200 {
				h.refused(path, c.status, c.code)
				continue
			}
			stale := h.served(path, imagefile.JPEG)
			if stale.Header.Get("Cache-Control") != "public, max-age=0, must-revalidate" ||
				stale.Header.Get("ETag") != first.Header.Get("ETag") || !bytes.Equal(stale.body, first.body) {
				t.Errorf("%d: a stale answer has %v", i, stale.Header)
			}
		}
		if n := len(o.requests()); n > 2 { // a connection that ends without an answer is tried again by net/http
			t.Errorf("%d: %d requests", i, n)
		}
	}
	// What its server has refused is not shown later, when the server cannot be reached.
	path := "/cdn-cgi/image/w=8/" + o.URL + "/gone"
	o.answers(picture(imagestest.JPEG(t, 6)))
	h.served(path, imagefile.JPEG)
	clock.Forward(2 * time.Hour)
	o.answers(status(410))
	h.refused(path, 404, 9404)
	if asked := o.requests(); len(asked) != 1 {
		t.Errorf("%d requests", len(asked))
	}
}

// What is for one client, or must not be stored, is requested for every answer and no cache may have it.
func TestPrivateSource(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	h, _ := newRemoteHost(t, o.host(), "127.0.0.0/8")
	for control, want := range map[string]string{
		"private, max-age=3600": "private, no-store", "no-store": "private, no-store",
		"no-cache":                    "public, max-age=0, must-revalidate",
		"no-cache, s-maxage=9000":     "public, max-age=0, must-revalidate",
		"max-age=60, must-revalidate": "public, max-age=60", "max-age=60": "public, max-age=3600",
		"max-age=5, s-maxage=9000": "public, max-age=9000", "s-maxage=9000, max-age=5": "public, max-age=9000",
		"max-age=-1": "public, max-age=3600", "max-age=99999999999999999999": "public, max-age=3600",
		"PRIVATE": "private, no-store", `public="private"`: "public, max-age=3600",
	} {
		o.answers(picture(imagestest.JPEG(t, 3), "Cache-Control", control))
		path := "/cdn-cgi/image/w=8/" + o.URL + "/" + url.PathEscape(control)
		for range 3 {
			if r := h.served(path, imagefile.JPEG); r.Header.Get("Cache-Control") != want {
				t.Errorf("%s: got %q, want %q", control, r.Header.Get("Cache-Control"), want)
			}
		}
		requests := 1
		if strings.Contains(want, "no-store") || strings.Contains(want, "max-age=0") {
			requests = 3
		}
		if n := len(o.requests()); n != requests {
			t.Errorf("%s: %d requests, want %d", control, n, requests)
		}
	}
}

// Many concurrent requests for a new source cause one request to its server.
func TestASourceIsRequestedOnce(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	h, _ := newRemoteHost(t, o.host(), "127.0.0.0/8")
	data := imagestest.JPEG(t, 4)
	o.answers(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(200 * time.Millisecond)
		_, _ = w.Write(data)
	})
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() { h.served(fmt.Sprintf("/cdn-cgi/image/w=%d/%s/x", 10+i%2, o.URL), imagefile.JPEG) })
	}
	wait.Wait()
	if n := len(o.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// Nothing but what the list permits is connected to, in whatever form it is written.
func TestSourcesThatAreNotPermitted(t *testing.T) {
	t.Parallel()
	o, secret := newOrigin(t), newOrigin(t)
	secret.answers(picture(imagestest.JPEG(t, 5)))
	o.answers(picture(imagestest.JPEG(t, 5)))
	h, _ := newRemoteHost(t, o.host()+"/media,own.example", "127.0.0.0/8")
	port := strings.TrimPrefix(o.host(), "127.0.0.1:")
	for source, want := range map[string][2]int{
		o.URL + "/other/a":                                                        {403, 9427},
		o.URL + "/mediabutnot/a":                                                  {403, 9427},
		o.URL + "/media/../other":                                                 {403, 9427},
		o.URL + "/media/%2e%2e/other":                                             {403, 9427},
		o.URL + "/media/%2E./other":                                               {403, 9427},
		o.URL + "/media/..%2fother":                                               {403, 9427},
		o.URL + "/media/..%5cother":                                               {403, 9427},
		o.URL + "/media/%252e%252e/other":                                         {403, 9427},
		o.URL + "/media/..;/other":                                                {403, 9427},
		secret.URL + "/media/a":                                                   {403, 9427},
		"http://127.0.0.1/media/a":                                                {403, 9427},
		"http://localhost:" + port + "/media/a":                                   {403, 9427},
		"http://2130706433:" + port + "/media/a":                                  {403, 9427},
		"http://0x7f.1:" + port + "/media/a":                                      {403, 9427},
		"http://127.1:" + port + "/media/a":                                       {403, 9427},
		"http://[::1]:" + port + "/media/a":                                       {403, 9427},
		"http://[::ffff:127.0.0.1]:" + port + "/media/a":                          {403, 9427},
		"http://[::ffff:7f00:1]:" + port + "/media/a":                             {403, 9427},
		"http://[fe80::1%25lo]:" + port + "/media/a":                              {403, 9406},
		"http://" + o.host() + "@" + secret.host() + "/media/a":                   {403, 9406},
		"http://user:canary@" + o.host() + "/media/a":                             {403, 9406},
		url.PathEscape("http://" + o.host() + "\\@" + secret.host() + "/media/a"): {403, 9406},
		url.PathEscape("http://" + o.host() + "#@" + secret.host() + "/media/a"):  {403, 9406},
		"http://" + o.host() + ".evil.example/media/a":                            {403, 9406},
		"http://evil.example/" + o.URL + "/media/a":                               {403, 9427},
		"http://169.254.169.254/latest/meta-data":                                 {403, 9427},
		"http://own.example/media/a":                                              {523, 9510},
		"ftp://" + o.host() + "/media/a":                                          {403, 9406},
		"file:///etc/passwd":                                                      {403, 9406},
	} {
		r := h.refused("/cdn-cgi/image/w=8/"+source, want[0], want[1])
		if strings.Contains(string(r.body), "canary") {
			t.Errorf("%s: the refusal has a password: %s", source, r.body)
		}
	}
	if len(o.requests())+len(secret.requests()) != 0 {
		t.Errorf("%d and %d requests were sent", len(o.requests()), len(secret.requests()))
	}
	h.served("/cdn-cgi/image/w=8/"+o.URL+"/media/a..b/.c/...", imagefile.JPEG)
	// A listed host that is not public stays behind the guard; without a list every source does.
	guarded, _ := newRemoteHost(t, o.host(), "")
	guarded.refused("/cdn-cgi/image/w=8/"+o.URL+"/media/b", 502, 9518)
	without, _ := newRemoteHost(t, "", "127.0.0.0/8")
	r := without.refused("/cdn-cgi/image/w=8/"+o.URL+"/media/b", 403, 9427)
	if !strings.Contains(string(r.body), "-remote-sources") || len(o.requests()) != 1 {
		t.Errorf("got %q, %d requests", r.body, len(o.requests()))
	}
}

// The list and the guard hold after redirects too.
func TestRedirectsOfSources(t *testing.T) {
	t.Parallel()
	o, secret := newOrigin(t), newOrigin(t)
	h, _ := newRemoteHost(t, o.host()+"/media", "127.0.0.0/8")
	secret.answers(picture(imagestest.JPEG(t, 6)))
	data := imagestest.JPEG(t, 6)
	o.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/media/picture" {
			_, _ = w.Write(data)
			return
		}
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
	})
	for to, want := range map[string][2]int{
		secret.URL + "/media/x": {400, 9420}, "/other/x": {400, 9420}, "/media/../other": {400, 9420},
		"/media/%2e%2e/other": {400, 9420}, "//" + secret.host() + "/media/x": {400, 9420},
		"http://" + o.host() + "@" + secret.host() + "/media/x": {400, 9420},
		"file:///etc/passwd": {400, 9420}, "gopher://127.0.0.1:25/": {400, 9420},
		"http://169.254.169.254/latest/meta-data": {400, 9420}, "http://[::ffff:169.254.169.254]/": {400, 9420},
		"http://own.example/media/x": {400, 9420}, "": {400, 9420}, "http://[": {400, 9420},
		h.url + "/cdn-cgi/image/w=8/" + o.URL + "/media/x": {400, 9420},
	} {
		h.refused("/cdn-cgi/image/w=8/"+o.URL+"/media/x?to="+url.QueryEscape(to), want[0], want[1])
	}
	if n := len(secret.requests()); n != 0 {
		t.Errorf("%d requests to a server that is not listed", n)
	}
	h.served("/cdn-cgi/image/w=8/"+o.URL+"/media/x?to=/media/picture", imagefile.JPEG)
	h.served("/cdn-cgi/image/w=8/"+o.URL+"/media/x?to=http://canary:canary@"+o.host()+"/media/picture", imagefile.JPEG)
	asked := o.requests()
	if login := asked[len(asked)-1].Header.Get("Authorization"); login != "" {
		t.Errorf("a login of a redirect was sent: %s", login)
	}
	h.refused("/cdn-cgi/image/w=8/"+o.URL+"/media/loop?to=/media/loop", 400, 9420) // without its query
	o.answers(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) })
	h.refused("/cdn-cgi/image/w=8/"+o.URL+"/media/around", 400, 9421)
	if n := len(o.requests()); n != 6 {
		t.Errorf("%d requests of a loop", n)
	}
}

// A source that leads back to this server ends at once: its request carries the name of a transformation.
func TestALoopOfSourcesEnds(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	h, _ := newRemoteHost(t, o.host(), "127.0.0.0/8")
	// A proxy in front of this server has another name.
	o.answers(func(w http.ResponseWriter, r *http.Request) {
		request, err := http.NewRequestWithContext(r.Context(), "GET", h.url+r.URL.RequestURI(), nil)
		if err != nil {
			t.Error(err)
			return
		}
		request.Header = r.Header
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
	})
	h.refused("/cdn-cgi/image/w=8/"+o.URL+"/cdn-cgi/image/w=9/"+o.URL+"/x", 502, 9509)
	if n := len(o.requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
}
