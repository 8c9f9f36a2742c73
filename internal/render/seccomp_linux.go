package render

import (
	"fmt"
	"os"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that Go's runtime, glibc, GLib and libvips need. Everything else
// answers EPERM: sockets, programs, other processes, mounts, keys, io_uring and what later kernels
// add.
var allowed = []string{
	// Files that are open, and opening libraries until the sandbox is sealed.
	"read", "readv", "pread64", "write", "writev", "pwrite64", "lseek", "close", "fstat",
	"newfstatat", "fstatat64", "stat", "lstat", "statx", "open", "openat", "access", "faccessat",
	"faccessat2", "readlink", "readlinkat", "getdents64", "getcwd", "ftruncate", "fadvise64",
	"fcntl", "dup", "pipe2",
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
	// Questions about ourselves.
	"uname", "sysinfo", "getuid", "geteuid", "getgid", "getegid", "getrlimit", "getrusage",
	// More filters only ever take away.
	"seccomp",
}

// sealed are the calls that end with the second stage.
var sealed = []string{
	"open", "openat", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64",
	"seccomp",
}

// enosys is the answer to clone3, whose flags a filter cannot see: glibc then falls back to clone.
const enosys = seccomp.Action(unix.SECCOMP_RET_ERRNO&^0xffff | uint32(unix.ENOSYS))

// startPolicy is the filter of the first stage.
func startPolicy() seccomp.Policy {
	self := uint64(os.Getpid())
	argument := func(n uint32, op seccomp.Operation, v uint64) seccomp.ArgumentConditions {
		return seccomp.ArgumentConditions{{Argument: n, Operation: op, Value: v}}
	}
	conditional := []seccomp.NameWithConditions{
		{Name: "clone", Conditions: argument(0, seccomp.BitsSet, unix.CLONE_THREAD)},
		{Name: "tgkill", Conditions: argument(0, seccomp.Equal, self)},
		{Name: "prlimit64", Conditions: argument(0, seccomp.Equal, 0)},
		{Name: "prctl", Conditions: argument(0, seccomp.Equal, unix.PR_SET_NAME)},
		{Name: "prctl", Conditions: argument(0, seccomp.Equal, unix.PR_SET_VMA)},
		{Name: "prctl", Conditions: argument(0, seccomp.Equal, unix.PR_SET_NO_NEW_PRIVS)},
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

// sealPolicy is the filter of the second stage. Filters add up: the first one stays in force.
func sealPolicy() seccomp.Policy {
	return seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls: []seccomp.SyscallGroup{
			{Names: known(sealed), Action: seccomp.ActionErrno},
		},
	}
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
	err := seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: p,
	})
	if err != nil {
		return fmt.Errorf("loading the system call filter: %w", err)
	}
	return nil
}
