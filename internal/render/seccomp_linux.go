package render

import (
	"os"

	"golang.org/x/sys/unix"

	"calotype/internal/seccomp"
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

// namespaceFlags are those with which clone makes namespaces.
const namespaceFlags = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET

// uncountedMappings are the flags of mmap whose memory the limit on data does not count, and those
// of memory that other processes need: shared memory, a second stack, huge pages.
const uncountedMappings = unix.MAP_SHARED | unix.MAP_GROWSDOWN | unix.MAP_HUGETLB

// startPolicy is the filter of the first stage.
func startPolicy() seccomp.Policy {
	return seccomp.Policy{Default: seccomp.Refuse, Rules: append(seccomp.Always(seccomp.Allow, allowed...),
		allowIf("clone", seccomp.All{
			seccomp.HasAny(0, unix.CLONE_THREAD), seccomp.HasNone(0, namespaceFlags),
		}),
		// A filter cannot see the flags of clone3. After this error glibc calls clone.
		seccomp.Rule{Call: "clone3", Action: seccomp.Errno(unix.ENOSYS)},
		allowIf("tgkill", seccomp.All{seccomp.Equals(0, uint64(os.Getpid()))}),
		// Limits can be read, but not set.
		allowIf("prlimit64", seccomp.All{seccomp.Equals(0, 0), seccomp.Equals(2, 0)}),
		allowIf("prctl",
			seccomp.All{seccomp.Equals(0, unix.PR_SET_NAME)},
			seccomp.All{seccomp.Equals(0, unix.PR_SET_VMA)},
		),
		// With F_SETOWN and O_ASYNC the kernel would send signals to any process of this user.
		allowIf("fcntl",
			seccomp.All{seccomp.Equals(1, unix.F_GETFL)},
			seccomp.All{seccomp.Equals(1, unix.F_SETFL), seccomp.HasNone(2, unix.O_ASYNC)},
			seccomp.All{seccomp.Equals(1, unix.F_GETFD)},
			seccomp.All{seccomp.Equals(1, unix.F_SETFD)},
			seccomp.All{seccomp.Equals(1, unix.F_DUPFD)},
			seccomp.All{seccomp.Equals(1, unix.F_DUPFD_CLOEXEC)},
		),
	)}
}

func allowIf(call string, one ...seccomp.All) seccomp.Rule {
	return seccomp.Rule{Call: call, Action: seccomp.Allow, When: one}
}

// sealPolicy is the filter of the second stage. The first one stays in force too. With
// ask, the server decides about each new thread.
func sealPolicy(ask bool) seccomp.Policy {
	p := seccomp.Policy{Default: seccomp.Allow, Rules: append(seccomp.Always(seccomp.Refuse, sealed...),
		seccomp.Rule{Call: "mmap", Action: seccomp.Refuse, When: []seccomp.All{{seccomp.HasAny(3, uncountedMappings)}}},
	)}
	if ask {
		p.Rules = append(p.Rules, seccomp.Rule{Call: "clone", Action: seccomp.Ask})
	}
	return p
}
