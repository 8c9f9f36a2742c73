package render_test

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"calotype/internal/render"
)

// A worker that was taken over does what an exploit would do: it makes system calls past Go. Each
// trick says "done: ..." when it worked. All of them fail, on kernels without landlock, with an old
// one and with a new one, and with and without namespaces.

// tricks are what a worker that was taken over tries.
var tricks = map[string]func() error{
	"signal the server by fcntl": func() error {
		return first(fcntlSignal(unix.SIGKILL), "F_SETOWN", "F_SETSIG", "O_ASYNC")
	},
	"signal by F_SETOWN_EX": func() error {
		owner := [2]int32{1 /* F_OWNER_PID */, int32(server())}
		_, err := fcntl(0, unix.F_SETOWN_EX, uintptr(unsafe.Pointer(&owner)))
		return err
	},
	"watch a folder by F_NOTIFY": func() error { return fcntlOnly(unix.F_NOTIFY, 1) },
	"lease":                      func() error { return fcntlOnly(unix.F_SETLEASE, unix.F_RDLCK) },
	"grow a pipe":                func() error { return fcntlOnly(unix.F_SETPIPE_SZ, 1<<20) },

	"newfstatat":       statAt(0),
	"newfstatat empty": statAt(unix.AT_EMPTY_PATH), // which does not forbid a path
	"statx": func() error {
		var x unix.Statx_t
		return unix.Statx(unix.AT_FDCWD, "/etc/shadow", unix.AT_EMPTY_PATH, unix.STATX_ALL, &x)
	},
	"open": func() error {
		_, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0)
		return err
	},
	"open a library": func() error {
		_, err := unix.Open("/lib", unix.O_RDONLY|unix.O_DIRECTORY, 0)
		return err
	},
	"open a descriptor again": func() error {
		_, err := unix.Open("/proc/self/fd/4", unix.O_RDWR, 0)
		return err
	},
	"working directory": func() error { _, err := unix.Getcwd(make([]byte, 64)); return err },

	"shared memory":      mapping(unix.MAP_SHARED | unix.MAP_ANON),
	"shared memory, new": mapping(unix.MAP_SHARED_VALIDATE | unix.MAP_ANON),
	"a second stack":     mapping(unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_GROWSDOWN),
	"huge pages":         mapping(unix.MAP_PRIVATE | unix.MAP_ANON | unix.MAP_HUGETLB),
	"memory beyond the limit": func() error {
		return firstError(16, func() error { return mapping(unix.MAP_PRIVATE | unix.MAP_ANON)() })
	},
	"mappings without end": func() error {
		return firstError(100, func() error {
			_, _, e := unix.Syscall6(unix.SYS_MMAP, 0, 1<<32, unix.PROT_READ,
				unix.MAP_PRIVATE|unix.MAP_ANON, ^uintptr(0), 0)
			return errno(e)
		})
	},
	"raise its limits": func() error {
		return unix.Prlimit(0, unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30}, nil)
	},
	"limits of the server": func() error {
		return unix.Prlimit(server(), unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1, Max: 1}, nil)
	},

	"a process": raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0),
	// The next two have words of arguments that are numbers of allowed system calls.
	"a process, by a word that is fcntl": func() error {
		pid, _, e := unix.RawSyscall(unix.SYS_CLONE, unix.SYS_FCNTL, unix.F_DUPFD, 0)
		if e == 0 && pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		return errno(e)
	},
	"raise its limits, by a word that is fcntl": func() error {
		limit, err := mapAt(unix.SYS_FCNTL << 32)
		if err != nil {
			return fmt.Errorf("the trick needs memory: %w", err)
		}
		*(*unix.Rlimit)(limit) = unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}
		_, _, e := unix.RawSyscall6(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_DATA, uintptr(limit), 0, 0, 0)
		return errno(e)
	},
	"a namespace":         raw(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD), 0, 0),
	"a thread outside":    raw(unix.SYS_CLONE, threadFlags|unix.CLONE_NEWNET, 0, 0),
	"unshare":             raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER, 0, 0),
	"a program":           path(unix.SYS_EXECVE, "/bin/true"),
	"kill":                raw(unix.SYS_KILL, all, 0, 0),
	"tkill":               raw(unix.SYS_TKILL, uintptr(server()), 0, 0),
	"tgkill":              raw(unix.SYS_TGKILL, uintptr(server()), uintptr(server()), 0),
	"sigqueue":            raw(unix.SYS_RT_SIGQUEUEINFO, uintptr(server()), 0, 0),
	"pidfd_open":          raw(unix.SYS_PIDFD_OPEN, uintptr(server()), 0, 0),
	"ptrace":              raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(server()), 0),
	"memory of others":    raw(unix.SYS_PROCESS_VM_READV, uintptr(server()), 0, 0),
	"a socket":            raw(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0),
	"a Unix socket":       raw(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM, 0),
	"io_uring":            raw(unix.SYS_IO_URING_SETUP, 1, 0, 0),
	"userfaultfd":         raw(unix.SYS_USERFAULTFD, 0, 0, 0),
	"bpf":                 raw(unix.SYS_BPF, 0, 0, 0),
	"memfd":               raw(unix.SYS_MEMFD_CREATE, 0, 0, 0),
	"System V memory":     raw(unix.SYS_SHMGET, 0, 4096, unix.IPC_CREAT),
	"keys":                raw(unix.SYS_KEYCTL, 0, 0, 0),
	"mount":               raw(unix.SYS_MOUNT, 0, 0, 0),
	"chroot":              path(unix.SYS_CHROOT, "/"),
	"openat2":             raw(unix.SYS_OPENAT2, 0, 0, 0),
	"perf_event_open":     raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0),
	"ioctl":               raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, 0),
	"another filter":      raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, 0),
	"dumpable again":      raw(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0),
	"live without server": raw(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, 0, 0),
	"be early":            raw(unix.SYS_SETPRIORITY, 0, 0, ^uintptr(19)),
}

