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
func newConn(accepted net.Conn, s *slot) net.Conn {
	if plain, ok := accepted.(*net.TCPConn); ok {
		return &conn{TCPConn: plain, slot: s}
	}
	return &otherConn{Conn: accepted, slot: s}
}

// An otherConn is a connection that is not of TCP, as in some tests.
type otherConn struct {
	net.Conn
	slot *slot
}

// Close closes the connection first: its slot is for one that opens a file.
func (c *otherConn) Close() error {
	defer c.slot.close()
	return c.Conn.Close()
}

// A conn is a client's connection. net/http writes an answer that is larger than its buffer in
// pieces: what fits with the header, then the rest. Each write costs the system and the client as
// much as a whole small picture, so between gather and send the first write waits for the second.
// Only the goroutine that answers a request writes.
type conn struct {
	*net.TCPConn
	slot      *slot
	gathering bool
	first     *[]byte // nil without a buffered header
}

// firstSize is the buffer of net/http, in bytes.
const firstSize = 4 << 10

// firsts are buffers for writes that wait.
var firsts = sync.Pool{New: func() any { b := make([]byte, 0, firstSize); return &b }}

// Close closes the connection first: its slot is for one that opens a file.
func (c *conn) Close() error {
	defer c.slot.close()
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
	n, err := (&net.Buffers{*first, p}).WriteTo(c.TCPConn)
	firsts.Put(first)
	return max(0, int(n)-before), err
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

// connOf returns the connection of a request, nil for another network than TCP. It is the one switch of this
// file: with nil, net/http alone sends the response.
func connOf(ctx context.Context) *conn {
	s, _ := ctx.Value(connKey{}).(*slot)
	if s == nil {
		return nil
	}
	c, _ := s.conn.(*conn)
	return c
}
