// Package render renders originals without ever decoding a pixel in this process.
//
// Package imagefile reads the header of an original. Options and their Plan describe the
// transformation. Workers process the pixels: processes of the same binary that a Pool starts in a
// sandbox (WorkerMain), and to which it sends small frames over a socket. A job is one frame and its
// open files; a worker has one job at a time. A file that crashes or hangs a decoder, or exhausts its
// memory, fails its job and ends one process. This package checks all answers and output of workers
// like input from a hostile client, because a picture may have taken over the decoder.
//
// The worker's main passes in the engine that decodes and encodes; package render links no C code.
package render

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/landlock"
	"calotype/internal/limit"
)

// The errors of a job, besides a *LimitError, a *NoDecoderError and the error of its context.
var (
	// ErrUndecodable: the decoder refused the picture; the text has the reason.
	ErrUndecodable = errors.New("render: undecodable picture")
	// ErrBusy: the queue is full, or the system gave the job too little CPU time; retry later.
	ErrBusy = errors.New("render: too busy")
	// ErrWorker: the worker crashed, used too much memory or time, or broke the protocol.
	ErrWorker = errors.New("render: worker failed")
	// ErrTime comes with ErrWorker if the job has used all of its CPU time.
	ErrTime = errors.New("render: out of time")
	// ErrNoWorker: no worker could be started. The picture has no fault; retry later.
	ErrNoWorker = errors.New("render: no worker")
	// ErrEncode: the picture was decoded, but the output could not be made.
	ErrEncode = errors.New("render: encoding failed")
	// ErrOutOfMemory: an Engine has reached the memory limit of its process. A Pool returns it
	// together with ErrWorker.
	ErrOutOfMemory = errors.New("render: out of memory")
	// ErrYielded: a job of another lane needed the memory of this job of the eager lane; retry it.
	ErrYielded = errors.New("render: yielded to another job")
)

// A NoDecoderError refuses an original because a library that decodes its format is missing on this server.
type NoDecoderError struct {
	Format imagefile.Format
	Reason string
}

func (e *NoDecoderError) Error() string {
	return fmt.Sprintf("render: no decoder of %s: %s", e.Format.MIME(), e.Reason)
}

// PoolConfig configures a Pool.
type PoolConfig struct {
	Command []string // command of a worker, such as {"/path/calotype", "worker"}
	Workers int      // concurrent jobs; 0 for a default from CPU and memory
	// Memory limits the estimates of all concurrent jobs together, in bytes; 0 for a default. A picture that
	// needs more than it, and more than 512 MiB, is refused.
	Memory  int64
	Timeout time.Duration // CPU time of a job; 0 for 30 s. Uploads have less: see examineTimeout
	Queue   int           // waiting jobs of a lane, and waiting expensive jobs of a lane; 0 for 512
	// WorkerPerAccount never uses a worker for two accounts: a decoder that one account's picture has
	// taken over never gets another's pictures. Each change of the account costs a start.
	WorkerPerAccount bool
	RequireSandbox   bool // fail if the sandbox is not complete
	Eager            bool // the eager lane accepts jobs: see Requester.Eager
	Log              *slog.Logger
	Timer            Timer // nil for none

	// For tests: fewer features than the system has.
	noNamespaces bool
	landlock     int  // the newest version to use; negative for none
	patient      bool // no limit on wall-clock time
	keepWorn     bool // workers are not replaced after a number of jobs
}

// Properties are the properties that a worker found by decoding an original.
type Properties struct {
	Width, Height int // as shown, after orientation
	Frames        int
	Alpha         bool
	Thumbhash     []byte // about 25 bytes
	Phash         string // package phash; "" for a picture of one tone
}

// A Job describes one rendition.
type Job struct {
	Header  imagefile.Header
	Alpha   bool
	Options Options
	Format  imagefile.Format // of the rendition
	HDR     bool             // the rendition has the gain map of the original, if it can: see KeepsGainMap

	GainMap *imagefile.GainMap // set by Pool.Render
	// FirstQuality is the quality that a search tries first; 0 for the usual one. See Searches.
	FirstQuality int
}

