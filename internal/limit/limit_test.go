package limit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fill takes one unit at a time for a key until the pool refuses, and returns how many it got.
func fill(t *testing.T, p *Pool, keys ...string) int64 {
	t.Helper()
	for n := int64(0); ; n++ {
		if _, err := p.TryAcquire(1, keys...); err != nil {
			if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			return n
		}
	}
}

func TestShareShrinks(t *testing.T) {
	t.Parallel()
	p := New(Config{Name: "test", Size: 1000, Shares: []Share{Half}})
	for i, want := range []int64{500, 250, 125, 63, 31} {
		if got := fill(t, p, fmt.Sprint(i)); got != want {
			t.Errorf("key %d got %d units, want %d", i, got, want)
		}
	}
	if got := fill(t, p, "0"); got != 0 {
		t.Errorf("a key over its share got %d units more", got)
	}
	if s := p.Stats(); s.Keys != 5 || s.Largest != 500 || s.Used != 969 || s.Refused != 6 {
		t.Errorf("stats are %+v", s)
	}
}

func TestNestedShares(t *testing.T) {
	t.Parallel()
	p := New(Config{Name: "test", Size: 1000, Shares: []Share{Half, 100}})
	for _, ticket := range []string{"a", "b"} {
		if got := fill(t, p, "account", ticket); got != 100 {
			t.Errorf("ticket %s got %d units, want 100", ticket, got)
		}
	}
	p = New(Config{Name: "test", Size: 1000, Shares: []Share{Half, Half}})
	if got := fill(t, p, "account", "a"); got != 250 {
		t.Errorf("one ticket of one account got %d units, want 250", got)
	}
	if got := fill(t, p, "account", "b"); got < 60 {
		t.Errorf("another ticket got %d units", got)
	}
	if got := fill(t, p, "other", "a"); got < 100 {
		t.Errorf("another account got %d units", got)
	}
}

func TestReleaseAndGrow(t *testing.T) {
	t.Parallel()
	p := New(Config{Name: "test", Size: 10})
	l, err := p.TryAcquire(6, "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Grow(5); !errors.Is(err, ErrFull) {
		t.Errorf("growing past the pool: %v", err)
	}
	if err := l.Grow(4); err != nil || p.Used() != 10 {
		t.Errorf("%v, %d units are held", err, p.Used())
	}
	l.Release()
	l.Release()
	if s := p.Stats(); s.Used != 0 || s.Keys != 0 {
		t.Errorf("after all was released: %+v", s)
	}
	if _, err := p.Acquire(t.Context(), Request{N: 11}); !errors.Is(err, ErrFull) {
		t.Errorf("more than the pool: %v", err)
	}
}

// One key has a long queue; each of three others gets its turn after one of that key's.
func TestTurnByKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Name: "test", Size: 1, Queue: 200})
		first, err := p.TryAcquire(1, "hog")
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var order []string
		ask := func(key string) {
			go func() {
				l, err := p.Acquire(t.Context(), Request{Keys: []string{key}, N: 1})
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, key)
				mu.Unlock()
				time.Sleep(time.Second)
				l.Release()
			}()
			synctest.Wait()
		}
		for range 50 {
			ask("hog")
		}
		for _, key := range []string{"a", "b", "c"} {
			ask(key)
		}
		first.Release()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		mu.Lock()
		for _, key := range []string{"a", "b", "c"} {
			if !contains(order[:min(5, len(order))], key) {
				t.Errorf("%s was not among the first five: %v", key, order)
			}
		}
		mu.Unlock()
		time.Sleep(time.Hour)
	})
}

func contains(all []string, one string) bool {
	for _, s := range all {
		if s == one {
			return true
		}
	}
	return false
}

// A key whose turns cost ten times as much gets a tenth of the turns.
func TestTurnByCost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Name: "test", Size: 1, Queue: 1000})
		ctx, cancel := context.WithCancel(t.Context())
		var turns [2]atomic.Int64
		for i, cost := range []int64{10, 1} {
			for range 4 {
				go func() {
					for {
						l, err := p.Acquire(ctx, Request{Keys: []string{fmt.Sprint(i)}, N: 1, Cost: cost})
						if err != nil {
							return
						}
						turns[i].Add(1)
						time.Sleep(time.Second)
						l.Release()
					}
				}()
			}
		}
		time.Sleep(1100 * time.Second)
		cancel()
		time.Sleep(time.Minute)
		if expensive, cheap := turns[0].Load(), turns[1].Load(); expensive < 90 || expensive > 110 {
			t.Errorf("%d expensive turns and %d cheap ones, want about 100 and 1000", expensive, cheap)
		}
	})
}

// A large request is not passed by small ones for ever.
func TestLargeRequestGetsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Name: "test", Size: 10, Queue: 100, Shares: []Share{Half}})
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 20 {
			go func() {
				for {
					l, err := p.Acquire(ctx, Request{Keys: []string{fmt.Sprint(i)}, N: 1})
					if err != nil {
						return
					}
					time.Sleep(time.Second)
					l.Release()
				}
			}()
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		l, err := p.Acquire(ctx, Request{Keys: []string{"large"}, N: 10})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the large request waited for %v", took)
		}
		l.Release()
		cancel()
		time.Sleep(time.Minute)
	})
}

func TestQueueIsBoundedAndShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Name: "test", Size: 1, Queue: 8, QueueTime: time.Minute})
		held, err := p.TryAcquire(1, "a")
		if err != nil {
			t.Fatal(err)
		}
		var full, late, cancelled atomic.Int64
		ctx, cancel := context.WithCancelCause(t.Context())
		gone := errors.New("gone")
		ask := func(ctx context.Context, key string) {
			go func() {
				_, err := p.Acquire(ctx, Request{Keys: []string{key}, N: 1})
				switch {
				case errors.Is(err, ErrFull):
					full.Add(1)
				case errors.Is(err, ErrTimeout):
					late.Add(1)
				case errors.Is(err, gone):
					cancelled.Add(1)
				}
			}()
			synctest.Wait()
		}
		for range 9 {
			ask(t.Context(), "a")
		}
		if n := full.Load(); n != 5 {
			t.Errorf("of nine requests of one key %d were refused, want 5", n)
		}
		ask(ctx, "b")
		if s := p.Stats(); s.Waiting != 5 {
			t.Errorf("%d requests wait, want 5", s.Waiting)
		}
		cancel(gone)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if late.Load() != 4 || cancelled.Load() != 1 {
			t.Errorf("%d were late and %d cancelled, want 4 and 1", late.Load(), cancelled.Load())
		}
		held.Release()
		if s := p.Stats(); s.Waiting != 0 || s.Used != 0 || s.Keys != 0 {
			t.Errorf("after all ended: %+v", s)
		}
	})
}

// Many goroutines take, grow, wait, cancel and release at random; the pool is never over its size
// and ends empty.
func TestRaces(t *testing.T) {
	t.Parallel()
	p := New(Config{Name: "test", Size: 50, Shares: []Share{Half, 10}, Queue: 100})
	var used atomic.Int64
	var all sync.WaitGroup
	for g := range 32 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 1))
			for range 500 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(2000))*time.Microsecond)
				n := 1 + r.Int64N(5)
				l, err := p.Acquire(ctx, Request{N: n,
					Keys: []string{fmt.Sprint(r.IntN(4)), fmt.Sprint(r.IntN(3))}})
				if err == nil {
					if l.Grow(1) == nil {
						n++
					}
					if now := used.Add(n); now > 50 {
						t.Errorf("%d units are held", now)
					}
					if r.IntN(2) == 0 {
						time.Sleep(time.Duration(r.IntN(200)) * time.Microsecond)
					}
					used.Add(-n)
					l.Release()
				}
				cancel()
			}
		})
	}
	all.Wait()
	if s := p.Stats(); s.Used != 0 || s.Waiting != 0 || s.Keys != 0 {
		t.Errorf("at the end: %+v", s)
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := NewRates(2, time.Minute, 2)
	for i, want := range []bool{true, true, false} {
		if got := r.Allow("a", now, 1); got != want {
			t.Errorf("request %d: %v", i, got)
		}
	}
	if !r.Allow("b", now, 2) || r.Allow("a", now.Add(29*time.Second), 1) ||
		!r.Allow("a", now.Add(31*time.Second), 1) {
		t.Error("keys share a bucket, or a bucket fills at another rate")
	}
	r.Allow("c", now, 2) // b was silent longest
	if !r.Allow("b", now, 2) {
		t.Error("more keys are kept than allowed")
	}
}

// What a lease gives back goes to a request that waits for it.
func TestShrink(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := New(Config{Name: "test", Size: 10, Queue: 1})
		l, err := p.TryAcquire(8, "a")
		if err != nil {
			t.Fatal(err)
		}
		granted := false
		go func() {
			other, err := p.Acquire(t.Context(), Request{Keys: []string{"b"}, N: 5})
			if err != nil {
				t.Error(err)
				return
			}
			granted = true
			other.Release()
		}()
		synctest.Wait()
		for i, want := range []bool{false, false, true} {
			l.Shrink(1)
			synctest.Wait()
			if granted != want {
				t.Errorf("after %d units were given back: granted is %v", i+1, granted)
			}
		}
		l.Shrink(100)
		l.Shrink(-1)
		l.Release()
		l.Shrink(1)
		if s := p.Stats(); s.Used != 0 || s.Keys != 0 {
			t.Errorf("after all was released: %+v", s)
		}
	})
}

func TestRatesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rates := NewRates(2, 2*time.Second, 10) // 2 at once, then one a second
		ctx, cancel := context.WithCancelCause(t.Context())
		var all []chan error
		for range 6 {
			ended := make(chan error, 1)
			go func() { ended <- rates.Wait(ctx, "a", 3*time.Second) }()
			all = append(all, ended)
			synctest.Wait()
		}
		want(t, all[0], nil)
		want(t, all[1], nil)
		want(t, all[5], ErrTimeout)
		wantWaiting(t, all[2:5]...)
		if err := rates.Wait(ctx, "b", 0); err != nil {
			t.Errorf("another key: %v", err)
		}
		time.Sleep(2500 * time.Millisecond)
		want(t, all[2], nil)
		want(t, all[3], nil)
		wantWaiting(t, all[4])
		cause := errors.New("left")
		cancel(cause)
		want(t, all[4], cause)
		// The last one has taken nothing.
		if err := rates.Wait(t.Context(), "a", time.Second/2); err != nil {
			t.Error(err)
		}
	})
}
