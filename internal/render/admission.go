package render

import (
	"context"
	"errors"
	"fmt"
	"time"

	"calotype/internal/limit"
)

// A lane is a kind of jobs. Each has separate workers and a separate queue, so that renditions cannot starve
// uploads, and so that the first decoding of hostile bytes happens in a worker that writes no rendition. The eager
// lane is below the others, which are those before it.
type lane int

const (
	uploads lane = iota
	renditions
	eager
	lanes
)

func (l lane) String() string { return [lanes]string{Uploads, Renditions, Eager}[l] }

// A Requester identifies the requester of a job: the lanes are shared fairly among accounts, and the share of
// an account among the clients that request its pictures.
type Requester struct {
	Account string
	Client  string // "" if not known
	Eager   bool   // no client waits for the job: it runs in the lane below the others
}

type requesterKey struct{}

// WithRequester returns a context that names the Requester of its jobs. It does not affect the results.
func WithRequester(ctx context.Context, who Requester) context.Context {
	return context.WithValue(ctx, requesterKey{}, who)
}

func requesterOf(ctx context.Context) Requester {
	who, _ := ctx.Value(requesterKey{}).(Requester)
	return who
}

func (a Requester) keys() []string {
	if a.Client == "" {
		return []string{a.Account}
	}
	return []string{a.Account, a.Client}
}

// expensiveTime is the estimated CPU time above which a job is expensive. A camera's picture takes less.
const expensiveTime = 500 * time.Millisecond

// A demand holds the estimated needs of a job.
type demand struct {
	lane      lane
	requester Requester
	need      memory        // beyond an idle worker
	cost      time.Duration // estimated CPU time
	// dedicated: the job gets an unused worker, which ends after the job.
	dedicated bool
	yield     context.CancelCauseFunc // ends a job of the eager lane
}

func (d demand) expensive() bool { return d.cost > expensiveTime }

// nice returns the niceness of a worker for the job.
func (d demand) nice() int {
	switch {
	case d.lane == eager:
		return eagerNice
	case d.expensive():
		return expensiveNice
	}
	return 0
}

// An admission decides which job may start. With W workers a lane has 2W+1 slots. A single account may hold
// W+1 of them, so a job of another account starts at once and shares the CPU. At most 2W-1 jobs are expensive, and
// at most W expensive jobs of one account, so a cheap job of another account, and one of the same account, can
// always start. Beyond that accounts take turns, and within an account its clients; a turn costs the
// estimated time of its job.
//
// Memory is in two pools: one that all lanes share, and a reserve that uploads use first, so that
// renditions cannot starve them.
//
// A job of the eager lane, for which no client waits, starts on a CPU that is idle, and takes memory that is free. It
// has no slot, and its worker has the lowest priority, so that jobs of the other lanes that arrive later start at once.
// When one of them has to wait for memory, the jobs of the eager lane end with ErrYielded.
type admission struct {
	slots, expensive [eager]*limit.Pool // jobs
	spare            *limit.Spare       // admits the jobs of the eager lane
	shared           *limit.Pool        // bytes
	reserve          *limit.Pool        // bytes, of uploads
	largest          int64              // bytes that one job may hold of shared
}

// newAdmission divides the memory and slots of a Pool. It first subtracts the memory of the workers themselves.
func newAdmission(c PoolConfig) *admission {
	slots := int64(2*c.Workers + 1)
	processes := int64(eager)*slots + 1 // a spare one of uploads
	if c.WorkerPerAccount {
		processes++ // and of renditions
	}
	a := &admission{spare: limit.NewSpare(0)}
	if c.Eager {
		a.spare = limit.NewSpare(c.Workers)
		processes += int64(c.Workers)
	}
	total := max(c.Memory-processes*idleCost, c.Memory/4)
	for l := range eager {
		a.slots[l] = jobPool(l.String(), slots, c.Queue)
		a.expensive[l] = jobPool("expensive_"+l.String(), slots-2, c.Queue)
	}
	shared := total - total/4
	a.largest = shared - shared/4
	a.shared = limit.New(limit.Config{
		Name: "render_memory", Size: shared, Shares: []limit.Share{limit.Half},
		Queue:  int(4 * slots), // twice the number of slots, so this queue is never full
		OnWait: a.spare.Yield,
	})
	a.reserve = limit.NewFair("render_memory_uploads", total/4)
	return a
}

