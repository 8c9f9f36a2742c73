package render

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// A lane is one of the two kinds of work. Each has workers and a queue of its own, so that
// renditions cannot starve uploads, and so that the first decode of hostile bytes happens where no
// rendition is written.
type lane int

const (
	uploads lane = iota
	renditions
	lanes
)

func (l lane) String() string { return [lanes]string{Uploads, Renditions}[l] }

// An admission decides which job may start: it needs a free worker of its lane and its share of
// memory. Within a lane the order is that of arrival. Memory is one account for both lanes, of
// which a reserve is kept for uploads; beyond the reserve the lanes take turns by arrival, so
// neither starves.
type admission struct {
	total, reserve int64 // bytes; the reserve is part of the total
	slots          [lanes]int
	depth          int // jobs that may wait, per lane

	mu      sync.Mutex
	used    [lanes]int64
	running [lanes]int
	queue   [lanes][]*waiter
	arrived uint64
}

// A waiter is a job in a queue.
type waiter struct {
	need  int64
	seq   uint64
	ready chan struct{} // closed when admitted
}

// newAdmission divides what a Pool has. The workers themselves come off the memory first.
func newAdmission(c PoolConfig) *admission {
	// One slow upload must not hold up all others.
	slots := [lanes]int{uploads: max(c.Workers, 2), renditions: c.Workers}
	total := max(c.Memory-int64(slots[uploads]+slots[renditions])*idleCost, c.Memory/4)
	return &admission{total: total, reserve: total / 4, slots: slots, depth: c.Queue}
}

// enter waits until a job that needs so many bytes may start. Each success needs one leave with the
// returned weight. It fails with ErrBusy at once when the queue is full, or with the context's
// error.
func (a *admission) enter(ctx context.Context, l lane, need int64) (int64, error) {
	a.mu.Lock()
	// A job that needs more than there is runs when its share is free, rather than never.
	need = min(need, a.ceiling(l))
	a.arrived++
	w := &waiter{need: need, seq: a.arrived, ready: make(chan struct{})}
	a.queue[l] = append(a.queue[l], w)
	a.admit()
	if len(a.queue[l]) > a.depth {
		a.drop(l, w)
		a.mu.Unlock()
		return 0, fmt.Errorf("%w: %d jobs wait for %s", ErrBusy, a.depth, l)
	}
	a.mu.Unlock()
	select {
	case <-w.ready:
		return need, nil
	case <-ctx.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-w.ready: // admitted in the same moment: give it back
		a.release(l, need)
	default:
		a.drop(l, w)
	}
	a.admit()
	return 0, context.Cause(ctx)
}

// leave ends a job that enter admitted.
func (a *admission) leave(l lane, weight int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.release(l, weight)
	a.admit()
}

func (a *admission) release(l lane, weight int64) {
	a.running[l]--
	a.used[l] -= weight
}

func (a *admission) drop(l lane, w *waiter) {
	a.queue[l] = slices.DeleteFunc(a.queue[l], func(o *waiter) bool { return o == w })
}

// ceiling is the most that one lane may use.
func (a *admission) ceiling(l lane) int64 {
	if l == renditions {
		return a.total - a.reserve
	}
	return a.total
}

// admit starts every job that may start now.
func (a *admission) admit() {
	for {
		first, second := a.head(uploads), a.head(renditions)
		l, other := uploads, renditions
		if first == nil || second != nil && second.seq < first.seq {
			first, second = second, first
			l, other = other, l
		}
		switch {
		case first != nil && a.fits(l, first.need):
			a.start(l, first)
		case second != nil && other == uploads && a.inReserve(second.need):
			a.start(other, second)
		default:
			return
		}
	}
}

// head is the next job of a lane that has a free worker, or nil.
func (a *admission) head(l lane) *waiter {
	if len(a.queue[l]) == 0 || a.running[l] >= a.slots[l] {
		return nil
	}
	return a.queue[l][0]
}

func (a *admission) fits(l lane, need int64) bool {
	return a.used[uploads]+a.used[renditions]+need <= a.total && a.used[l]+need <= a.ceiling(l)
}

// inReserve tells whether an upload fits into what is kept for uploads, whoever else is waiting.
func (a *admission) inReserve(need int64) bool {
	return a.used[uploads]+need <= a.reserve && a.fits(uploads, need)
}

func (a *admission) start(l lane, w *waiter) {
	a.queue[l] = a.queue[l][1:]
	a.running[l]++
	a.used[l] += w.need
	close(w.ready)
}
