package delivery

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// sendPart sends the buffered write, if there is one, and then a part of a file, by sendfile. Unlike
// the standard library it announces to the kernel that the file follows the header, so that both are sent
// together, and it does not change the file's offset, because many answers read the same open file.
func (c *conn) sendPart(p *filePart) (sent int64, err error) {
	raw, err := c.TCPConn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var head []byte
	if c.buffered != nil {
		head = *c.buffered
		defer headerPool.Put(c.buffered)
		c.corked, c.buffered = false, nil
	}
	file, offset := int(p.file.Fd()), p.offset
	flags := unix.MSG_NOSIGNAL
	if p.size > 0 {
		flags |= unix.MSG_MORE
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		moved := false
		for failed == nil && (len(head) > 0 || sent < p.size) {
			var n int
			if len(head) > 0 {
				n, failed = unix.SendmsgN(int(fd), head, nil, nil, flags)
				head = head[max(n, 0):]
			} else {
				n, failed = unix.Sendfile(int(fd), file, &offset, int(min(p.size-sent, maxSendfile)))
				sent += int64(max(n, 0))
				if n == 0 && failed == nil {
					failed = io.ErrUnexpectedEOF // another program truncated the file
				}
			}
			moved = moved || n > 0
			switch {
			case errors.Is(failed, unix.EINTR):
				failed = nil
			case errors.Is(failed, unix.EAGAIN): // wait until the client has read some
				if failed = nil; moved {
					failed = p.extend(sent)
				}
				return failed != nil
			}
		}
		return true
	})
	if err == nil && failed != nil {
		err = fmt.Errorf("sendfile: %w", failed)
	}
	return sent, err
}

// maxSendfile bounds one system call, in bytes.
const maxSendfile = 1 << 20
