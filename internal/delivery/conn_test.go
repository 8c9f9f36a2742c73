package delivery

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/httpframe"
	"calotype/internal/limit"
	"calotype/internal/renditions"
)

// serving is a server on the listener of the delivery that answers with renditions, through an
// answer, which it hands to the channel when the request is over.
func serving(
	t *testing.T, pace limit.Pace, of func(path string) renditions.Rendition,
) (string, chan *httpframe.Response) {
	t.Helper()
	over := make(chan *httpframe.Response, 1000)
	server := httptest.NewUnstartedServer(http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			a := newResponse(w, r, pace)
			defer func() { over <- a }()
			w.Header().Set("Content-Type", "image/png")
			if !serveWhole(a, r, of(r.URL.Path)) {
				t.Errorf("%s %s was not served", r.Method, r.URL.Path)
			}
			if a.SendErr != nil {
				panic(http.ErrAbortHandler)
			}
		}))
	connections := NewConnections(server.Listener, 100, nil)
	server.Listener = connections
	server.Config.ConnContext, server.Config.ConnState = connections.ConnContext, connections.ConnState
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, over
}

type noClose struct{ io.ReadSeeker }

func (noClose) Close() error { return nil }

func bytesRendition(data []byte) renditions.Rendition {
	content := noClose{bytes.NewReader(data)}
	return renditions.Rendition{Size: int64(len(data)), Bytes: data, Content: content}
}

func fileRendition(file *os.File, size int64) renditions.Rendition {
	content := noClose{io.NewSectionReader(file, 0, size)}
	return renditions.Rendition{Size: size, File: file, Content: content}
}

// Many clients at once get, over connections that stay open, pictures of all sizes around the
// buffers on their way, out of memory and out of one open file.
func TestWholePicturesOnOneConnection(t *testing.T) {
	t.Parallel()
	const largest = 3 << 20
	data, file := noise(t, largest)
	sizes := map[string]int{
		"/0": 0, "/1": 1, "/2": bufferSize - 1, "/3": bufferSize, "/4": 2*bufferSize - 1,
		"/5": 2 * bufferSize, "/6": httpframe.ChunkSize, "/7": httpframe.ChunkSize + 1, "/8": 3*httpframe.ChunkSize + 5, "/9": largest,
	}
	url, over := serving(t, limit.Readers, func(path string) renditions.Rendition {
		size := sizes[path[2:]]
		if path[1] == 'm' {
			return bytesRendition(data[:size:size])
		}
		return fileRendition(file, int64(size))
	})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for path, size := range sizes {
				for _, kind := range []string{"/m", "/f"} {
					response, err := client.Get(url + kind + path)
					if err != nil {
						t.Error(err)
						continue
					}
					body, err := io.ReadAll(response.Body)
					response.Body.Close()
					if err != nil || !bytes.Equal(body, data[:size]) ||
						response.ContentLength != int64(size) ||
						response.Header.Get("Accept-Ranges") != "bytes" {
						t.Errorf("%s%s: got %d of %d bytes, %v", kind, path, len(body), size, err)
					}
				}
			}
		})
	}
	clients.Wait()
	for range 4 * 2 * len(sizes) {
		if a := <-over; a.SendErr != nil || a.Status != 200 {
			t.Errorf("the answer says %d, %v", a.Status, a.SendErr)
		}
	}
}

// A file that is shorter than it should be, or a client that goes or stands still, ends the
// connection, and the answer says so.
func TestWhatEndsTheSendingOfAFile(t *testing.T) {
	t.Parallel()
	_, file := noise(t, 32<<20) // more than the buffers of a connection hold
	for name, c := range map[string]struct {
		size int64
		pace limit.Pace
		want error
	}{
		"short":        {33 << 20, limit.Readers, io.ErrUnexpectedEOF},
		"stands still": {32 << 20, shortPace, os.ErrDeadlineExceeded},
		"gone":         {32 << 20, limit.Readers, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, over := serving(t, c.pace, func(string) renditions.Rendition {
				return fileRendition(file, c.size)
			})
			client, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			if _, err := io.WriteString(client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			switch name {
			case "short":
				if n, err := io.Copy(io.Discard, client); err != nil || n < 32<<20 {
					t.Errorf("got %d bytes, %v", n, err)
				}
			case "gone":
				client.Close()
			}
			if a := <-over; a.SendErr == nil || c.want != nil && !errors.Is(a.SendErr, c.want) {
				t.Errorf("the answer ended after %d bytes with %v", a.Bytes, a.SendErr)
			}
		})
	}
}

