package deploy

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// accelerated is a server with -accel=nginx, and nginx with the committed file in front of it.
type accelerated struct {
	t      *testing.T
	server *server
	front  string
	log    string // of nginx: the path of the file or of the URL, and the status
	public string // the log of the committed file
}

func startAccelerated(t *testing.T) *accelerated {
	t.Helper()
	program := findProgram(t, "nginx")
	address, dir := freeAddress(t), t.TempDir()
	s := startServer(t, "", "env", "CALOTYPE_ACCEL=nginx")
	a := &accelerated{t: t, server: s, front: "http://" + address, log: filepath.Join(dir, "access.log"),
		public: filepath.Join(dir, "delivery.log")}
	block := "log_format file '$uri $status';\n" + edited(t, "nginx-accel.conf",
		"listen 80;", "listen "+address+";", "127.0.0.1:8080", s.address, "/var/lib/calotype/", s.data+"/",
		"/var/log/nginx/calotype.delivery.log calotype_delivery;",
		a.log+" file;\naccess_log "+a.public+" calotype_delivery;",
		"/var/log/nginx/calotype.error.log", filepath.Join(dir, "error.log"))
	startDaemon(t, nginxOf(t, program, dir, dir, block), http.DefaultClient, a.front+"/healthz")
	return a
}