// Output describes a rendition; the Pool has checked its type and size.
type Output struct {
	Width, Height int
	Frames        int
	Size          int64
	Quality       int // found by a search; 0 without one
}

const (
	defaultTimeout = 30 * time.Second
	// examineTimeout is the CPU time of an examination, which is part of a request and the first decoding of hostile
	// files; examinePatience limits the CPU time in multiples of the estimate. The largest allowed pictures take 11
	// s, and up to 4.3 times their estimate.
	examineTimeout  = 8 * time.Second
	examinePatience = 6
	defaultQueue    = 512 // of which a single account may have half
	// queueTime bounds the wait for a worker.
	queueTime = 30 * time.Second
	// A worker is replaced after recycleJobs jobs, or with recycleMemory bytes of resident memory after
	// a job, which limits leaks and fragmentation in its libraries.
	recycleJobs   = 500
	recycleMemory = 256 * mib
	// idleTime is the time after which all idle workers of a lane except one are stopped.
	idleTime = time.Minute
)

// A Pool is a pool of worker processes. Each lane has separate workers. Its methods are safe
// for concurrent use.
type Pool struct {
	c         PoolConfig
	jobMemory int64 // bytes: the largest estimate of an accepted job
	idleTime  time.Duration
	version   string
	missing   map[imagefile.Format]string // decoders, with the reasons
	// missingEncoders are those of output formats, with the reasons.
	missingEncoders map[imagefile.Format]string
	libraries       map[imagefile.Format]string
	sandbox         SandboxState
	spawner         *spawner
	admission       *admission

	ctx    context.Context // ends with the Pool, and cancels all jobs
	cancel context.CancelCauseFunc
	owned  sync.WaitGroup // jobs and the janitor

	mu       sync.Mutex
	closed   bool
	idle     [lanes][]*process // the most recently used one is last
	spare    [lanes]bool       // a spare worker is being started
	all      map[*process]lane // every worker, idle or not
	lost     int64
	recycled int64
	ended    map[string]int64 // by reason
}

// errClosed is the error of jobs in a closed Pool.
var errClosed = fmt.Errorf("%w: the pool is closed", ErrBusy)

// NewPool is StartPool without a limit of time except that of each worker's start.
func NewPool(c PoolConfig) (*Pool, error) { return StartPool(context.Background(), c) }

// StartPool starts a Pool with one worker in each lane except the eager one. It returns an error if a worker cannot be
// started before ctx ends, or, with RequireSandbox, if a sandbox is not complete. Otherwise it logs an incomplete
// sandbox. The Pool outlives ctx.
func StartPool(ctx context.Context, c PoolConfig) (*Pool, error) { return startPool(ctx, c, idleTime) }

func startPool(ctx context.Context, c PoolConfig, idle time.Duration) (*Pool, error) {
	if len(c.Command) == 0 {
		return nil, errors.New("render: PoolConfig.Command is empty; it names the worker's program")
	}
	c.fill()
	p := &Pool{c: c, jobMemory: maxJobMemory(c.Memory), idleTime: idle, spawner: newSpawner(c),
		all: map[*process]lane{}, ended: noneEnded()}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.admission = newAdmission(c)
	for l := range eager {
		w, err := p.start(ctx, l)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.release(l, w)
	}
	if !p.sandbox.Complete {
		c.Log.Warn("the render workers' sandbox is incomplete", "sandbox", p.sandbox.Detail)
	}
	for format, why := range p.missing {
		c.Log.Warn("originals of a format are refused, because they cannot be decoded", "format", format, "reason", why)
	}
	for format, why := range p.missingEncoders {
		c.Log.Warn("renditions get another format, because it cannot be encoded", "format", format, "reason", why)
	}
	p.owned.Go(p.janitor)
	return p, nil
}

