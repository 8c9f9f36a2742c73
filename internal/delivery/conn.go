package delivery

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// Listen returns a listener that lets at most so many connections be open at once; more wait in
// the kernel. Its connections stay what net/http can send files by sendfile on, and can send a
// header and the picture behind it in one go: see conn. listener must be one of TCP.
func Listen(listener net.Listener, most int) net.Listener {
	return &limited{Listener: listener, places: make(chan struct{}, most), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	accepted, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	leave := sync.OnceFunc(func() { <-l.places })
	if plain, ok := accepted.(*net.TCPConn); ok {
		c := &conn{TCPConn: plain, leave: leave}
		if c.socket.open(plain) == nil {
			return c, nil
		}
	}
	return &place{Conn: accepted, leave: leave}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A place is a connection that is not of TCP, as in some tests.
type place struct {
	net.Conn
	leave func()
}

func (c *place) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// A conn is a client's connection. net/http writes an answer that is larger than its buffer in
// pieces: what fits with the header, then the rest. Each write costs the system and the client as
// much as a whole small picture, so between gather and send the first write waits for the second.
// Only the goroutine that answers a request writes.
type conn struct {
	*net.TCPConn
	leave     func()
	socket    socket
	gathering bool
	first     *[]byte // nil when there is none
}

// firstSize is the buffer of net/http, in bytes.
const firstSize = 4 << 10

// firsts are buffers for writes that wait.
var firsts = sync.Pool{New: func() any { b := make([]byte, 0, firstSize); return &b }}

func (c *conn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

// gather keeps the next write until the one after it, or until send.
func (c *conn) gather() { c.gathering = true }

// send sends a write that still waits.
func (c *conn) send() error {
	c.gathering = false
	if c.first == nil {
		return nil
	}
	_, err := c.together(nil)
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	switch {
	case c.gathering && c.first == nil && len(p) <= firstSize:
		c.first = firsts.Get().(*[]byte)
		*c.first = append((*c.first)[:0], p...)
		return len(p), nil
	case c.first != nil:
		return c.together(p)
	}
	return c.TCPConn.Write(p)
}

// together sends the write that waits and p in one go, and returns how much of p went out.
func (c *conn) together(p []byte) (int, error) {
	first := c.first
	c.gathering, c.first = false, nil
	before := len(*first)
	n, err := c.writeBoth(*first, p)
	firsts.Put(first)
	return max(0, n-before), err
}

// A filePart is a part of a file that many read at once. As a reader it is nothing but a name for
// conn.ReadFrom, to which net/http hands it on.
type filePart struct {
	file         *os.File
	offset, size int64
	extend       func(sent int64) error // sets the next deadline; nil on a file that is sent at once
}

func (p *filePart) Read([]byte) (int, error) {
	return 0, errors.New("delivery: a part of a file must be sent by its connection")
}

// ReadFrom sends a file by sendfile.
func (c *conn) ReadFrom(src io.Reader) (int64, error) {
	if part, ok := src.(*filePart); ok {
		return c.sendPart(part)
	}
	if err := c.send(); err != nil {
		return 0, err
	}
	return c.TCPConn.ReadFrom(src)
}

type connKey struct{}

// ConnContext is the http.Server's: it lets the delivery find its connection.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if ours, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, ours)
	}
	return ctx
}
