//go:build !linux

package delivery

import (
	"io"
	"net"
)

// sendPart sends the write that waits, if any, and then a part of a file.
func (c *conn) sendPart(p *filePart) (int64, error) {
	if err := c.send(); err != nil {
		return 0, err
	}
	return io.Copy(struct{ io.Writer }{c.TCPConn}, io.NewSectionReader(p.file, p.offset, p.size))
}

type socket struct{}

func (socket) open(*net.TCPConn) error { return nil }

// writeBoth writes two buffers in one go, and returns how many bytes of both went out.
func (c *conn) writeBoth(first, second []byte) (int, error) {
	n, err := (&net.Buffers{first, second}).WriteTo(c.TCPConn)
	return int(n), err
}
