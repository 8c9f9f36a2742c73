//go:build !linux

package delivery

import "io"

// sendPart sends the buffered write, if there is one, and then a part of a file.
func (c *conn) sendPart(p *filePart) (int64, error) {
	if err := c.uncork(); err != nil {
		return 0, err
	}
	return io.Copy(struct{ io.Writer }{c.TCPConn}, io.NewSectionReader(p.file, p.offset, p.size))
}
