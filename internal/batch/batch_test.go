package batch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"calotype/internal/limit"
)

var errBroken = errors.New("broken")

// A recorder commits each batch in one second and records it.
type recorder struct {
	mu      sync.Mutex
	batches [][]int
	fail    error // of each commit
}

func (r *recorder) commit(_ context.Context, next func() []int) error {
	values := next()
	time.Sleep(time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.batches = append(r.batches, values)
	return r.fail
}

func (r *recorder) want(t *testing.T, batches ...[]int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.EqualFunc(r.batches, batches, slices.Equal) {
		t.Errorf("the batches are %v, want %v", r.batches, batches)
	}
}

// A caller is a call of Do on its way.
type caller struct {
	err  error
	done chan struct{}
}

// start calls Do in a goroutine, until it blocks or ends.
func start(ctx context.Context, g *Group[int], key string, value int) *caller {
	c := &caller{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = g.Do(ctx, key, value)
	}()
	synctest.Wait()
	return c
}

func (c *caller) want(t *testing.T, err error) {
	t.Helper()
	if <-c.done; !errors.Is(c.err, err) {
		t.Errorf("Do returned %v, want %v", c.err, err)
	}
}

func queue(size int64) *limit.Pool { return limit.New(limit.Config{Name: "test", Size: size}) }

// wantEmpty checks that nothing waits and that no slot of the queue is taken.
func wantEmpty(t *testing.T, g *Group[int], keys ...string) {
	t.Helper()
	for _, key := range keys {
		if waiting, led, _ := g.Stats(key); waiting != 0 || led {
			t.Errorf("of key %q %d values wait, led: %v", key, waiting, led)
		}
	}
	if used := g.c.Queue.Used(); used != 0 {
		t.Errorf("%d slots of the queue are taken", used)
	}
}

func TestBatchesInOrderOfArrival(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)}, r.commit)
		var callers []*caller
		for i := range 6 {
			callers = append(callers, start(t.Context(), g, "a", i))
		}
		if waiting, led, batches := g.Stats("a"); waiting != 5 || !led || batches != 1 {
			t.Errorf("%d wait, led: %v, %d batches", waiting, led, batches)
		}
		began := time.Now()
		for _, c := range callers {
			c.want(t, nil)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("three batches took %v", took)
		}
		r.want(t, []int{0}, []int{1, 2, 3}, []int{4, 5})
		wantEmpty(t, g, "a")
	})
}

// A caller that arrives while the transaction waits for its connection is in the batch.
func TestNextIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)},
			func(ctx context.Context, next func() []int) error {
				time.Sleep(time.Second)
				return r.commit(ctx, next)
			})
		for i := range 2 {
			defer start(t.Context(), g, "a", i).want(t, nil)
		}
		time.Sleep(3 * time.Second)
		r.want(t, []int{0, 1})
	})
}

func TestKeysDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)}, r.commit)
		began := time.Now()
		a, b := start(t.Context(), g, "a", 1), start(t.Context(), g, "b", 2)
		a.want(t, nil)
		b.want(t, nil)
		if took := time.Since(began); took != time.Second {
			t.Errorf("one batch of each key took %v", took)
		}
		wantEmpty(t, g, "a", "b")
	})
}

// An error is that of all values of the batch, and of no other.
func TestErrorOfABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)}, r.commit)
		var callers []*caller
		for i := range 5 {
			callers = append(callers, start(t.Context(), g, "a", i))
		}
		callers[0].want(t, nil)
		r.mu.Lock()
		r.fail = errBroken
		r.mu.Unlock()
		for _, c := range callers[1:4] {
			c.want(t, errBroken)
		}
		r.mu.Lock()
		r.fail = nil
		r.mu.Unlock()
		callers[4].want(t, nil)
	})
}

// A leader whose commit fails before it has the batch fails, and no other caller does.
func TestErrorBeforeTheBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)},
			func(ctx context.Context, next func() []int) error {
				time.Sleep(time.Second)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return r.commit(ctx, next)
			})
		ctx, cancel := context.WithCancel(t.Context())
		leader := start(ctx, g, "a", 0)
		others := []*caller{start(t.Context(), g, "a", 1), start(t.Context(), g, "a", 2)}
		cancel()
		leader.want(t, context.Canceled)
		for _, c := range others {
			c.want(t, nil)
		}
		r.want(t, []int{1, 2})
	})
}

// A value whose context ends while it waits is in no batch. Once its batch has begun, Do returns the
// result of the batch.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)}, r.commit)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leader := start(t.Context(), g, "a", 0)
		stays, leaves := start(t.Context(), g, "a", 1), start(ctx, g, "a", 2)
		cancel()
		leaves.want(t, context.Canceled)
		ctx, cancel = context.WithCancel(t.Context())
		late := start(ctx, g, "a", 3)
		leader.want(t, nil)
		synctest.Wait() // until the batch of both has begun
		cancel()
		stays.want(t, nil)
		late.want(t, nil)
		r.want(t, []int{0}, []int{1, 3})
		wantEmpty(t, g, "a")
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 2, Wait: time.Second / 2, Queue: queue(10)}, r.commit)
		leader := start(t.Context(), g, "a", 0)
		began := time.Now()
		start(t.Context(), g, "a", 1).want(t, ErrTimeout)
		if took := time.Since(began); took != time.Second/2 {
			t.Errorf("the value waited for %v", took)
		}
		// A commit that takes longer than Wait times nothing out.
		time.Sleep(time.Second / 4)
		leader, last := start(t.Context(), g, "a", 2), leader
		last.want(t, nil)
		leader.want(t, nil)
		r.want(t, []int{0}, []int{2})
		wantEmpty(t, g, "a")
	})
}

