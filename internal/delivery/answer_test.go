package delivery

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/httpframe"
	"calotype/internal/limit"
	"calotype/internal/renditions"
)

// noise returns n bytes that do not repeat, and a file that holds them.
func noise(t *testing.T, n int) ([]byte, *os.File) {
	t.Helper()
	data := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	if _, err := source.Read(data); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "noise")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return data, file
}

// newResponse returns the response of a request.
func newResponse(w http.ResponseWriter, r *http.Request, pace limit.Pace) *httpframe.Response {
	made := httpframe.New(w, r)
	made.Pace = pace
	return made
}

// sending is a server on loopback that answers with content through an answer, which it hands to
// the channel when the request is over.
func sending(t *testing.T, pace limit.Pace, open func() io.ReadSeeker) (string, chan *httpframe.Response) {
	t.Helper()
	over := make(chan *httpframe.Response, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := newResponse(w, r, pace)
		defer func() { over <- a }()
		w.Header().Set("Content-Type", "image/png")
		w.Header().Set("ETag", `"tag"`)
		if err := serveContent(a, r, open()); err != nil {
			newQuiet().refuse(a, r, err, &logLine{})
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, over
}

func get(t *testing.T, method, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

func TestContentIsSentWhole(t *testing.T) {
	t.Parallel()
	const size = 5*httpframe.ChunkSize + 1234
	data, file := noise(t, size)
	for name, open := range map[string]func() io.ReadSeeker{
		"file":   func() io.ReadSeeker { return io.NewSectionReader(file, 0, size) },
		"memory": func() io.ReadSeeker { return bytes.NewReader(data) },
	} {
		url, over := sending(t, limit.Readers, open)
		for _, c := range []struct {
			method, ranges string
			status         int
			want           []byte
		}{
			{"GET", "", 200, data},
			{"HEAD", "", 200, nil},
			{"GET", "bytes=0-", 206, data},
			{"GET", "bytes=100-299", 206, data[100:300]},
			{"GET", fmt.Sprintf("bytes=%d-", httpframe.ChunkSize), 206, data[httpframe.ChunkSize:]},
			{"GET", "bytes=-7", 206, data[size-7:]},
			{"GET", "pages=1", 416, nil},
		} {
			response, body := get(t, c.method, url, "Range", c.ranges)
			what := fmt.Sprintf("%s %s %s", name, c.method, c.ranges)
			a := <-over
			if a.SendErr != nil || a.Status != c.status {
				t.Errorf("%s: the answer says %d, %v", what, a.Status, a.SendErr)
			}
			if c.status == 416 {
				if !strings.HasPrefix(string(body), "ERROR 9424: ") {
					t.Errorf("%s: got %q", what, body)
				}
				continue
			}
			if response.StatusCode != c.status || !bytes.Equal(body, c.want) ||
				a.Bytes != int64(len(c.want)) {
				t.Errorf("%s: got %d, %d bytes (the answer says %d)", what, response.StatusCode,
					len(body), a.Bytes)
			}
			if c.method == "HEAD" && response.ContentLength != size {
				t.Errorf("%s: Content-Length is %d", what, response.ContentLength)
			}
		}
	}
}

func TestRefusalsOfNetHTTPAreInOurForm(t *testing.T) {
	t.Parallel()
	data, _ := noise(t, 1000)
	url, over := sending(t, limit.Readers, func() io.ReadSeeker { return bytes.NewReader(data) })
	for _, c := range []struct {
		name, value string
		status      int
	}{{"Range", "bytes=1000-", 416}, {"If-Match", `"other"`, 412}} {
		for _, method := range []string{"GET", "HEAD"} {
			r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set(c.name, c.value)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if c.status == 416 && response.Header.Get("Content-Range") != "bytes */1000" {
				t.Errorf("Content-Range is %q", response.Header.Get("Content-Range"))
			}
			response.Header.Set("Access-Control-Allow-Origin", "*") // not of this test
			response.Header.Set("X-Content-Type-Options", "nosniff")
			checkRefusal(t, method+" "+c.name, response, c.status, codeRequest)
			response.Body.Close()
			<-over
		}
	}
}

type broken struct{ io.ReadSeeker }

func (broken) Seek(int64, int) (int64, error) { return 0, errors.New("canary") }

func TestContentThatCannotBeRead(t *testing.T) {
	t.Parallel()
	url, _ := sending(t, limit.Readers, func() io.ReadSeeker { return broken{strings.NewReader("")} })
	response, body := get(t, "GET", url)
	if response.StatusCode != 500 || !strings.HasPrefix(string(body), "ERROR 9523: ") {
		t.Errorf("got %d %q", response.StatusCode, body)
	}
}

// shortPace is that of a server with little patience.
var shortPace = limit.Pace{Piece: 100 * time.Millisecond, Grace: time.Minute, Rate: 32 << 10}

// A client that reads, but slower than the pace, is cut off, though each piece goes out in time. That the
// server ends the request with this error is the test: the client would read on for minutes.
func TestATricklingReaderIsCutOff(t *testing.T) {
	t.Parallel()
	data, file := noise(t, 32<<20)
	pace := limit.Pace{Piece: time.Minute, Grace: 200 * time.Millisecond, Rate: 64 << 20}
	content, contentOver := sending(t, pace, func() io.ReadSeeker { return bytes.NewReader(data) })
	whole, wholeOver := serving(t, pace, func(path string) renditions.Rendition {
		if path == "/file" {
			return fileRendition(file, 32<<20)
		}
		return bytesRendition(data)
	})
	for name, c := range map[string]struct {
		url  string
		over chan *httpframe.Response
	}{
		"content": {content, contentOver}, "whole, memory": {whole, wholeOver},
		"whole, file": {whole + "/file", wholeOver},
	} {
		host, path, _ := strings.Cut(strings.TrimPrefix(c.url, "http://"), "/")
		client, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := fmt.Fprintf(client, "GET /%s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for buffer := make([]byte, 4<<10); ; time.Sleep(10 * time.Millisecond) {
				if _, err := client.Read(buffer); err != nil {
					return
				}
			}
		}()
		if a := <-c.over; !errors.Is(a.SendErr, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the answer ended after %d bytes with %v", name, a.Bytes, a.SendErr)
		}
		client.Close()
		<-ended
	}
}

// A client that reads nothing must not hold the file for ever. That the server ends the request is
// the test: without a deadline this would hang.
func TestAReaderThatStandsStillIsCutOff(t *testing.T) {
	t.Parallel()
	_, file := noise(t, 32<<20) // more than the buffers of a connection hold
	for name, content := range map[string]io.ReadSeeker{
		"sendfile": file, "copy": io.NewSectionReader(file, 0, 32<<20),
	} {
		url, over := sending(t, shortPace, func() io.ReadSeeker { return content })
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if a := <-over; !errors.Is(a.SendErr, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the answer ended after %d bytes with %v", name, a.Bytes, a.SendErr)
		}
	}
}

// A reader that is slow, but reads, is not cut off: each piece of the body gets its own deadline.
func TestEachPieceHasItsOwnDeadline(t *testing.T) {
	t.Parallel()
	data, file := noise(t, 3*httpframe.ChunkSize+1)
	for name, send := range map[string]func(*httpframe.Response) (int64, error){
		"Write":    func(a *httpframe.Response) (int64, error) { n, err := a.Write(data); return int64(n), err },
		"ReadFrom": func(a *httpframe.Response) (int64, error) { return a.ReadFrom(file) },
	} {
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		n, err := send(newResponse(w, httptest.NewRequest("GET", "/", nil), limit.Readers))
		if err != nil || n != int64(len(data)) || !bytes.Equal(w.Body.Bytes(), data) {
			t.Errorf("%s: sent %d bytes, %v", name, n, err)
		}
		if w.set < 4 || w.most > httpframe.ChunkSize {
			t.Errorf("%s: %d deadlines, %d bytes under one of them", name, w.set, w.most)
		}
	}
}

// deadlines counts the bytes that are written under one deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	set, under, most int
}

func (w *deadlines) SetWriteDeadline(time.Time) error {
	w.set++
	w.under = 0
	return nil
}

func (w *deadlines) Write(p []byte) (int, error) {
	w.under += len(p)
	w.most = max(w.most, w.under)
	return w.ResponseRecorder.Write(p)
}

// kernel is a ResponseWriter that takes what net could hand to sendfile.
type kernel struct {
	*httptest.ResponseRecorder
	readers []io.Reader
}

func (k *kernel) ReadFrom(src io.Reader) (int64, error) {
	if limited, ok := src.(*io.LimitedReader); ok {
		k.readers = append(k.readers, limited.R)
	}
	return io.Copy(k.ResponseRecorder, src)
}

func TestSendfileStaysPossible(t *testing.T) {
	t.Parallel()
	const size = 3*httpframe.ChunkSize + 1
	data, file := noise(t, size)
	k := &kernel{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest("GET", "/", nil)
	a := newResponse(k, r, limit.Readers)
	if err := serveContent(a, r, file); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.Body.Bytes(), data) || a.Bytes != size || a.SendErr != nil {
		t.Fatalf("got %d bytes, counted %d, %v", k.Body.Len(), a.Bytes, a.SendErr)
	}
	if len(k.readers) != 4 {
		t.Errorf("%d pieces", len(k.readers))
	}
	for _, r := range k.readers {
		if r != io.Reader(file) {
			t.Errorf("a piece was handed on as %T, where net looks for the file", r)
		}
	}
}