// tcpPair returns the two ends of a connection, the first of them as the delivery has it.
func tcpPair(t *testing.T) (*conn, net.Conn) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := NewConnections(plain, 1, nil)
	defer listener.Close()
	client, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); served.Close() })
	return served.(*conn), client
}

// What is written in one go arrives whole and in order when the client takes it in small bites, so
// that the connection is full again and again.
func TestAWriteInOneGoWaitsForTheClient(t *testing.T) {
	t.Parallel()
	data, _ := noise(t, 8<<20) // more than the buffers of a connection hold
	for _, head := range []int{1, bufferSize} {
		c, client := tcpPair(t)
		written := make(chan error, 1)
		go func() {
			c.cork()
			n, err := c.Write(data[:head])
			if err == nil && n == head {
				n, err = c.Write(data[head:])
			}
			if err == nil && n != len(data)-head {
				err = io.ErrShortWrite
			}
			written <- errors.Join(err, c.uncork(), c.Close())
		}()
		var got bytes.Buffer
		bite := make([]byte, 100_000)
		for {
			n, err := client.Read(bite)
			got.Write(bite[:n])
			if err != nil {
				break
			}
		}
		if err := <-written; err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%d: other bytes arrived, %d of %d", head, got.Len(), len(data))
		}
	}
}

// A client that takes nothing ends the write at its deadline, and what it has is counted.
func TestAWriteInOneGoEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	data, _ := noise(t, 32<<20)
	c, client := tcpPair(t)
	c.cork()
	if _, err := c.Write([]byte("head")); err != nil {
		t.Fatal(err)
	}
	go func() {
		if _, err := io.ReadFull(client, make([]byte, 100)); err != nil {
			t.Error(err)
		}
		if err := c.SetWriteDeadline(time.Now()); err != nil {
			t.Error(err)
		}
	}()
	n, err := c.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n <= 0 || n >= len(data) {
		t.Errorf("wrote %d of %d bytes, %v", n, len(data), err)
	}
}

// What waits goes out in order, whatever comes behind it, and before the connection is used on.
func TestAGatheredWriteGoesFirst(t *testing.T) {
	t.Parallel()
	_, file := noise(t, 10)
	for name, behind := range map[string]func(c *conn) error{
		"a write": func(c *conn) error { _, err := c.Write([]byte("rest")); return err },
		"nothing": func(*conn) error { return nil },
		"a reader": func(c *conn) error {
			_, err := c.ReadFrom(strings.NewReader("rest"))
			return err
		},
		"a file": func(c *conn) error {
			_, err := c.ReadFrom(&filePart{file: file, size: 4})
			return err
		},
		"a large write": func(c *conn) error { _, err := c.Write(make([]byte, 1<<16)); return err },
	} {
		c, client := tcpPair(t)
		c.cork()
		n, err := c.Write([]byte("head"))
		if n != 4 || err != nil {
			t.Fatalf("%s: %d, %v", name, n, err)
		}
		if err := errors.Join(behind(c), c.uncork()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Write([]byte("end")); err != nil { // no longer buffered
			t.Error(err)
		}
		c.Close()
		got, err := io.ReadAll(client)
		if err != nil || !bytes.HasPrefix(got, []byte("head")) || !bytes.HasSuffix(got, []byte("end")) {
			t.Errorf("%s: %.20q..., %v", name, got, err)
		}
	}
}
