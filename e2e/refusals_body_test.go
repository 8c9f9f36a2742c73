package e2e

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSizeRefusals: the limit is exact, and a client that sends all before it reads sees why.
func TestSizeRefusals(t *testing.T) {
	t.Parallel()
	shared := newServer(t)
	padded := func(size int) []byte {
		p := make([]byte, size) // zeros after its end leave a JPEG valid
		copy(p, photo(t, 64, 48, 5))
		return p
	}
	t.Run("at the limit", func(t *testing.T) {
		t.Parallel()
		u := shared.in(t).createUploadURL()
		if a := post(t, u.UploadURL, "a.jpg", padded(10<<20)); a.status != http.StatusOK {
			t.Errorf("status %d\n%s", a.status, a.body)
		}
	})
	t.Run("one byte more", func(t *testing.T) {
		t.Parallel()
		s := shared.in(t)
		u := s.createUploadURL()
		a := post(t, u.UploadURL, "a.jpg", padded(10<<20+1))
		wantRefusal(t, a, http.StatusRequestEntityTooLarge, 5413)
		if text := refusalText(t, a); !strings.Contains(text, "10485760") {
			t.Errorf("the limit is not named: %s", text)
		}
		if d := s.draftOf(u.ID); d.Attempts != 1 || d.LastError == nil || d.LastError.Code != 5413 {
			t.Errorf("the draft says %+v", d)
		}
	})
	t.Run("100 MB", func(t *testing.T) {
		t.Parallel()
		a := sendAllThenRead(t, shared.in(t).createUploadURL().UploadURL, 100<<20)
		wantRefusal(t, a, http.StatusRequestEntityTooLarge, 5413)
	})
	t.Run("100 MB for an unknown ticket", func(t *testing.T) {
		t.Parallel()
		a := sendAllThenRead(t, shared.url+"/upload/x/y?ticket=z", 100<<20)
		wantRefusal(t, a, http.StatusNotFound, 5404)
	})
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		conn := dial(t, shared.url)
		fmt.Fprintf(conn, "POST /upload/x/y?ticket=z HTTP/1.1\r\nHost: h\r\n"+
			"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: %d\r\n\r\n", 1<<40)
		zeros, sent := make([]byte, 1<<20), 0
		for ; sent < 1<<10; sent++ {
			if _, err := conn.Write(zeros); err != nil {
				break
			}
		}
		if sent == 1<<10 {
			t.Error("the server takes a GiB that it does not want")
		}
	})
}

// sendAllThenRead posts a form with a file of size bytes, and only then reads.
func sendAllThenRead(t *testing.T, uploadURL string, size int) answer {
	t.Helper()
	conn := dial(t, uploadURL)
	before, after := formFrame()
	sendHead(t, conn, uploadURL, len(before)+size+len(after))
	_, err := io.WriteString(conn, before)
	chunk := make([]byte, 1<<20)
	copy(chunk, photo(t, 64, 48, 6))
	for sent := 0; sent < size && err == nil; sent += len(chunk) {
		_, err = conn.Write(chunk)
	}
	if err == nil {
		_, err = io.WriteString(conn, after)
	}
	if err != nil {
		t.Fatalf("the server does not take the whole body: %v", err)
	}
	return readAnswer(t, conn)
}

// TestExpectContinue: a client that asks first is refused before it sends its picture.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	conn := dial(t, s.url)
	sendHead(t, conn, withTicket(t, u.UploadURL, "unknown"), 5<<20, "Expect: 100-continue")
	wantRefusal(t, readAnswer(t, conn), http.StatusNotFound, 5404)

	conn = dial(t, s.url)
	before, after := formFrame()
	body := before + string(photo(t, 64, 48, 7)) + after
	sendHead(t, conn, u.UploadURL, len(body), "Expect: 100-continue")
	if a := readAnswer(t, conn); a.status != http.StatusContinue {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, conn); a.status != http.StatusOK {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
}

// TestLimitRefusals: what is too large to decode is refused with both figures.
func TestLimitRefusals(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	wide := resized(t, photo(t, 64, 48, 8), 12_001, 100)
	many := resized(t, photo(t, 64, 48, 8), 11_000, 10_000)
	tests := map[string]struct {
		picture           []byte
		measured, allowed string
	}{
		"a side":    {wide, "12001", "12000"},
		"pixels":    {many, "110000000", "100000000"},
		"animation": {canvas(t, 10_000, 6_000, 2), "120000000", "100000000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := post(t, s.in(t).createUploadURL().UploadURL, "a.jpg", tt.picture)
			wantRefusal(t, a, http.StatusUnprocessableEntity, 5443)
			text := refusalText(t, a)
			if !strings.Contains(text, tt.measured) || !strings.Contains(text, tt.allowed) {
				t.Errorf("%q names not both %s and %s", text, tt.measured, tt.allowed)
			}
		})
	}
}

