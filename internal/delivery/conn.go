package delivery

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
)

// newConn returns an accepted connection as the delivery uses it.
func newConn(accepted net.Conn, s *connSlot) net.Conn {
	if plain, ok := accepted.(*net.TCPConn); ok {
		return &conn{TCPConn: plain, slot: s}
	}
	return &otherConn{Conn: accepted, slot: s}
}

// An otherConn is a connection that is not of TCP, as in some tests.
type otherConn struct {
	net.Conn
	slot *connSlot
}

// Close closes the connection first: its slot is for one that opens a file.
func (c *otherConn) Close() error {
	defer c.slot.close()
	return c.Conn.Close()
}

// A conn is a client's connection. net/http writes an answer that is larger than its buffer in
// pieces: what fits with the header, then the rest. Each write costs the system and the client as
// much as a whole small picture, so between cork and uncork the first write is buffered until the second.
// Only the goroutine that answers a request writes.
type conn struct {
	*net.TCPConn
	slot     *connSlot
	corked   bool
	buffered *[]byte // nil without a buffered write
}

// bufferSize is the size of net/http's buffer, in bytes.
const bufferSize = 4 << 10

// headerPool has the buffers of corked connections.
var headerPool = sync.Pool{New: func() any { b := make([]byte, 0, bufferSize); return &b }}

// Close closes the connection first: its slot is for one that opens a file.
func (c *conn) Close() error {
	defer c.slot.close()
	return c.TCPConn.Close()
}

// cork buffers the next write until the one after it, or until uncork.
func (c *conn) cork() { c.corked = true }

// uncork sends the buffered write, if there is one.
func (c *conn) uncork() error {
	c.corked = false
	if c.buffered == nil {
		return nil
	}
	_, err := c.writev(nil)
	return err
}

func (c *conn) Write(p []byte) (int, error) {
	switch {
	case c.corked && c.buffered == nil && len(p) <= bufferSize:
		c.buffered = headerPool.Get().(*[]byte)
		*c.buffered = append((*c.buffered)[:0], p...)
		return len(p), nil
	case c.buffered != nil:
		return c.writev(p)
	}
	return c.TCPConn.Write(p)
}

// writev sends the buffered write and p in one system call, and returns how many bytes of p were sent.
func (c *conn) writev(p []byte) (int, error) {
	first := c.buffered
	c.corked, c.buffered = false, nil
	before := len(*first)
	n, err := (&net.Buffers{*first, p}).WriteTo(c.TCPConn)
	headerPool.Put(first)
	return max(0, int(n)-before), err
}

// A filePart is a part of a file that many answers read concurrently. net/http passes it to conn.ReadFrom as a
// reader.
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
	if err := c.uncork(); err != nil {
		return 0, err
	}
	return c.TCPConn.ReadFrom(src)
}

// connOf returns the connection of a request, nil for another network than TCP. It is the one switch of this
// file: with nil, net/http alone sends the response.
func connOf(ctx context.Context) *conn {
	s, _ := ctx.Value(connKey{}).(*connSlot)
	if s == nil {
		return nil
	}
	c, _ := s.conn.(*conn)
	return c
}
