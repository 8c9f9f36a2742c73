package seccomp

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Load puts a policy in force on all threads of this process. The process must have no-new-privs. Policies that are
// already in force stay so: the strictest action wins.
func Load(p Policy) error {
	thread, err := load(p, unix.SECCOMP_FILTER_FLAG_TSYNC)
	if err == nil && thread != 0 {
		err = fmt.Errorf("loading the system call filter: thread %d does not accept it", thread)
	}
	return err
}

// LoadAsking is Load for a policy with Ask. It returns the file on which the kernel asks (seccomp_unotify(2)).
func LoadAsking(p Policy) (*os.File, error) {
	fd, err := load(p, unix.SECCOMP_FILTER_FLAG_TSYNC|unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH|
		unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "system call requests"), nil
}

// load returns the descriptor of the listener, if the flags ask for one.
func load(p Policy, flags uintptr) (int, error) {
	instructions, err := p.program()
	if err != nil {
		return 0, fmt.Errorf("compiling the system call filter: %w", err)
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return 0, fmt.Errorf("compiling the system call filter: %w", err)
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags,
		uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return 0, fmt.Errorf("loading the system call filter: %w", e)
	}
	return int(fd), nil
}
