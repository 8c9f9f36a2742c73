package render

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns the time that all threads of a process, ended ones too, have used of processors.
// It fails when the process is gone.
func cpuTime(pid int) (time.Duration, error) {
	const sched = 2 // CPUCLOCK_SCHED: user and system time, exact
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("reading the processor time of a worker: %w", err)
	}
	return time.Duration(t.Nano()), nil
}
