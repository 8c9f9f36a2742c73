package delivery

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A socket makes the system calls of a connection's small answers. Go tells its scheduler of every
// system call that begins and ends, as it may block; another thread then looks every 20 us whether
// it still runs. These never block, the socket being in non-blocking mode: they return EAGAIN, and
// the goroutine waits outside of them. Without the telling, a picture out of memory takes a tenth
// less CPU. Large answers and files, whose calls take long, are not sent this way.
type socket struct {
	raw     syscall.RawConn
	reading reading
	writing writing
}

// A reading is one call of Read. There is one at a time.
type reading struct {
	into  []byte
	n     int
	errno unix.Errno
	step  func(fd uintptr) bool
}

// A writing is one call of writeBoth. There is one at a time.
type writing struct {
	pieces [2]unix.Iovec // what is left
	n      int
	errno  unix.Errno
	step   func(fd uintptr) bool
}

func (s *socket) open(c *net.TCPConn) (err error) {
	s.raw, err = c.SyscallConn()
	s.reading.step, s.writing.step = s.reading.read, s.writing.write // bound once, not in each call
	return err
}

// read reports whether the reading is over; if not, the connection has nothing to read yet.
func (r *reading) read(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd,
			uintptr(unsafe.Pointer(unsafe.SliceData(r.into))), uintptr(len(r.into)))
		switch errno {
		case 0:
			r.n, r.errno = int(n), 0
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			r.n, r.errno = 0, errno
			return true
		}
	}
}

// Read is that of a net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return c.TCPConn.Read(p)
	}
	r := &c.socket.reading
	r.into = p
	err := c.socket.raw.Read(r.step)
	r.into = nil
	if err == nil && r.errno != 0 {
		err = os.NewSyscallError("read", r.errno)
	}
	switch {
	case err != nil:
		return 0, c.failed("read", err)
	case r.n == 0:
		return 0, io.EOF
	}
	return r.n, nil
}

// write reports whether the writing is over; if not, the connection takes no more for now.
func (w *writing) write(fd uintptr) bool {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd,
			uintptr(unsafe.Pointer(&w.pieces)), uintptr(len(w.pieces)))
		switch errno {
		case 0:
			w.n, w.errno = w.n+int(n), 0
			if w.wrote(int(n)) {
				return true
			}
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			w.errno = errno
			return true
		}
	}
}

// wrote takes n bytes off the pieces and reports whether none are left.
func (w *writing) wrote(n int) bool {
	left := false
	for i := range w.pieces {
		piece := &w.pieces[i]
		rest := unsafe.Slice(piece.Base, piece.Len)
		took := min(n, len(rest))
		n -= took
		*piece = pieceOf(rest[took:])
		left = left || piece.Len > 0
	}
	return !left
}

// pieceOf points to nothing when there is nothing: not behind the end of a buffer.
func pieceOf(b []byte) (v unix.Iovec) {
	if len(b) > 0 {
		v.Base = &b[0]
		v.SetLen(len(b))
	}
	return v
}

// writeBoth writes two buffers in one go, and returns how many bytes of both went out.
func (c *conn) writeBoth(first, second []byte) (int, error) {
	w := &c.socket.writing
	w.pieces, w.n, w.errno = [2]unix.Iovec{pieceOf(first), pieceOf(second)}, 0, 0
	err := c.socket.raw.Write(w.step)
	w.pieces = [2]unix.Iovec{}
	if err == nil && w.errno != 0 {
		err = os.NewSyscallError("writev", w.errno)
	}
	if err != nil {
		err = c.failed("write", err)
	}
	return w.n, err
}

// failed returns an error in the form that package net has, by which net/http knows it.
func (c *conn) failed(op string, err error) error {
	var wrapped *net.OpError
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