// resized returns a JPEG whose header says another size.
func resized(t *testing.T, jpeg []byte, width, height int) []byte {
	t.Helper()
	at := bytes.Index(jpeg, []byte{0xff, 0xc0, 0, 17, 8})
	if at < 0 {
		t.Fatal("the JPEG has no baseline frame")
	}
	out := bytes.Clone(jpeg)
	copy(out[at+5:], []byte{
		byte(height >> 8), byte(height), byte(width >> 8), byte(width),
	})
	return out
}

// canvas returns a GIF of a large canvas and frames of one pixel.
func canvas(t *testing.T, width, height, frames int) []byte {
	t.Helper()
	palette := color.Palette{color.Black, color.White}
	animation := &gif.GIF{Config: image.Config{
		Width: width, Height: height, ColorModel: palette,
	}}
	for range frames {
		animation.Image = append(animation.Image, image.NewPaletted(image.Rect(0, 0, 1, 1), palette))
		animation.Delay = append(animation.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, animation); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestDiskRefusal: near the reserve nothing more is taken, and the database still works.
func TestDiskRefusal(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	u := s.createUploadURL()
	s.stop()
	path := strings.TrimPrefix(u.UploadURL, s.url)
	s.args = append(s.args, "-disk-reserve", "4096TiB")
	s.startTo(http.StatusServiceUnavailable)
	if a := s.api("POST", "images/v2/direct_upload", nil); a.status != http.StatusInsufficientStorage {
		t.Errorf("a one-time URL on a full disk: %d %s", a.status, a.body)
	}
	wantRefusal(t, post(t, s.url+path, "a.jpg", photo(t, 64, 48, 9)),
		http.StatusInsufficientStorage, 5540)
	if n := s.draftOf(u.ID).Attempts; n != 0 {
		t.Errorf("a full disk counts as %d refusals", n)
	}
}

// TestBusyRefusal: beyond its share of the spool a client gets a Retry-After.
func TestBusyRefusal(t *testing.T) {
	t.Parallel()
	const most = 64 << 10
	s := newServer(t, "-spool-bytes", "256KiB", "-max-upload-bytes", "64KiB")
	// Two URLs have their quarters of the spool, and the account its half.
	before, _ := formFrame()
	var held []net.Conn
	for range 2 {
		first := s.createUploadURL()
		conn := dial(t, s.url)
		sendHead(t, conn, first.UploadURL, len(before)+2*most)
		if _, err := io.WriteString(conn, before+strings.Repeat("x", most)); err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	waitFor(t, func() bool {
		sizes := s.spooled()
		return len(sizes) == 2 && sizes[0] == most && sizes[1] == most
	})
	u := s.createUploadURL()
	a := post(t, u.UploadURL, "a.jpg", make([]byte, 10<<10))
	wantRefusal(t, a, http.StatusServiceUnavailable, 5503)
	if a.header.Get("Retry-After") == "" {
		t.Error("Retry-After is not said")
	}
	if !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "Retry-After") {
		t.Error("no page may read Retry-After")
	}
	for _, conn := range held {
		conn.Close()
	}
	waitFor(t, func() bool { return len(s.spooled()) == 0 })
	if a := post(t, u.UploadURL, "a.jpg", photo(t, 64, 48, 9)); a.status != http.StatusOK {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
}

// waitFor waits until something outside of this process is so.
func waitFor(t *testing.T, so func() bool) {
	t.Helper()
	waitAtMost(t, 30*time.Second, so)
}

// waitAtMost waits until so returns true, and fails the test after a time.
func waitAtMost(t *testing.T, most time.Duration, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(most); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", most)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestWaits runs those that wait for half a minute side by side, and in one place of the tests that
// may run at once.
func TestWaits(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	for name, test := range map[string]func(*testing.T){
		"slow body": slowBody, "busy ticket": busyTicket, "lock": lock,
		"graceful shutdown": gracefulShutdown,
	} {
		all.Go(func() { t.Run(name, test) })
	}
	all.Wait()
}

// slowBody really waits for the 30 seconds after which a body that stands still is given up.
func slowBody(t *testing.T) {
	s := newServer(t)
	u := s.createUploadURL()
	before, _ := formFrame()
	conn := dial(t, s.url)
	sendHead(t, conn, u.UploadURL, 1<<20)
	if _, err := io.WriteString(conn, before); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, readAnswer(t, conn), http.StatusRequestTimeout, 5408)
	if n := s.draftOf(u.ID).Attempts; n != 0 {
		t.Errorf("a time-out counts as %d refusals", n)
	}
}

// busyTicket: while four bodies for one ticket come, slowly but steadily, a fifth waits
// unread, and is refused after 30 seconds.
func busyTicket(t *testing.T) {
	s := newServer(t)
	u := s.createUploadURL()
	before, after := formFrame()
	const first, step = 160 << 10, 32 << 10 // in time, and above the least rate
	picture := string(photo(t, 3200, 2400, 10))
	form := before + picture + after
	length := len(form)
	var slow []net.Conn
	for range 4 {
		conn := dial(t, s.url)
		sendHead(t, conn, u.UploadURL, length)
		slow = append(slow, conn)
	}
	steady := func(part string) {
		for _, conn := range slow {
			if _, err := io.WriteString(conn, part); err != nil {
				t.Errorf("a slow body was given up: %v", err)
			}
		}
	}
	steady(form[:first])
	s.awaitSpool(4)
	fifth := dial(t, s.url)
	sendHead(t, fifth, u.UploadURL, length)
	if _, err := io.WriteString(fifth, form[:first]); err != nil {
		t.Fatal(err)
	}
	refused := make(chan answer, 1)
	go func() {
		defer close(refused)
		if a, err := tryReadAnswer(fifth); err == nil {
			refused <- a
		}
	}()
	sent := first
	for waiting := true; waiting; {
		select {
		case a, ok := <-refused:
			if !ok {
				t.Fatal("the fifth got no answer")
			}
			wantRefusal(t, a, http.StatusTooManyRequests, 5429)
			if a.header.Get("Retry-After") == "" {
				t.Error("Retry-After is not said")
			}
			waiting = false
		case <-time.After(2 * time.Second):
			steady(form[sent : sent+step])
			sent += step
		}
	}
	// The first of the four that is complete wins.
	if _, err := io.WriteString(slow[0], form[sent:]); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, slow[0]); a.status != http.StatusOK {
		t.Errorf("status %d\n%s", a.status, a.body)
	}
}

// TestPathsOfIDs posts to the URLs of ids that look like paths and like escapes.
func TestPathsOfIDs(t *testing.T) {
	t.Parallel()
	shared, good := newServer(t), photo(t, 64, 48, 11)
	for _, id := range []string{
		"a/b/c", "ä ö/ü", "100%", "50%2Foff", "%2e%2e/x", "日本/写真", "a+b&c=d?e#f", "x;y,z",
		"user@example.com/1.jpg", `quote"and'back\slash`, "ends.with.dots...", "~tilde|pipe",
	} {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			s := shared.in(t)
			u := s.createUploadURL("id", id)
			if u.ID != id {
				t.Fatalf("the id is %q", u.ID)
			}
			a := post(t, u.UploadURL, "a.jpg", good)
			var p picture
			if err := unmarshalResult(a, &p); err != nil || p.ID != id || len(p.Variants) == 0 {
				t.Fatalf("status %d, %v\n%s", a.status, err, a.body)
			}
			if a := do(t, "GET", p.Variants[0], nil); a.status != http.StatusOK {
				t.Errorf("%s: status %d %s", p.Variants[0], a.status, a.body)
			}
		})
	}
}

