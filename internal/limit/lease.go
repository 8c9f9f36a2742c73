package limit

import "time"

// A Lease holds units of a Pool for a caller. It is not safe for concurrent use, except Release.
type Lease struct {
	p  *Pool
	at *node
	n  int64 // guarded by p.mu; negative once released
}

// Grow takes n more units without a wait. Error: ErrFull if they are not free or exceed the share of a key.
func (l *Lease) Grow(n int64) error {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if err := l.p.take(l.at, n); err != nil {
		l.p.refused++
		return err
	}
	l.n += n
	return nil
}

// Shrink releases n units, at most all.
func (l *Lease) Shrink(n int64) {
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if n = min(n, l.n); n <= 0 {
		return
	}
	l.p.give(l.at, n)
	l.n -= n
	l.p.dispatch()
}

// Release releases all units. It may be called more than once, and on nil.
func (l *Lease) Release() {
	if l == nil {
		return
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	if l.n < 0 {
		return
	}
	l.p.give(l.at, l.n)
	l.n = -1
	l.p.leave(l.at)
	l.p.dispatch()
}

// Used returns the number of units that all leases hold.
func (p *Pool) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.root.held
}

// Stats is the state of a Pool at one moment.
type Stats struct {
	Name       string
	Size, Used int64 // units
	Waiting    int   // requests
	Keys       int   // number of the widest keys that hold or wait
	Largest    int64 // the most units that one of these keys holds

	// Since the start.
	Refused, TimedOut int64         // requests
	Waited            time.Duration // total time of all requests in the queue
}

// Stats returns the state of the pool.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{Name: p.c.Name, Size: p.c.Size, Used: p.root.held, Waiting: p.root.waiting,
		Keys: len(p.root.children), Refused: p.refused, TimedOut: p.timedOut, Waited: p.waited}
	for _, child := range p.root.children {
		s.Largest = max(s.Largest, child.held)
	}
	return s
}