// noise makes a JPEG whose renditions are larger than what the server has in memory.
func noise(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for i := range img.Pix {
		img.Pix[i] = uint8(rand.Uint32())
	}
	img.Set(0, 0, color.Black)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// upload uploads a picture to the server itself, and returns the path of its delivery.
func (a *accelerated) upload(content []byte, fields ...string) string {
	a.t.Helper()
	p := createUploadURL(a.t, http.DefaultClient, "http://"+a.server.address, fields...)
	if got := post(a.t, http.DefaultClient, p.UploadURL, content); got.status != http.StatusOK {
		a.t.Fatalf("status %d: %s", got.status, got.body)
	}
	return "/" + accountHash() + "/" + url.PathEscape(p.ID) + "/public"
}

// wantSame requests a path of the server and through nginx, and compares the answers. It returns that of nginx.
func (a *accelerated) wantSame(method, path string, header ...string) answer {
	a.t.Helper()
	direct := do(a.t, http.DefaultClient, method, "http://"+a.server.address+path, nil, header...)
	through := do(a.t, http.DefaultClient, method, a.front+path, nil, header...)
	if through.status != direct.status || !bytes.Equal(through.body, direct.body) {
		a.t.Errorf("%s %s %q: status %d and %d bytes, want %d and %d", method, path, header, through.status,
			len(through.body), direct.status, len(direct.body))
	}
	for _, h := range []http.Header{direct.header, through.header} {
		for _, name := range []string{"Date", "Server", "Connection", "X-Request-Id"} {
			h.Del(name)
		}
	}
	for name := range through.header {
		if _, there := direct.header[name]; !there {
			a.t.Errorf("%s %q: nginx adds %s: %q", method, header, name, through.header[name])
		}
	}
	for name, want := range direct.header {
		if got := through.header[name]; strings.Join(got, "|") != strings.Join(want, "|") {
			a.t.Errorf("%s %q: %s is %q, want %q", method, header, name, got, want)
		}
	}
	return through
}

// logged waits until nginx has logged its answers: it logs each after it has sent it, and before it reads the next
// request.
func (a *accelerated) logged() {
	a.t.Helper()
	if got := do(a.t, http.DefaultClient, "GET", a.front+"/healthz", nil); got.status != http.StatusOK {
		a.t.Fatalf("status %d", got.status)
	}
}

// served returns the number of answers that nginx has sent from a file.
func (a *accelerated) served() int {
	a.t.Helper()
	a.logged()
	return strings.Count(readFile(a.t, a.log), "/calotype-renditions/")
}

// TestAccel: nginx sends the file of a rendition with all headers of the server, and everything else as the server
// does.
func TestAccel(t *testing.T) {
	t.Parallel()
	a := startAccelerated(t)
	path := a.upload(noise(t), "id", "a/b %c")
	first := a.wantSame("GET", path)
	if first.status != http.StatusOK || len(first.body) < 64<<10 || a.served() != 1 {
		t.Fatalf("status %d, %d bytes, %d from files", first.status, len(first.body), a.served())
	}
	etag := first.header.Get("ETag")
	for _, header := range [][]string{
		{"Range", "bytes=100-199"}, {"Range", "bytes=9999999-"},
		{"If-None-Match", etag}, {"If-None-Match", `"x"`}, {"If-Match", `"x"`},
		{"Range", "bytes=0-9", "If-Range", etag}, {"Range", "bytes=0-9", "If-Range", `"x"`},
		{"If-Modified-Since", "Mon, 30 Nov 2099 00:00:00 GMT"},
	} {
		a.wantSame("GET", path, header...)
	}
	a.wantSame("HEAD", path)
	if n := a.served(); n != 1 {
		t.Errorf("%d answers were from files, want that of the whole picture only", n)
	}
	a.wantSame("GET", path, "Accept", "image/webp")
	a.wantSame("GET", strings.ReplaceAll(path, "%2F", "/"))
	if n := a.served(); n != 3 {
		t.Errorf("%d answers were from files, want 3", n)
	}
	small := a.upload(photo(t, 20_000))
	a.wantSame("GET", small)
	a.wantSame("GET", small+"x")
	if n := a.served(); n != 3 {
		t.Error("a picture in memory, or a refusal, was read from a file")
	}
}

// TestAccelNamesNoFile: the server names a file to a proxy that asks for it only, a client reads none by its name, and
// a private picture needs its signature.
func TestAccelNamesNoFile(t *testing.T) {
	t.Parallel()
	a := startAccelerated(t)
	path := a.upload(noise(t))
	direct := "http://" + a.server.address + path
	whole := do(t, http.DefaultClient, "GET", direct, nil)
	named := do(t, http.DefaultClient, "GET", direct, nil, "Calotype-Accel", "nginx")
	file := named.header.Get("X-Accel-Redirect")
	if whole.header.Get("X-Accel-Redirect") != "" || len(named.body) > 0 || named.status != http.StatusOK ||
		!strings.HasPrefix(file, "/calotype-renditions/") {
		t.Fatalf("%v, %v", whole.header, named.header)
	}
	for _, tried := range []string{
		file, "/" + file, "/calotype-renditions/", "/calotype-renditions/..%2Fcalotype.db", "/x/.." + file,
	} {
		if got := a.wantSame("GET", tried); got.status < 400 {
			t.Errorf("%s: status %d, %d bytes", tried, got.status, len(got.body))
		}
	}
	private := a.upload(noise(t), "requireSignedURLs", "true")
	if got := a.wantSame("GET", private); got.status != http.StatusForbidden {
		t.Errorf("a private picture: status %d", got.status)
	}
	b, before := &behind{server: a.server}, a.served()
	if got := a.wantSame("GET", private+"?"+b.sign(t, private, "exp=4102444800")); got.status != http.StatusOK ||
		!strings.HasPrefix(got.header.Get("Cache-Control"), "private") || a.served() != before+1 {
		t.Errorf("a private picture: status %d, %v", got.status, got.header)
	}
}

// TestAccelEvicted: a file that is gone before nginx opens it costs a second request, not the picture.
func TestAccelEvicted(t *testing.T) {
	t.Parallel()
	a := startAccelerated(t)
	path := a.upload(noise(t), "id", "a/b %c")
	want := a.wantSame("GET", path)
	// The server has the file open, and names it.
	files, err := filepath.Glob(filepath.Join(a.server.data, "renditions", "*", "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no renditions: %v", err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := a.wantSame("GET", path); got.status != http.StatusOK || !bytes.Equal(got.body, want.body) {
			t.Errorf("status %d, %d bytes", got.status, len(got.body))
		}
	}
	// A client cannot have the server name the file again.
	got := do(t, http.DefaultClient, "GET", a.front+path+"?sig=canary", nil, "Calotype-Accel", "nginx")
	if got.status != http.StatusOK || !bytes.Equal(got.body, want.body) {
		t.Errorf("with the header of the proxy: status %d, %d bytes", got.status, len(got.body))
	}
	a.logged()
	if log := readFile(t, a.public); !strings.Contains(log, `"GET `+path+`" 200`) || strings.Contains(log, "canary") {
		t.Errorf("the log is %s", log)
	}
}