func (c *PoolConfig) fill() {
	if c.Memory <= 0 {
		c.Memory = defaultMemory()
	}
	if c.Workers <= 0 {
		c.Workers = defaultWorkers(c.Memory)
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Queue <= 0 {
		c.Queue = defaultQueue
	}
	if c.landlock == 0 {
		c.landlock = landlock.Newest
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// Version returns the version of the workers' pipeline and its libraries. Renditions of different versions may
// differ.
func (p *Pool) Version() string { return p.version }

// Libraries returns the libraries of each format, as a worker reported them at its start: see Engine.
func (p *Pool) Libraries() map[imagefile.Format]string { return p.libraries }

// Status is the state of a Pool at a point in time.
type Status struct {
	Uploads, Renditions LaneStatus
	Eager               LaneStatus // its Limit is 0 if there is no eager lane
	Lost                int64      // workers that crashed, hung or broke the protocol, since the start
	Recycled            int64      // workers replaced without a failure, since the start
	// Ended counts the workers that ended since the start, by reason; it has all reasons.
	Ended               map[string]int64
	Memory, MemoryInUse int64 // bytes: the budget, and the estimates of workers and jobs
	Sandbox             SandboxState
	Timeout             time.Duration
}

// LaneStatus is the state of the workers of a lane.
type LaneStatus struct {
	Workers int // living processes
	Running int // running jobs
	Waiting int // jobs in the queue
	Limit   int // maximal number of concurrent jobs
}

// Status returns the present state of the Pool.
func (p *Pool) Status() Status {
	a := p.admission
	p.mu.Lock()
	defer p.mu.Unlock()
	of := func(l lane) LaneStatus {
		s, expensive := a.slots[l].Stats(), a.expensive[l].Stats()
		return LaneStatus{
			Workers: p.workers(l), Running: int(s.Used), Waiting: s.Waiting + expensive.Waiting,
			Limit: int(s.Size),
		}
	}
	spare := a.spare.Stats()
	return Status{
		Uploads: of(uploads), Renditions: of(renditions),
		Eager: LaneStatus{p.workers(eager), spare.Running, spare.Waiting, spare.Size},
		Lost:  p.lost, Recycled: p.recycled,
		Ended: maps.Clone(p.ended), Memory: p.c.Memory,
		MemoryInUse: a.shared.Stats().Used + a.reserve.Stats().Used + int64(len(p.all))*idleCost,
		Sandbox:     p.sandbox, Timeout: p.c.Timeout,
	}
}

// workers returns the number of workers of a lane, idle or not. The caller has locked mu.
func (p *Pool) workers(l lane) (n int) {
	for _, of := range p.all {
		if of == l {
			n++
		}
	}
	return n
}

// Pools returns the pools of memory and slots that accounts share, for metrics.
func (p *Pool) Pools() []*limit.Pool { return p.admission.pools() }

// Close ends all jobs and workers, and waits for them.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	p.mu.Unlock()
	p.cancel(errClosed)
	p.owned.Wait()
	for l := range lanes {
		for _, w := range p.idle[l] {
			p.end(w)
		}
		p.idle[l] = nil
	}
	p.spawner.close()
	return nil
}

// janitor stops retired workers until the Pool closes.
func (p *Pool) janitor() {
	tick := time.NewTicker(p.idleTime / 4)
	defer tick.Stop()
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-tick.C:
			for l := range lanes {
				for _, w := range p.retired(l) {
					p.end(w)
				}
			}
		}
	}
}

// retired removes idle workers of a lane and returns them: dead ones, those that use CPU time without a job,
// and those that were idle for long, except the last one of the usual priority.
func (p *Pool) retired(l lane) []*process {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := -1
	for i, w := range p.idle[l] {
		if w.nice == 0 && w.alive() && !w.busyIdle() {
			last = i
		}
	}
	var keep, end []*process
	for i, w := range p.idle[l] {
		switch {
		case !w.alive():
			p.ended[endGone]++
			end = append(end, w)
		case w.busyIdle():
			p.ended[endBusy]++
			p.c.Log.Warn("a render worker without a job uses the CPU and is ended", "lane", l.String())
			end = append(end, w)
		case i != last && time.Since(w.since) > p.idleTime:
			p.ended[endIdle]++
			end = append(end, w)
		default:
			keep = append(keep, w)
		}
	}
	p.idle[l] = keep
	return end
}