// The queue is bounded. A value leaves it when its batch begins.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 2, Wait: time.Minute, Queue: queue(2)}, r.commit)
		for i := range 3 {
			defer start(t.Context(), g, "a", i).want(t, nil)
		}
		start(t.Context(), g, "a", 3).want(t, limit.ErrFull)
		time.Sleep(time.Second)
		synctest.Wait()
		for i := range 2 {
			defer start(t.Context(), g, "a", 4+i).want(t, nil)
		}
		start(t.Context(), g, "a", 6).want(t, limit.ErrFull)
		time.Sleep(time.Minute)
		r.want(t, []int{0}, []int{1, 2}, []int{4, 5})
		wantEmpty(t, g, "a")
	})
}

// The others in the batch of a leader that panics get ErrAbandoned; those that wait are committed.
func TestLeaderPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		g := New(Config{Max: 3, Wait: time.Minute, Queue: queue(10)},
			func(ctx context.Context, next func() []int) error {
				err := r.commit(ctx, next)
				if r.batches[len(r.batches)-1][0] == 1 {
					panic(errBroken)
				}
				return err
			})
		first := start(t.Context(), g, "a", 0)
		panicked := make(chan any, 1)
		go func() {
			defer func() { panicked <- recover() }()
			t.Errorf("Do returned %v", g.Do(t.Context(), "a", 1))
		}()
		synctest.Wait()
		var callers []*caller
		for i := 2; i < 5; i++ {
			callers = append(callers, start(t.Context(), g, "a", i))
		}
		first.want(t, nil)
		if got := <-panicked; got != errBroken {
			t.Errorf("the leader panicked with %v", got)
		}
		callers[0].want(t, ErrAbandoned)
		callers[1].want(t, ErrAbandoned)
		callers[2].want(t, nil)
		r.want(t, []int{0}, []int{1, 2, 3}, []int{4})
		wantEmpty(t, g, "a")
	})
}

// Callers of a few keys come, leave and fail at random: each value is in at most one batch, Do
// returns nil if and only if that batch was committed, no key has two batches at once, and nothing is
// left behind.
func TestRaces(t *testing.T) {
	t.Parallel()
	const maxValues, goroutines, rounds = 5, 48, 300
	keys := []string{"a", "b", "c"}
	var running [3]atomic.Int64
	var committed, seen sync.Map
	g := New(Config{Max: maxValues, Wait: time.Millisecond, Queue: queue(30)},
		func(_ context.Context, next func() []int) error {
			fails, slow := rand.IntN(8), rand.IntN(3) == 0
			if fails == 0 {
				return errBroken // before the batch
			}
			values := next()
			key := values[0] % len(keys)
			if n := running[key].Add(1); n != 1 || len(values) > maxValues {
				t.Errorf("%d batches of a key at once, one of %d values", n, len(values))
			}
			defer running[key].Add(-1)
			for _, v := range values {
				if _, twice := seen.LoadOrStore(v, true); twice || v%len(keys) != key {
					t.Errorf("%d is in two batches, or in the batch of another key", v)
				}
			}
			if slow {
				time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			}
			switch fails {
			case 1:
				return errBroken
			case 2:
				panic(errBroken)
			}
			for _, v := range values {
				committed.Store(v, true)
			}
			return nil
		})
	do := func(ctx context.Context, value int) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%v", p)
			}
		}()
		return g.Do(ctx, keys[value%len(keys)], value)
	}
	var all sync.WaitGroup
	var results [4]atomic.Int64
	for i := range goroutines {
		all.Go(func() {
			for round := range rounds {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(2) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(1000))*time.Microsecond, cancel)
				}
				value := i*rounds + round
				err := do(ctx, value)
				cancel()
				if _, ok := committed.Load(value); ok != (err == nil) {
					t.Errorf("%d was committed: %v; Do returned %v", value, ok, err)
				}
				_, ok := seen.Load(value)
				switch {
				case err == nil:
					results[0].Add(1)
				case errors.Is(err, context.Canceled), errors.Is(err, ErrTimeout), errors.Is(err, limit.ErrFull):
					results[1].Add(1)
					if ok {
						t.Errorf("Do returned %v for %d, which was in a batch", err, value)
					}
				case errors.Is(err, ErrAbandoned):
					results[2].Add(1)
				default:
					results[3].Add(1)
				}
			}
		})
	}
	all.Wait()
	wantEmpty(t, g, keys...)
	for i := range results {
		if results[i].Load() == 0 {
			t.Errorf("no call of kind %d", i)
		}
	}
	t.Logf("%d committed, %d left, %d abandoned, %d failed",
		results[0].Load(), results[1].Load(), results[2].Load(), results[3].Load())
}
