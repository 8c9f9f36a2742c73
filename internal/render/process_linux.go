package render

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// namespaces are the separate namespaces of a worker. The worker is process 1 in its PID namespace: no system
// call can name a process outside. It has no capability outside, even if the server runs as root.
const namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
	syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS

// processAttributes returns the attributes of a worker's start. The worker has a separate session, so that a
// Ctrl-C goes to the server only, and is killed when the thread that started it ends. In its namespaces no
// user is mapped: the worker needs none, and so it has no capabilities inside either.
func processAttributes(isolate bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if isolate {
		attr.Cloneflags = namespaces
	}
	return attr
}

// inNamespaces returns nil in a worker that was started in namespaces.
func inNamespaces() error {
	if os.Getpid() != 1 {
		return errors.New("not used")
	}
	return nil
}

// spaceSlack is the number of bytes by which the address space of a worker may exceed its limit of writable memory:
// reservations of glibc and Go, and mapped files. It bounds the kernel's memory for read-only mappings.
const spaceSlack = 1 << 30

// setMemory sets the limit of writable memory of a worker, in bytes. The worker's filter forbids the worker to raise
// it. A limit below the present use forbids every further allocation.
func (p *process) setMemory(n int64) error {
	if raceDetector {
		return nil // the race detector needs additional memory
	}
	limit := unix.Rlimit{Cur: uint64(min(n, p.mostData)), Max: uint64(p.mostData)}
	return p.setLimit(unix.RLIMIT_DATA, limit)
}

// boundSpace bounds the address space of a worker, for its whole life.
func (p *process) boundSpace() error {
	if raceDetector {
		return nil
	}
	n := uint64(p.usage().space + p.mostData + spaceSlack)
	return p.setLimit(unix.RLIMIT_AS, unix.Rlimit{Cur: n, Max: n})
}

func (p *process) setLimit(what int, limit unix.Rlimit) error {
	if err := unix.Prlimit(p.cmd.Process.Pid, what, &limit, nil); err != nil {
		return fmt.Errorf("limiting the memory of a worker: %w", err)
	}
	return nil
}

// dieFirst asks the kernel to end the worker first when memory is short.
func (p *process) dieFirst() error {
	name := fmt.Sprintf("/proc/%d/oom_score_adj", p.cmd.Process.Pid)
	if err := os.WriteFile(name, []byte("1000"), 0); err != nil {
		return fmt.Errorf("marking a worker as the first to end: %w", err)
	}
	return nil
}

// cpuTime returns the CPU time of all threads of a process, including ended threads. Error: the process has ended.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED: user and system time, exact
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("reading the processor time of a worker: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// lowerPriority lowers the priority of all threads of a worker. Later threads inherit it.
func lowerPriority(pid, nice int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return // it has ended, or there is no /proc: the job runs at the usual priority
	}
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			// A thread may have ended by now.
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
		}
	}
}
