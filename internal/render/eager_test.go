package render

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// eagerDemand returns the demand of a job of the eager lane, and the context that it yields by.
func eagerDemand(t *testing.T, need int64) (demand, context.Context) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	return demand{lane: eager, requester: Requester{Account: "a", Eager: true}, need: written(need),
		cost: time.Millisecond, yield: cancel}, ctx
}

// TestEagerJobsDelayNoOther: whatever eager jobs run or wait, the jobs of the other lanes find their slots, and those
// that need the memory of eager jobs get it. No eager job starts while another one waits.
func TestEagerJobsDelayNoOther(t *testing.T) {
	t.Parallel()
	for l := range eager {
		synctest.Test(t, func(t *testing.T) { testEagerJobsDelayNoOther(t, l) })
	}
}

func testEagerJobsDelayNoOther(t *testing.T, l lane) {
	a := newAdmission(PoolConfig{Workers: 2, Memory: 4 << 30, Queue: 100, Eager: true})
	all := a.shared.Stats().Size
	large, yielded := eagerDemand(t, all/2)
	first, atOnce := enters(t, a, large)
	small, smallYields := eagerDemand(t, mib)
	second, secondAtOnce := enters(t, a, small)
	waits, _ := eagerDemand(t, mib)
	third, thirdAtOnce := enters(t, a, waits)
	if !atOnce || !secondAtOnce || thirdAtOnce {
		t.Errorf("%s: with two workers three eager jobs were admitted: %v, %v, %v", l, atOnce, secondAtOnce, thirdAtOnce)
	}
	job := func(account string, need int64) demand {
		return demand{lane: l, requester: Requester{Account: account}, need: written(need), cost: time.Millisecond}
	}
	var running []func() *admitted
	for _, account := range []string{"a", "b", "c"} { // beside the eager jobs
		j, atOnce := enters(t, a, job(account, mib))
		if !atOnce || yielded.Err() != nil {
			t.Errorf("%s: a cheap job of account %s was admitted: %v; eager jobs yield: %v", l, account, atOnce, yielded.Err())
		}
		running = append(running, j)
	}
	// It takes the reserve too, if the lane has one, and what is free.
	view, viewAtOnce := enters(t, a, job("a", all))
	if viewAtOnce || !errors.Is(context.Cause(yielded), ErrYielded) || !errors.Is(context.Cause(smallYields), ErrYielded) {
		t.Errorf("%s: a job waits for memory: %v; the eager jobs got %v and %v", l, !viewAtOnce, context.Cause(yielded),
			context.Cause(smallYields))
	}
	first().leave()
	second().leave()
	for _, j := range running {
		j().leave()
	}
	last := view() // admitted though the third eager job waited before it
	synctest.Wait()
	if s := a.spare.Stats(); s.Running != 1 || s.Waiting != 0 {
		t.Errorf("%s: beside one job %d eager jobs run", l, s.Running)
	}
	last.leave()
	third().leave()
	if n := a.shared.Stats().Refused; n != 0 {
		t.Errorf("%s: %d tries of eager jobs count as refusals", l, n)
	}
	for _, p := range a.pools() {
		if s := p.Stats(); s.Used != 0 || s.Waiting != 0 {
			t.Errorf("left over: %+v", s)
		}
	}
}

// TestEagerJobsWaitForAnIdleCPU: an eager job starts when fewer jobs than workers run, and none waits.
func TestEagerJobsWaitForAnIdleCPU(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(PoolConfig{Workers: 2, Memory: 4 << 30, Queue: 100, Eager: true})
		var running []func() *admitted
		for _, l := range []lane{uploads, renditions, renditions, renditions, renditions} { // the last one waits
			j, _ := enters(t, a, demand{lane: l, requester: Requester{Account: "a"}, need: written(mib), cost: time.Millisecond})
			running = append(running, j)
		}
		d, _ := eagerDemand(t, mib)
		j, _ := enters(t, a, d)
		for i, other := range running {
			if runs := a.spare.Stats().Running > 0; runs != (i == len(running)-1) {
				t.Errorf("beside %d jobs of a pool with 2 workers the eager job runs: %v", len(running)-i, runs)
			}
			other().leave()
			synctest.Wait()
		}
		j().leave()
		if s := a.spare.Stats(); s.Running != 0 || s.Waiting != 0 {
			t.Errorf("left over: %+v", s)
		}
	})
}

// TestNoEagerLane: a Pool without the lane refuses its jobs.
func TestNoEagerLane(t *testing.T) {
	t.Parallel()
	d, _ := eagerDemand(t, mib)
	if _, err := newTestAdmission(2, 4<<30, 100).enter(t.Context(), d); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
}