// TestIgnoredFields: only the file is read; nothing is fetched, and no other field says anything.
func TestIgnoredFields(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var asked atomic.Int32
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			asked.Add(1)
			conn.Close()
		}
	}()
	s := newServer(t)
	u := s.createUploadURL("metadata", `{"kept":true}`)
	lure := "http://" + listener.Addr().String() + "/a.jpg"
	body, kind := form(t, "url", lure, "id", "other", "metadata", `{"changed":true}`,
		"requireSignedURLs", "true", "creator", "mallory", "redirect", lure, "policy", "{}")
	fields := bytes.TrimSuffix(body.Bytes(), []byte("--"+boundaryOf(kind)+"--\r\n"))
	alone := do(t, "POST", u.UploadURL, bytes.NewReader(body.Bytes()), "Content-Type", kind)
	wantRefusal(t, alone, http.StatusBadRequest, 5400)
	whole := append(bytes.Clone(fields), fileBody(t, photo(t, 64, 48, 12), kind)...)
	a := do(t, "POST", u.UploadURL+"&url="+lure, bytes.NewReader(whole), "Content-Type", kind)
	if a.status != http.StatusOK {
		t.Fatalf("status %d\n%s", a.status, a.body)
	}
	p, ok := s.image(u.ID)
	if !ok || p.Draft || string(compact(t, p.Meta)) != `{"kept":true}` || p.RequireSignedURLs {
		t.Errorf("the form changed the image: %+v", p)
	}
	if asked.Load() != 0 {
		t.Errorf("%d connections to the URL in the form", asked.Load())
	}
}
