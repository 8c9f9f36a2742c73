package render

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// A sandbox is what confines this worker process. It is built in two stages. Before the engine
// starts, the worker loses the network, other programs, other processes and every file but the
// libraries. Once the engine stands and before the first foreign byte arrives, seal takes away
// opening files altogether, which holds even where the kernel has no landlock.
type sandbox struct {
	parts   []string
	missing []string
}

// enterSandbox is the first stage. Parts that the system lacks are recorded, not fatal: the server
// decides.
func enterSandbox() *sandbox {
	b := &sandbox{}
	b.note("limits", setLimits())
	b.note("no-new-privs", ll.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	abi, err := restrictFiles()
	b.note(fmt.Sprintf("landlock %d", abi), err)
	// Not readable for other processes of this user, and no core.
	b.note("undumpable", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	b.note("seccomp", loadFilter(startPolicy()))
	return b
}

// seal is the second stage.
func (b *sandbox) seal() { b.note("sealed", loadFilter(sealPolicy())) }

func (b *sandbox) note(part string, err error) {
	if err != nil {
		part, _, _ = strings.Cut(part, " ")
		b.missing = append(b.missing, fmt.Sprintf("no %s (%v)", part, err))
		return
	}
	b.parts = append(b.parts, part)
}

func (b *sandbox) state() SandboxState {
	detail := strings.Join(append(b.parts, b.missing...), ", ")
	return SandboxState{Complete: len(b.missing) == 0, Detail: sanitise(detail)}
}

// setLimits sets the resource limits, and asks the kernel to end this process first when memory is
// short.
func setLimits() error {
	limits := map[int]uint64{
		unix.RLIMIT_CORE:   0,
		unix.RLIMIT_DATA:   dataLimit(),
		unix.RLIMIT_NOFILE: 64,
		unix.RLIMIT_FSIZE:  maxOutput,
	}
	var errs []error
	for what, n := range limits {
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			errs = append(errs, fmt.Errorf("limit %d: %w", what, err))
		}
	}
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// dataLimit is what the server says, and never more than maxData.
func dataLimit() uint64 {
	if raceDetector {
		return unix.RLIM_INFINITY
	}
	n, err := strconv.ParseUint(os.Getenv(dataVariable), 10, 64)
	if err != nil {
		return maxData
	}
	return min(n, maxData)
}

// restrictFiles lets this process read libraries and nothing else of the file system, and cuts it
// off from TCP and from processes outside. It returns the version of landlock in force.
func restrictFiles() (int, error) {
	abi, err := ll.LandlockGetABIVersion()
	if err != nil || abi < 1 {
		// ENOSYS: not built in. EOPNOTSUPP: not switched on. EPERM: forbidden by the container.
		return 0, fmt.Errorf("not offered by the kernel: %w", err)
	}
	dirs := []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"}
	for _, dir := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	err = landlock.V7.BestEffort().Restrict(
		landlock.RODirs(dirs...).IgnoreIfMissing(),
		landlock.ROFiles("/etc/ld.so.cache").IgnoreIfMissing(),
	)
	if err != nil {
		return 0, err
	}
	// Best effort may have meant no effort: see for ourselves.
	if f, err := os.Open("/proc/self/environ"); err == nil {
		f.Close()
		return 0, errors.New("has no effect")
	}
	return abi, nil
}

// processAttributes are how a worker is started: in a session of its own, so that a Ctrl-C goes to
// the server only, and killed when the thread that started it ends.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
}

// workerSlack is by how much the system may delay the timers of a worker. Go looks after a thread
// that is in a decoder every 20 us, which takes a tenth of the decoder's own time; nobody waits for
// what it would find, as a worker does one thing at a time.
const workerSlack = time.Millisecond

// slackenTimers is called on the thread that starts workers, which inherit it: in a worker itself
// it would come too late, as threads of Go's are there before main.
func slackenTimers() {
	// Where it is forbidden, workers are as good, but for the time they take.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(workerSlack.Nanoseconds()), 0, 0, 0)
}
