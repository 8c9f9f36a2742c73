package delivery

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// What is written in one go arrives whole and in order when the client takes it in small bites, so
// that the connection is full again and again.
func TestAWriteInOneGoWaitsForTheClient(t *testing.T) {
	t.Parallel()
	data, _ := noise(t, 8<<20) // more than the buffers of a connection hold
	for _, head := range []int{1, firstSize} {
		c, client := tcpPair(t)
		written := make(chan error, 1)
		go func() {
			c.gather()
			n, err := c.Write(data[:head])
			if err == nil && n == head {
				n, err = c.Write(data[head:])
			}
			if err == nil && n != len(data)-head {
				err = io.ErrShortWrite
			}
			written <- errors.Join(err, c.send(), c.Close())
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
	c, _ := tcpPair(t)
	if err := c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	c.gather()
	if _, err := c.Write([]byte("head")); err != nil {
		t.Fatal(err)
	}
	n, err := c.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n <= 0 || n >= len(data) {
		t.Errorf("wrote %d of %d bytes, %v", n, len(data), err)
	}
}

// Reads end as those of package net do: net/http tells by it what to do.
func TestHowReadsEnd(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct {
		end  func(c *conn, client net.Conn) error
		want func(err error) bool
	}{
		"closed by the client": {
			func(_ *conn, client net.Conn) error { return client.Close() },
			func(err error) bool { return err == io.EOF },
		},
		"reset by the client": {
			func(_ *conn, client net.Conn) error {
				return errors.Join(client.(*net.TCPConn).SetLinger(0), client.Close())
			},
			func(err error) bool { return isRead(err) && !errors.Is(err, net.ErrClosed) },
		},
		"closed here": {
			func(c *conn, _ net.Conn) error { return c.Close() },
			func(err error) bool { return isRead(err) && errors.Is(err, net.ErrClosed) },
		},
		"deadline": {
			func(c *conn, _ net.Conn) error { return c.SetReadDeadline(time.Unix(1, 0)) },
			func(err error) bool {
				var timeout net.Error
				return isRead(err) && errors.As(err, &timeout) && timeout.Timeout()
			},
		},
	} {
		c, client := tcpPair(t)
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if n, err := c.Read(b); n != 1 || err != nil || b[0] != 'x' {
			t.Errorf("%s: read %d bytes, %v", name, n, err)
		}
		ended := make(chan error, 1)
		go func() {
			_, err := c.Read(b)
			ended <- err
		}()
		if err := one.end(c, client); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; !one.want(err) {
			t.Errorf("%s: the read ended with %#v", name, err)
		}
	}
}

func isRead(err error) bool {
	op, ok := err.(*net.OpError)
	return ok && op.Op == "read"
}
