package limit

import (
	"context"
	"fmt"
	"sync"
)

// A Spare admits guests, jobs of the lowest priority, to what other jobs leave:
//
//   - A guest is admitted while no other job waits, and while less than a number of jobs and guests run together.
//   - Other jobs never wait for the number of guests. When one has to wait for something that guests hold, Yield ends
//     all guests.
//
// It is safe for concurrent use.
type Spare struct {
	most int // jobs and guests

	mu       sync.Mutex
	entering int // jobs that are not admitted yet
	inside   int // jobs that run
	waiting  int // guests
	running  map[*Guest]func()
	changed  chan struct{} // closed when a waiting guest may be admitted
}

// A Guest is an admitted guest of a Spare. The caller must call Leave.
type Guest struct{ s *Spare }

// NewSpare returns a Spare that admits a guest while less than most jobs and guests run together. With 0 it admits no
// guest.
func NewSpare(most int) *Spare {
	return &Spare{most: most, running: map[*Guest]func(){}, changed: make(chan struct{})}
}

// Arrive counts a job that asks for admission elsewhere. Admit or Refuse must follow.
func (s *Spare) Arrive() { s.count(1, 0) }

// Admit counts the admission of a job that has arrived. Leave must follow.
func (s *Spare) Admit() { s.count(-1, 1) }

// Refuse counts a job that has arrived and was not admitted.
func (s *Spare) Refuse() { s.count(-1, 0) }

// Leave counts the end of an admitted job.
func (s *Spare) Leave() { s.count(0, -1) }

func (s *Spare) count(entering, inside int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entering += entering
	s.inside += inside
	s.wake()
}

// wake has the waiting guests look whether they may be admitted. The caller has locked mu.
func (s *Spare) wake() {
	if s.waiting > 0 && s.free() {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// free reports whether one more guest may run. The caller has locked mu.
func (s *Spare) free() bool { return s.entering == 0 && s.inside+len(s.running) < s.most }

// Enter waits until a guest may run. take takes what it needs besides, and reports whether that was free. yield ends
// the guest; it must not block. Errors: the cause of ctx; ErrFull if the Spare admits no guests.
func (s *Spare) Enter(ctx context.Context, take func() bool, yield func()) (*Guest, error) {
	if s.most == 0 {
		return nil, fmt.Errorf("a guest: %w", ErrFull)
	}
	for {
		guest, changed := s.try(take, yield)
		if guest != nil {
			return guest, nil
		}
		var err error
		select {
		case <-changed:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		s.mu.Lock()
		s.waiting--
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
}

// try admits a guest, or counts it as waiting until the channel is closed.
func (s *Spare) try(take func() bool, yield func()) (*Guest, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free() && take() {
		guest := &Guest{s}
		s.running[guest] = yield
		return guest, nil
	}
	s.waiting++
	return nil, s.changed
}

// Leave counts the end of a guest. What it has taken must be released before.
func (g *Guest) Leave() {
	g.s.mu.Lock()
	defer g.s.mu.Unlock()
	delete(g.s.running, g)
	g.s.wake()
}

// Yield ends all guests.
func (s *Spare) Yield() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range s.running {
		end()
	}
}

// SpareStats is the state of a Spare at one moment.
type SpareStats struct{ Size, Running, Waiting int } // Size is the number of NewSpare; the others are of guests

// Stats returns the state of the Spare.
func (s *Spare) Stats() SpareStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return SpareStats{Size: s.most, Running: len(s.running), Waiting: s.waiting}
}