func jobPool(name string, size int64, queue int) *limit.Pool {
	return limit.New(limit.Config{
		Name: name, Size: size, Shares: []limit.Share{limit.Half}, Queue: queue,
	})
}

func (a *admission) pools() []*limit.Pool {
	return []*limit.Pool{
		a.slots[uploads], a.slots[renditions], a.expensive[uploads], a.expensive[renditions],
		a.shared, a.reserve,
	}
}

// An admitted job holds its slots and memory until it leaves.
type admitted struct {
	leases [3]*limit.Lease // expensive slot, slot, memory; in the order in which they are taken
	left   func()          // called after their release; nil for none
}

func (j *admitted) leave() {
	for i := len(j.leases) - 1; i >= 0; i-- {
		j.leases[i].Release()
	}
	if j.left != nil {
		j.left()
	}
}

// enter waits until a job may start. After success the caller must call leave. Errors: ErrBusy at once if the
// queue is full or the requester's share of it is used up, or the context's error.
func (a *admission) enter(ctx context.Context, d demand) (*admitted, error) {
	if d.lane == eager {
		return a.enterEager(ctx, d)
	}
	a.spare.Arrive()
	j, err := a.acquire(ctx, d)
	if err != nil {
		a.spare.Refuse()
		return nil, err
	}
	a.spare.Admit()
	j.left = a.spare.Leave
	return j, nil
}

// acquire waits for the slots and the memory of a job. Errors: those of enter.
func (a *admission) acquire(ctx context.Context, d demand) (*admitted, error) {
	j := &admitted{}
	slot := limit.Request{Keys: d.requester.keys(), N: 1, Cost: max(1, d.cost.Microseconds())}
	var err error
	if d.expensive() {
		j.leases[0], err = a.expensive[d.lane].Acquire(ctx, slot)
	}
	if err == nil {
		j.leases[1], err = a.slots[d.lane].Acquire(ctx, slot)
	}
	if err == nil {
		j.leases[2], err = a.memory(ctx, d)
	}
	if err == nil {
		return j, nil
	}
	j.leave()
	if errors.Is(err, limit.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return nil, err
}

// memory reserves the memory of a job. A job that needs more than the total runs when three quarters
// are free; a quarter stays for the others.
func (a *admission) memory(ctx context.Context, d demand) (*limit.Lease, error) {
	if d.lane == uploads {
		if lease, err := a.reserve.TryAcquire(d.need.resident, d.requester.Account); err == nil {
			return lease, nil
		}
	}
	return a.shared.Acquire(ctx, limit.Request{
		Keys: []string{d.requester.Account}, N: min(d.need.resident, a.largest),
	})
}

// enterEager is enter for a job of the eager lane. No account holds its memory, which would reduce what the account's
// views may hold.
func (a *admission) enterEager(ctx context.Context, d demand) (*admitted, error) {
	j, need := &admitted{}, min(d.need.resident, a.largest)
	guest, err := a.spare.Enter(ctx, func() bool {
		if s := a.shared.Stats(); s.Waiting > 0 || s.Size-s.Used < need {
			return false // without a try, which would count as a refusal
		}
		lease, err := a.shared.TryAcquire(need)
		j.leases[0] = lease
		return err == nil
	}, func() { d.yield(ErrYielded) })
	if errors.Is(err, limit.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	j.left = guest.Leave
	return j, nil
}

// most returns the number of jobs of a lane that may run at once.
func (a *admission) most(l lane) int {
	if l == eager {
		return a.spare.Stats().Size
	}
	return int(a.slots[l].Stats().Size)
}
