package render

import (
	"context"
	"fmt"
	"time"
)

// jobLimits bound one job in a worker.
type jobLimits struct {
	cpu    time.Duration // processor time of all threads
	wall   time.Duration // time on the clock
	memory int64         // writable memory beyond that of an idle worker, in bytes
}

// errSlow: the job did not get enough processor time. The picture has no fault.
var errSlow = fmt.Errorf("%w: a worker was not done", ErrBusy)

// eagerWall is the least limit on the wall-clock time of a job of the eager lane.
const eagerWall = 10 * time.Minute

// limits returns the limits of a job. The limit on wall-clock time is a multiple of the processor time,
// because a busy machine gives each process little of it, but at most a minute longer.
func (p *Pool) limits(d demand) jobLimits {
	cpu := p.timeout(d)
	limits := jobLimits{cpu: cpu, wall: min(5*cpu, cpu+time.Minute), memory: d.need.mapped}
	if d.lane == eager {
		limits.wall = max(limits.wall, eagerWall) // it gets what CPU the others leave
	}
	if p.c.patient {
		limits.wall = time.Hour
	}
	return limits
}

// dataSlack is added to the estimate of writable memory, in bytes: mostly for stacks of threads, of 8 MiB each,
// and for caches of allocators.
const dataSlack = 128 * mib

// idleLimit is the limit of writable memory for a worker without a job, in bytes.
func (p *process) idleLimit() int64 { return p.idleData + dataSlack }

// limited reports whether the system lets the server limit the memory of the worker.
func (p *process) limited() bool { return p.hello.Sandbox.Parts[partJobMemory] > 0 }

// begin sets the worker's memory limit for a job, in addition to memory that it retains of earlier
// jobs. Without it a decoder would fail to start its threads, and some decoders then wait for ever.
func (p *process) begin(l jobLimits) error {
	if !p.limited() {
		return nil
	}
	err := p.setMemory(max(p.idleData, p.usage().data) + dataSlack + l.memory)
	if err != nil && !p.alive() {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrWorker, err)
	}
	return nil
}

// fits reports whether the worker may map the bytes of a job in addition to memory that it retains of earlier
// jobs. A new worker always may.
func (p *process) fits(mapped int64) bool {
	data := p.usage().data
	return !p.limited() || data <= p.idleData || data+dataSlack+mapped <= p.mostData
}

// worn reports whether the worker has done enough jobs, or retains too much memory for the estimate of the
// next job. About 60 MiB more than at its start are usual: stacks of threads that wait for the next job, and
// the cache of malloc.
func (p *process) worn() bool {
	u := p.usage()
	return p.jobs >= recycleJobs || u.resident > recycleMemory ||
		p.limited() && u.data > p.idleLimit()
}

// watch cancels a job with ErrTime when the worker has used cpu since the call. The returned function stops it.
func (p *process) watch(cpu time.Duration, cancel context.CancelCauseFunc) (end func()) {
	before, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return func() {} // the limit on wall-clock time remains
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(min(max(cpu/16, 10*time.Millisecond), 250*time.Millisecond))
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			now, err := cpuTime(p.cmd.Process.Pid)
			if err != nil {
				return // it has ended, which the reader of its socket notices
			}
			if now-before >= cpu {
				cancel(fmt.Errorf("%w: %w: it used %s of a processor", ErrWorker, ErrTime,
					(now - before).Round(10*time.Millisecond)))
				return
			}
		}
	}()
	return func() { close(done) }
}
