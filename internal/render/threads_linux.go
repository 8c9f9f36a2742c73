package render

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A sealed worker needs the server's permission for each thread: its filter turns clone into a request
// to the server (seccomp_unotify(2)), which needs no privilege. Threads cannot be forbidden, because
// libheif and libvips start some for a picture, but an unlimited number would use up threads that the
// server needs.

// spareThreads makes Go start the threads that it will need, so that no thread waits for the server before the
// server supervises the worker.
func spareThreads() {
	const spare = 8
	var started, ended sync.WaitGroup
	started.Add(spare)
	for range spare {
		ended.Go(func() {
			runtime.LockOSThread() // so each has a thread, which Go keeps when it is unlocked
			defer runtime.UnlockOSThread()
			started.Done()
			started.Wait()
		})
	}
	ended.Wait()
	// A thread that Go has begun to start would still wait, and with it two processors of Go: on a machine of two, no
	// goroutine could send the hello. Go completes the start before it stops the world.
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
}

// A threadRequest is struct seccomp_notif, a threadAnswer struct seccomp_notif_resp.
type threadRequest struct {
	id         uint64
	pid, flags uint32
	data       [64]byte
}

type threadAnswer struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

// superviseThreads answers the requests of a worker for threads until the worker ends or requests
// is closed. stat is the worker's /proc/<pid>/stat.
func superviseThreads(requests, stat *os.File) {
	raw, err := requests.SyscallConn()
	if err != nil {
		return // closed
	}
	for {
		var r threadRequest
		state := waiting
		// An error means that it is closed. Not by Go's poller: a signal that interrupts the kernel
		// during the poll looks like an error of the file, after which Go no longer polls it.
		err := raw.Control(func(fd uintptr) { state = receive(int(fd), &r) })
		switch {
		case err != nil || state == ended:
			return
		case state == waiting:
			continue
		}
		a := threadAnswer{id: r.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if n, err := threads(stat); err != nil || n >= maxThreads {
			a.flags, a.error = 0, -int32(unix.EAGAIN)
		}
		// The answer fails if the requesting thread has ended; that error is ignored.
		_ = raw.Control(func(fd uintptr) {
			_ = ioctl(int(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a))
		})
	}
}

// The results of receive.
const (
	waiting  = iota // no request yet
	received        // one request
	ended           // the worker has ended
)

// receiveTime is the time that receive waits, in milliseconds. The end of a worker ends the wait.
const receiveTime = 1000

// receive waits for a request for receiveTime.
func receive(fd int, r *threadRequest) int {
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, receiveTime)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return ended
		case n == 0:
			return waiting
		case fds[0].Revents&(unix.POLLHUP|unix.POLLNVAL) != 0:
			return ended
		case fds[0].Revents&unix.POLLIN == 0: // a signal interrupted the poll
			return waiting
		case ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(r)) == nil:
			return received
		}
		// It fails if the requesting thread has ended; the next request is another one.
		*r = threadRequest{}
	}
}

func ioctl(fd int, request uintptr, argument unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument))
	if e != 0 {
		return e
	}
	return nil
}
