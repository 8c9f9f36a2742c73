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

// errSlow: the job did not get enough of a processor in time. That says nothing of the picture.
var errSlow = fmt.Errorf("%w: a worker was not done", ErrBusy)

// limits are those of a job. The clock on the wall gives it several times its processor time, since a
// busy machine gives each process little, but at most a minute more.
func (p *Pool) limits(d demand) jobLimits {
	cpu := p.timeout(d)
	limits := jobLimits{cpu: cpu, wall: min(5*cpu, cpu+time.Minute), memory: d.need.mapped}
	if p.c.patient {
		limits.wall = time.Hour
	}
	return limits
}

// dataSlack is how much more writable memory a worker gets than was estimated, in bytes: mostly for
// stacks of threads, of 8 MiB each, and for what allocators keep.
const dataSlack = 128 * mib

// idleLimit is the limit of writable memory for a worker without a job, in bytes.
func (p *process) idleLimit() int64 { return p.idleData + dataSlack }

// limited reports whether the system lets the server limit the memory of the worker.
func (p *process) limited() bool { return p.hello.Sandbox.Parts[partJobMemory] > 0 }

// begin gives the worker the memory for a job, beside what it keeps of the jobs before. Without that a
// decoder would fail to start its threads, and some then wait for ever.
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

// fits reports whether the worker may map what a job needs, in bytes, beside what it keeps of jobs before.
// A new worker always does.
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

// watch cancels a job with ErrTime when the worker has used cpu since. The returned function ends
// the watch.
func (p *process) watch(cpu time.Duration, cancel context.CancelCauseFunc) (end func()) {
	before, err := cpuTime(p.cmd.Process.Pid)
	if err != nil {
		return func() {} // the clock on the wall remains
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
				return // it is gone, which the reader of its socket sees
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
