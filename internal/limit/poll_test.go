package limit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A pending set is what the queries of a Poll read.
type pending struct {
	mu   sync.Mutex
	keys map[string]bool
	err  error
	hang bool
	read [][]string // the keys of each query
}

func (p *pending) query(ctx context.Context, keys []string) (map[string]bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	slices.Sort(keys)
	p.read = append(p.read, keys)
	found := map[string]bool{}
	for _, key := range keys {
		found[key] = p.keys[key]
	}
	return found, p.err
}

func (p *pending) set(err error, keys ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.err = map[string]bool{}, err
	for _, key := range keys {
		p.keys[key] = true
	}
}

// newPoll returns a Poll of one second for at most 1000 callers.
func newPoll(t *testing.T, p *pending) (poll *Poll, warnings *atomic.Int64) {
	t.Helper()
	warnings = &atomic.Int64{}
	poll = NewPoll(PollConfig{Pool: NewFair("test", 1000), Every: time.Second, Query: p.query,
		Warn: func(error) { warnings.Add(1) }})
	t.Cleanup(poll.Close)
	return poll, warnings
}

// await starts a call of Wait and returns when it waits or has ended.
func await(ctx context.Context, poll *Poll, owner, key string, atMost time.Duration) chan error {
	ended := make(chan error, 1)
	go func() { ended <- poll.Wait(ctx, owner, key, atMost) }()
	synctest.Wait()
	return ended
}

// want checks that a call has returned an error by now, or nil.
func want(t *testing.T, ended chan error, err error) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-ended:
		if !errors.Is(got, err) {
			t.Errorf("Wait returned %v, want %v", got, err)
		}
	default:
		t.Errorf("Wait has not returned, want %v", err)
	}
}

func wantWaiting(t *testing.T, all ...chan error) {
	t.Helper()
	synctest.Wait()
	for i, ended := range all {
		select {
		case err := <-ended:
			t.Errorf("caller %d does not wait: %v", i, err)
		default:
		}
	}
}

// One query a second serves all callers. Without callers it does not query.
func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pending{}
		p.set(nil, "a", "b", "c")
		poll, _ := newPoll(t, p)
		a := []chan error{
			await(t.Context(), poll, "x", "a", time.Hour), await(t.Context(), poll, "y", "a", time.Hour),
		}
		b := await(t.Context(), poll, "x", "b", time.Hour)
		short := await(t.Context(), poll, "x", "c", 1500*time.Millisecond)
		ctx, cancel := context.WithCancelCause(t.Context())
		left := await(ctx, poll, "x", "c", time.Hour)
		time.Sleep(1200 * time.Millisecond)
		wantWaiting(t, a[0], a[1], b, short, left)
		p.set(nil, "b", "c")
		cause := errors.New("left")
		cancel(cause)
		want(t, left, cause)
		time.Sleep(400 * time.Millisecond)
		want(t, short, nil)
		wantWaiting(t, a...)
		time.Sleep(500 * time.Millisecond)
		for _, ended := range a {
			want(t, ended, nil)
		}
		wantWaiting(t, b)
		p.set(nil)
		time.Sleep(time.Hour)
		want(t, b, nil)
		if got := fmt.Sprint(p.read); got != "[[a b c] [a b] [b]]" {
			t.Errorf("the queries were %v", got)
		}
		b = await(t.Context(), poll, "x", "b", time.Hour)
		time.Sleep(1100 * time.Millisecond)
		want(t, b, nil)
		if len(p.read) != 4 || poll.c.Pool.Used() != 0 {
			t.Errorf("%d queries, %d callers", len(p.read), poll.c.Pool.Used())
		}
	})
}

// 500 callers of one owner and 250 of another wait, on one query a second.
func TestPollIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pending{}
		keys := []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
		p.set(nil, keys...)
		poll, _ := newPoll(t, p)
		var all []chan error
		for i, owner := range []string{"x", "y"} {
			for i := range 500 >> i {
				all = append(all, await(t.Context(), poll, owner, keys[i%10], time.Hour))
			}
			want(t, await(t.Context(), poll, owner, "0", time.Hour), ErrFull)
		}
		want(t, await(t.Context(), poll, "z", "0", 0), nil)
		time.Sleep(time.Minute + time.Millisecond)
		wantWaiting(t, all...)
		poll.Close()
		if n := len(p.read); n != 60 {
			t.Errorf("%d queries in a minute, want 60", n)
		}
		for _, ended := range all {
			want(t, ended, nil)
		}
		want(t, await(t.Context(), poll, "x", "0", time.Hour), ErrClosed)
		poll.Close()
	})
}

// A query that fails ends no wait. One that hangs is cancelled, after ten intervals or by Close.
func TestPollFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pending{}
		p.set(errors.New("broken"))
		poll, warnings := newPoll(t, p)
		a := await(t.Context(), poll, "x", "a", time.Hour)
		time.Sleep(3500 * time.Millisecond)
		wantWaiting(t, a)
		if warnings.Load() != 3 {
			t.Errorf("%d warnings, want 3", warnings.Load())
		}
		p.mu.Lock()
		p.hang = true
		p.mu.Unlock()
		time.Sleep(11 * time.Second)
		if wantWaiting(t, a); warnings.Load() != 4 {
			t.Errorf("%d warnings, want 4", warnings.Load())
		}
		poll.Close()
		if want(t, a, nil); warnings.Load() != 4 {
			t.Errorf("Close caused a warning")
		}
	})
}

// A caller of a key that was pending again after its end waits for the second end.
func TestPollOfAKeyThatReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pending{}
		poll, _ := newPoll(t, p)
		k, err := poll.enter("a")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		<-k.done
		p.set(nil, "a")
		second := await(t.Context(), poll, "x", "a", time.Hour)
		poll.leave("a", k)
		time.Sleep(time.Second)
		wantWaiting(t, second)
		p.set(nil)
		time.Sleep(time.Second)
		want(t, second, nil)
	})
}