const (
	all         = ^uintptr(0) // every process, for kill
	threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
		unix.CLONE_THREAD | unix.CLONE_SYSVSEM
)

// server is the process of the server. In a namespace it has no number: 2 is some other process.
func server() int { return max(2, unix.Getppid()) }

func errno(e unix.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

func raw(number, a, b, c uintptr) func() error {
	return func() error {
		_, _, e := unix.RawSyscall(number, a, b, c)
		return errno(e)
	}
}

func path(number uintptr, name string) func() error {
	return func() error {
		p, err := unix.BytePtrFromString(name)
		if err != nil {
			return err
		}
		buf := make([]byte, 256)
		_, _, e := unix.RawSyscall(number, uintptr(unsafe.Pointer(p)),
			uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		return errno(e)
	}
}

func statAt(flags int) func() error {
	return func() error {
		var st unix.Stat_t
		return unix.Fstatat(unix.AT_FDCWD, "/etc/shadow", &st, flags)
	}
}

// mapping takes 256 MiB of memory and writes to each page.
func mapping(flags int) func() error {
	return func() error {
		const size = 256 << 20
		at, _, e := unix.Syscall6(unix.SYS_MMAP, 0, size, unix.PROT_READ|unix.PROT_WRITE,
			uintptr(flags), ^uintptr(0), 0)
		if e != 0 {
			return e
		}
		for i := uintptr(0); i < size; i += 4096 {
			*(*byte)(unsafe.Add(*(*unsafe.Pointer)(unsafe.Pointer(&at)), i)) = 1
		}
		return nil
	}
}

// mapAt maps a page at an address.
func mapAt(address uintptr) (unsafe.Pointer, error) {
	at, _, e := unix.Syscall6(unix.SYS_MMAP, address, 4096, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE, ^uintptr(0), 0)
	return *(*unsafe.Pointer)(unsafe.Pointer(&at)), errno(e)
}

func fcntl(fd, command int, argument uintptr) (uintptr, error) {
	r, _, e := unix.Syscall(unix.SYS_FCNTL, uintptr(fd), uintptr(command), argument)
	return r, errno(e)
}

func fcntlOnly(command int, argument uintptr) error {
	var p [2]int
	if err := unix.Pipe2(p[:], 0); err != nil {
		return fmt.Errorf("the trick needs a pipe: %w", err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	_, err := fcntl(p[0], command, argument)
	return err
}

// fcntlSignal has the kernel send a signal to the server: as the owner of a pipe that is written to.
// It returns how each step went.
func fcntlSignal(s unix.Signal) []error {
	var p [2]int
	if err := unix.Pipe2(p[:], 0); err != nil {
		return []error{nil, fmt.Errorf("the trick needs a pipe: %w", err)}
	}
	_, own := fcntl(p[0], unix.F_SETOWN, uintptr(server()))
	_, sig := fcntl(p[0], unix.F_SETSIG, uintptr(s))
	flags, err := fcntl(p[0], unix.F_GETFL, 0)
	if err == nil {
		_, err = fcntl(p[0], unix.F_SETFL, flags|unix.O_ASYNC)
	}
	unix.Write(p[1], []byte("x"))
	return []error{own, sig, err}
}

// first fails when all steps do, as each of them must.
func first(steps []error, names ...string) error {
	for i, err := range steps {
		if err == nil {
			return fmt.Errorf("%w: %s", errDone, names[i])
		}
	}
	return steps[0]
}

var errDone = errors.New("done")

// firstError is the first error of n attempts.
func firstError(n int, attempt func() error) error {
	for range n {
		if err := attempt(); err != nil {
			return err
		}
	}
	return nil
}

// trick does one of tricks, or "threads".
func trick(name string) string {
	var err error
	switch name {
	case "threads":
		for range 3000 { // Go makes a thread for each, until it cannot, and then aborts
			go func() {
				runtime.LockOSThread()
				time.Sleep(time.Hour)
			}()
		}
		time.Sleep(2 * time.Second)
	default:
		f := tricks[name]
		if f == nil {
			return "unknown"
		}
		err = f()
	}
	if err == nil || errors.Is(err, errDone) {
		return "done"
	}
	return err.Error()
}

// confinements are the systems that workers are tried on.
var confinements = map[string]render.Confinement{
	"as the system has":      {},
	"without namespaces":     {NoNamespaces: true},
	"landlock 1":             {Landlock: 1, NoNamespaces: true},
	"landlock 1, namespaces": {Landlock: 1},
	"landlock 2":             {Landlock: 2, NoNamespaces: true},
	"landlock 6":             {Landlock: 6, NoNamespaces: true},
	"without landlock":       {Landlock: -1},
	"without either":         {Landlock: -1, NoNamespaces: true},
}

// memoryTricks are the tricks that only a limit of memory refuses.
var memoryTricks = []string{"memory beyond the limit", "mappings without end"}

// TestTakenOver has each trick tried in a worker on each system. The shadow memory of the race detector counts as
// a worker's memory, so its build has no limit of memory, and the memoryTricks are left out there.
func TestTakenOver(t *testing.T) {
	t.Parallel()
	// What a signal of a worker to this process would be.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGIO)
	for name, c := range confinements {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newConfinedPool(t, c)
			for trick := range tricks {
				if render.RaceDetector && slices.Contains(memoryTricks, trick) {
					continue
				}
				_, err := p.Examine(t.Context(), command(t, "trick "+trick), pngHeader)
				if !errors.Is(err, render.ErrUndecodable) || !refusal(err) {
					t.Errorf("%s: %v, want a refusal", trick, err)
				}
			}
			if s := p.Status(); s.Lost != 0 {
				t.Errorf("%d workers lost", s.Lost)
			}
		})
	}
}

// refusal reports whether an error is the kernel's refusal of a forbidden call.
func refusal(err error) bool {
	return slices.ContainsFunc([]error{unix.EPERM, unix.ENOMEM}, func(e error) bool {
		return strings.HasSuffix(err.Error(), ": "+e.Error())
	})
}

// TestThreadsAreBounded has a worker make threads as fast as it can. It gets no more than some, and
// it alone suffers.
func TestThreadsAreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range confinements {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newConfinedPool(t, c)
			pids, done := render.PIDs(p), make(chan error, 1)
			// With this memory the stacks of threads are not the limit.
			large := pngHeader
			large.Width, large.Height = 9000, 9000
			in := command(t, "trick threads")
			go func() {
				_, err := p.Examine(t.Context(), in, large)
				done <- err
			}()
			most := 0
			for {
				select {
				case err := <-done:
					if err == nil {
						t.Error("the trick is not a picture")
					}
					// Several may ask at once.
					if most < render.MaxThreads/2 || most > render.MaxThreads+8 {
						t.Errorf("a worker had %d threads", most)
					}
					t.Logf("%d threads at most; the job ended with %v", most, err)
					return
				case <-time.After(time.Millisecond):
					most = max(most, mostThreads(pids))
				}
			}
		})
	}
}

