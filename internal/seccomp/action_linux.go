package seccomp

import "golang.org/x/sys/unix"

// An Action is what the kernel does with a system call.
type Action uint32

// The actions. See also Errno.
const (
	Allow = Action(unix.SECCOMP_RET_ALLOW)
	Ask   = Action(unix.SECCOMP_RET_USER_NOTIF) // asks on the file of LoadAsking
)

// Refuse is the action that fails a system call with EPERM.
var Refuse = Errno(unix.EPERM)

// Errno is the action that fails a system call with an error.
func Errno(e unix.Errno) Action { return Action(unix.SECCOMP_RET_ERRNO | uint32(e)) }
