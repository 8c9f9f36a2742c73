package render

import "time"

// The choice of an idle worker for a job. A worker that a hostile picture has taken over may read and forge its
// next jobs. So a job gets a worker that worked for its account before, else an unused one, else one of another
// account; with PoolConfig.WorkerPerAccount never the last. The first decoding of a format in dedicatedWorker gets an
// unused worker only.

// pop takes the idle worker of a lane that suits a job best; nil if no idle worker does.
func (p *Pool) pop(d demand) *process {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, best, rank := d.lane, -1, 0
	for i, w := range p.idle[l] {
		if r := p.rank(w, d); r > 0 && r >= rank { // of equal ones the most recently used one
			best, rank = i, r
		}
	}
	if best < 0 {
		return nil
	}
	w := p.idle[l][best]
	p.idle[l] = append(p.idle[l][:best], p.idle[l][best+1:]...)
	return w
}

// rank returns how well a worker suits a job; 0: not at all.
func (p *Pool) rank(w *process, d demand) int {
	switch {
	case w.jobs == 0:
		return 2
	case w.nice != d.nice(): // its priority differs from the job's
		return 0
	case d.dedicated:
		return 0
	case w.account == d.requester.Account:
		return 3
	case p.c.WorkerPerAccount:
		return 0
	}
	return 1
}

// An assignment describes the last use of a worker.
type assignment struct {
	account string
	nice    int           // its niceness; above 0 it runs at a lower priority
	since   time.Time     // idle since
	cpu     time.Duration // CPU time used at that time
}

// The niceness of workers. Beside other work expensive jobs get a tenth of a CPU, and jobs of the eager lane a
// sixtieth; without it they get all of it.
const (
	expensiveNice = 10
	eagerNice     = 19
)

// assign prepares a worker for a job.
func (w *process) assign(d demand) {
	if nice := d.nice(); nice > w.nice {
		lowerPriority(w.cmd.Process.Pid, nice)
	}
	w.account, w.nice = d.requester.Account, d.nice()
}

// makeWay stops the least recently used idle worker of a lane if the lane has a worker for each slot, because
// another worker is about to start.
func (p *Pool) makeWay(l lane) {
	p.mu.Lock()
	var w *process
	if len(p.idle[l]) > 0 && p.workers(l) >= p.admission.most(l) {
		w = p.idle[l][0]
		p.idle[l] = p.idle[l][1:]
		p.ended[endIdle]++
	}
	p.mu.Unlock()
	if w != nil {
		p.end(w)
	}
}

// keepSpare starts a worker for later jobs, so that they need not wait for a start: with PoolConfig.WorkerPerAccount
// and for a job with a dedicated worker an unused one, and at the start of an expensive job one of the usual
// priority if none is idle.
func (p *Pool) keepSpare(d demand) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, unused := d.lane, p.c.WorkerPerAccount || d.dedicated
	if l == eager || !unused && !d.expensive() || p.closed || p.spare[l] {
		return
	}
	for _, w := range p.idle[l] {
		if w.jobs == 0 || !unused && w.nice == 0 {
			return
		}
	}
	p.spare[l] = true
	p.owned.Go(func() {
		p.makeWay(l)
		w, err := p.start(p.ctx, l)
		p.mu.Lock()
		p.spare[l] = false
		p.mu.Unlock()
		if err == nil {
			p.release(l, w)
		} else if p.ctx.Err() == nil {
			p.c.Log.Warn("cannot start a spare render worker", "lane", l.String(), "error", err)
		}
	})
}

// idleCPU is the CPU time from which an idle worker counts as taken over: the garbage collector and timers use
// less in its whole idle time.
const idleCPU = 200 * time.Millisecond

// busyIdle reports whether a worker uses CPU time without a job.
func (w *process) busyIdle() bool {
	now, err := cpuTime(w.cmd.Process.Pid)
	return err == nil && w.cpu > 0 && now-w.cpu > idleCPU
}

// noteIdle begins the idle time of a worker.
func (w *process) noteIdle() {
	w.since = time.Now()
	w.cpu, _ = cpuTime(w.cmd.Process.Pid) // 0 if not known: then busyIdle is false
}