// mostThreads is the largest number of threads of some processes.
func mostThreads(pids []int) int {
	most := 0
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), "\nThreads:\t")
		number, _, _ := strings.Cut(rest, "\n")
		n, _ := strconv.Atoi(number)
		most = max(most, n)
	}
	return most
}

func newConfinedPool(t *testing.T, c render.Confinement) *render.Pool {
	t.Helper()
	return newFakePool(t, "engine", render.Confine(render.PoolConfig{Memory: 2 << 30}, c))
}

// TestSandboxIsHonest compares what is said of the sandbox with what there is.
func TestSandboxIsHonest(t *testing.T) {
	t.Parallel()
	system := newConfinedPool(t, render.Confinement{}).Status().Sandbox.Parts
	if system["landlock"] < 7 || system["namespaces"] == 0 {
		t.Skipf("this system has %v", system)
	}
	for name, c := range confinements {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newConfinedPool(t, c).Status().Sandbox
			landlock := max(0, c.Landlock)
			if c.Landlock == 0 {
				landlock = system["landlock"]
			}
			isolated := map[bool]int{false: 1, true: 0}[c.NoNamespaces]
			complete := landlock >= 6 || landlock > 0 && isolated == 1
			if s.Parts["landlock"] != landlock || s.Parts["namespaces"] != isolated ||
				s.Complete != complete {
				t.Errorf("got %+v, want landlock %d, namespaces %d, complete %v", s, landlock,
					isolated, complete)
			}
			for _, part := range render.SandboxParts {
				if s.Parts[part] == 0 && !strings.Contains(s.Detail, "no "+part) {
					t.Errorf("%q does not say that there is no %s", s.Detail, part)
				}
			}
			if complete {
				return
			}
			p, err := render.NewPool(render.Confine(render.PoolConfig{
				Command: []string{os.Args[0], "worker", "engine"}, RequireSandbox: true,
			}, c))
			if err == nil {
				p.Close()
				t.Error("an incomplete sandbox is taken where a complete one is required")
			}
		})
	}
}
