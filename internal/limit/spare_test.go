package limit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A guestTest is a guest that a test has asked for.
type guestTest struct {
	in      chan *Guest
	yielded int
}

// ask asks for a guest inside a bubble of synctest.
func ask(t *testing.T, s *Spare, take func() bool) *guestTest {
	t.Helper()
	g := &guestTest{in: make(chan *Guest, 1)}
	go func() {
		guest, err := s.Enter(t.Context(), take, func() { g.yielded++ })
		if err != nil {
			t.Error(err)
			return
		}
		g.in <- guest
	}()
	synctest.Wait()
	return g
}

func yes() bool { return true }

// TestGuestsUseWhatJobsLeave: a guest waits while a job waits, and while enough jobs and guests run.
func TestGuestsUseWhatJobsLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewSpare(2)
		s.Arrive()
		first := ask(t, s, yes)
		want := func(what string, running, waiting int) {
			t.Helper()
			synctest.Wait()
			if got := s.Stats(); got != (SpareStats{Size: 2, Running: running, Waiting: waiting}) {
				t.Errorf("%s: %+v, want %d running and %d waiting", what, got, running, waiting)
			}
		}
		want("while a job waits", 0, 1)
		s.Admit()
		want("beside one job", 1, 0)
		second := ask(t, s, yes)
		want("beside a job and a guest", 1, 1)
		s.Arrive()
		s.Leave()
		want("while the next job waits", 1, 1)
		s.Refuse()
		want("without a job", 2, 0)
		(<-first.in).Leave()
		for range 3 { // any number of jobs beside a guest
			s.Arrive()
			s.Admit()
		}
		third := ask(t, s, yes)
		for range 2 {
			(<-second.in).Leave()
			second.in <- &Guest{s} // leaving twice changes nothing
			want("while three jobs run", 0, 1)
		}
		s.Leave()
		want("while two jobs run", 0, 1)
		s.Leave()
		want("while one job runs", 1, 0)
		s.Leave()
		(<-third.in).Leave()
		want("at the end", 0, 0)
	})
}

// TestGuestsWaitForWhatTheyTake: a guest that does not find what it needs asks again after each end of a job or guest.
func TestGuestsWaitForWhatTheyTake(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, free := NewSpare(8), 1
		take := func() bool {
			if free == 0 {
				return false
			}
			free--
			return true
		}
		first, second := ask(t, s, take), ask(t, s, take)
		if len(first.in) != 1 || len(second.in) != 0 {
			t.Fatalf("of two guests that need the same, %d and %d were admitted", len(first.in), len(second.in))
		}
		s.Yield()
		if first.yielded != 1 || second.yielded != 0 {
			t.Errorf("%d and %d guests yielded, want the one that runs", first.yielded, second.yielded)
		}
		free++
		(<-first.in).Leave()
		(<-second.in).Leave()
		s.Yield()
		if first.yielded != 1 || second.yielded != 0 {
			t.Error("a guest yielded after its end")
		}
	})
}

// TestGuestsThatAreNotAdmitted: a guest whose context ends leaves, and without guests the error comes at once.
func TestGuestsThatAreNotAdmitted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		if _, err := NewSpare(0).Enter(t.Context(), yes, func() {}); !errors.Is(err, ErrFull) {
			t.Errorf("without guests: %v", err)
		}
		s, gone := NewSpare(1), errors.New("gone")
		s.Arrive()
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := s.Enter(ctx, yes, func() {})
			ended <- err
		}()
		synctest.Wait()
		cancel(gone)
		if err := <-ended; !errors.Is(err, gone) || s.Stats().Waiting != 0 {
			t.Errorf("got %v, and %d wait", err, s.Stats().Waiting)
		}
	})
}

// TestOnWait: it is called for a request that joins the queue, and for no other.
func TestOnWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		p := New(Config{Name: "test", Size: 1, Queue: 1, OnWait: func() { calls++ }})
		first, err := p.Acquire(t.Context(), Request{Keys: []string{"a"}, N: 1})
		if err != nil || calls != 0 {
			t.Fatalf("%d calls, %v", calls, err)
		}
		second := make(chan *Lease, 1)
		go func() {
			lease, err := p.Acquire(t.Context(), Request{Keys: []string{"b"}, N: 1})
			if err != nil {
				t.Error(err)
			}
			second <- lease
		}()
		synctest.Wait()
		if _, err := p.Acquire(t.Context(), Request{Keys: []string{"c"}, N: 1}); !errors.Is(err, ErrFull) || calls != 1 {
			t.Errorf("%d calls for a request that waits and one that is refused with %v", calls, err)
		}
		first.Release()
		(<-second).Release()
	})
}
