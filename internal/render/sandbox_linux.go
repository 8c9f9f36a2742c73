package render

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/landlock"
	"calotype/internal/seccomp"
)

// A sandbox restricts this worker process in two stages. Before the engine starts, the worker loses
// access to the network, other programs, other processes and all files except libraries. After the
// engine has started and before the first foreign byte arrives, seal forbids naming files entirely,
// also on kernels without landlock.
type sandbox struct {
	state    SandboxState
	requests *os.File // requests to the server for threads; nil if the kernel does not support them
}

// enterSandbox is the first stage. It checks the parts that the server has set, and sets the others.
// Missing parts are recorded, not fatal: the server decides.
func enterSandbox() *sandbox {
	b := &sandbox{}
	b.note(partNamespaces, inNamespaces())
	b.note(partPrivileges, hasNoNewPrivs())
	version, err := landlock.Check(os.Getenv(landlockVariable))
	b.state.note(partLandlock, version, err)
	b.note(partLimits, setLimits())
	// Not readable for other processes of this user, and no core.
	b.note(partUndumpable, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	b.note(partSeccomp, seccomp.Load(startPolicy()))
	return b
}

// restrictSpawner applies to the calling thread, and so to the workers that it starts, the restrictions that
// must be in force before a worker has threads. It returns the version of landlock for the worker, or the
// error.
func restrictSpawner(newest int, program string) string {
	// If it is forbidden, workers only take more time.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(workerSlack.Nanoseconds()), 0, 0, 0)
	// The worker checks the result.
	_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	version, err := landlock.Restrict(newest, program)
	if err != nil {
		return sanitise(err.Error())
	}
	return strconv.Itoa(version)
}

// hasNoNewPrivs returns nil if no program can grant privileges to this process.
func hasNoNewPrivs() error {
	n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err == nil && n != 1 {
		err = errors.New("not set")
	}
	return err
}

// seal is the second stage. It comes immediately before the hello: from then on a new thread waits
// for the server's permission.
func (b *sandbox) seal() {
	spareThreads()
	requests, err := seccomp.LoadAsking(sealPolicy(true))
	b.requests = requests
	b.note(partThreads, err)
	if err != nil {
		err = seccomp.Load(sealPolicy(false))
	}
	b.note(partSealed, err)
}

func (b *sandbox) note(part string, err error) { b.state.note(part, 1, err) }

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
	return errors.Join(errs...)
}

// dataLimit returns the server's limit, and at most the maximum of a worker.
func dataLimit() uint64 {
	if raceDetector {
		return unix.RLIM_INFINITY
	}
	n, err := strconv.ParseUint(os.Getenv(dataVariable), 10, 64)
	if err != nil {
		return uint64(mostData(maxJob))
	}
	return min(n, uint64(mostData(maxJob)))
}

// workerSlack is the delay that the system may add to the timers of a worker. Go checks a thread in a decoder
// every 20 us, which takes a tenth of the decoder's time. A worker does one thing at a time, so no goroutine
// waits for these checks. The thread that starts workers sets it, and they inherit it: in a worker it would
// be too late, because Go starts threads before main.
const workerSlack = time.Millisecond
