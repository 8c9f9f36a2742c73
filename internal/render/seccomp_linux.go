package render

import (
	"fmt"
	"os"
	"unsafe"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that Go's runtime, glibc, GLib and libvips need. All other
// system calls return EPERM: sockets, programs, other processes, mounts, keys, io_uring and calls of later
// kernels.
var allowed = []string{
	// Open files, and opening libraries until the sandbox is sealed.
	"read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "close", "fstat",
	"newfstatat", "fstatat64", "stat", "lstat", "statx", "open", "openat", "access", "faccessat",
	"faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "ftruncate", "fadvise64",
	"dup", "pipe2",
	// The socket to the server.
	"recvmsg", "sendmsg",
	// Memory.
	"mmap", "munmap", "mprotect", "mremap", "madvise", "brk", "mincore", "membarrier",
	// Threads, signals and time.
	"futex", "set_robust_list", "rseq", "set_tid_address", "sched_yield", "sched_getaffinity",
	"sched_getparam", "sched_getscheduler", "sched_getattr", "gettid", "getpid", "getppid",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall", "exit",
	"exit_group", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday",
	"time", "arch_prctl", "getrandom",
	// Waiting.
	"poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait",
	"epoll_pwait", "eventfd2",
	// Properties of this process.
	"uname", "sysinfo", "getuid", "geteuid", "getgid", "getegid", "getrlimit", "getrusage",
	// Further filters can only forbid more.
	"seccomp",
}

// sealed are the system calls that the second stage forbids. A sealed worker can no longer name a path, not
// even to check whether a file exists: newfstatat and statx take a path, whatever their flags, so only fstat
// is left for descriptors.
//
// sched_getaffinity returns the number of processors. Without it a decoder starts no threads for them, so AV1
// needs the same memory on every machine.
var sealed = []string{
	"open", "openat", "stat", "lstat", "statx", "newfstatat", "fstatat64", "access", "faccessat",
	"faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "sched_getaffinity", "seccomp",
}

// enosys is the answer to clone3, whose flags a filter cannot see: glibc then falls back to clone.
const enosys = seccomp.Action(unix.SECCOMP_RET_ERRNO&^0xffff | uint32(unix.ENOSYS))

// namespaceFlags are those with which clone makes namespaces.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// uncountedMappings are the flags of mmap whose memory the limit on data does not count, and those
// of memory that other processes need: shared memory, a second stack, huge pages.
const uncountedMappings = unix.MAP_SHARED | unix.MAP_GROWSDOWN | unix.MAP_HUGETLB

// startPolicy is the filter of the first stage.
func startPolicy() seccomp.Policy {
	self := uint64(os.Getpid())
	conditional := []seccomp.NameWithConditions{
		when("clone", masked(0, seccomp.BitsSet, unix.CLONE_THREAD),
			masked(0, seccomp.BitsNotSet, namespaceFlags)),
		when("tgkill", equal(0, self)),
		// Limits can be read, but not set.
		when("prlimit64", equal(0, 0), equal(2, 0)),
		when("prctl", equal(0, unix.PR_SET_NAME)),
		when("prctl", equal(0, unix.PR_SET_VMA)),
		// With F_SETOWN and O_ASYNC the kernel would send signals to any process of this user.
		when("fcntl", equal(1, unix.F_GETFL)),
		when("fcntl", equal(1, unix.F_SETFL), masked(2, seccomp.BitsNotSet, unix.O_ASYNC)),
		when("fcntl", equal(1, unix.F_GETFD)),
		when("fcntl", equal(1, unix.F_SETFD)),
		when("fcntl", equal(1, unix.F_DUPFD)),
		when("fcntl", equal(1, unix.F_DUPFD_CLOEXEC)),
	}
	return seccomp.Policy{
		DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{
			{Names: known(allowed), Action: seccomp.ActionAllow},
			{NamesWithCondtions: conditional, Action: seccomp.ActionAllow},
			{Names: known([]string{"clone3"}), Action: enosys},
		},
	}
}

// sealPolicy is the filter of the second stage. The first one stays in force too. With
// ask, the server decides about each new thread.
func sealPolicy(ask bool) seccomp.Policy {
	p := seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Names: known(sealed), Action: seccomp.ActionErrno},
			{NamesWithCondtions: []seccomp.NameWithConditions{
				when("mmap", masked(3, seccomp.BitsSet, uncountedMappings)),
			}, Action: seccomp.ActionErrno},
		},
	}
	if ask {
		p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{
			Names: []string{"clone"}, Action: seccomp.ActionUserNotify,
		})
	}
	return p
}

// when returns a system call whose arguments meet all conditions.
func when(name string, c ...seccomp.Condition) seccomp.NameWithConditions {
	return seccomp.NameWithConditions{Name: name, Conditions: c}
}

// equal is a condition on one argument of a system call.
func equal(argument uint32, v uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: v}
}

// masked is a condition on one argument: BitsSet means any bit of mask, BitsNotSet none of them.
func masked(argument uint32, op seccomp.Operation, mask uint64) seccomp.Condition {
	return seccomp.Condition{Argument: argument, Operation: op, Value: mask}
}

// known drops the names that this architecture does not have.
func known(names []string) []string {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil // assembling the policy reports it
	}
	var out []string
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok {
			out = append(out, name)
		}
	}
	return out
}

// loadFilter puts a policy in force on all threads.
func loadFilter(p seccomp.Policy) error {
	thread, err := loadFilterFlags(p, unix.SECCOMP_FILTER_FLAG_TSYNC)
	if err == nil && thread != 0 {
		err = fmt.Errorf("loading the system call filter: thread %d does not accept it", thread)
	}
	return err
}

// loadAsking loads a policy with requests to the server, and returns the file on which the server gets them.
func loadAsking(p seccomp.Policy) (*os.File, error) {
	fd, err := loadFilterFlags(p, unix.SECCOMP_FILTER_FLAG_TSYNC|
		unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "thread requests"), nil
}

// loadFilterFlags returns the descriptor of the listener, if the flags ask for one. The process
// must have no-new-privs.
func loadFilterFlags(p seccomp.Policy, flags uintptr) (int, error) {
	instructions, err := p.Assemble()
	if err != nil {
		return 0, fmt.Errorf("assembling the system call filter: %w", err)
	}
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		return 0, fmt.Errorf("assembling the system call filter: %w", err)
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
