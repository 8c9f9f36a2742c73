// Package batch commits the values of concurrent callers together, where single transactions would
// queue until each COMMIT.
//
// A key has at most one batch that is being committed. Callers that come while it runs wait and form
// the next batch of the key. A batch never waits for more callers. A Group starts no goroutine: one
// caller is the leader, commits the batch, and hands off to the caller that has waited longest.
package batch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"calotype/internal/limit"
)

var (
	// ErrTimeout: the value waited for Config.Wait and is in no batch.
	ErrTimeout = errors.New("batch: waited too long")
	// ErrAbandoned: the leader panicked; the value may have been written.
	ErrAbandoned = errors.New("batch: the leader panicked")
)

// Config describes a Group.
type Config struct {
	Max   int           // values of a batch, at least 1
	Wait  time.Duration // for which a value may wait until its batch begins
	Queue *limit.Pool   // bounds the values that wait: one unit each, by key
}

// A Commit writes a batch. It calls next once, as late as it can, to learn the values: the leader's
// first, then those that have waited longest. It returns when all or none of them are committed. If
// it fails before it calls next, its error concerns the leader only.
type Commit[V any] func(ctx context.Context, next func() []V) error

// A Group commits values in batches, each of one key. It is safe for concurrent use.
type Group[V any] struct {
	c      Config
	commit Commit[V]

	mu      sync.Mutex
	batches int
	queues  map[string][]*entry[V] // in order of arrival; a key is there while it has a leader
}

// An entry is a value on its way. Its caller waits for done, and reads then leads and err.
type entry[V any] struct {
	key   string
	value V
	slot  *limit.Lease  // in the queue
	done  chan struct{} // nil for one that never waits
	leads bool          // the caller is the leader of the next batch
	err   error         // of the batch, unless the caller leads
}

// New returns a Group without batches.
func New[V any](c Config, commit Commit[V]) *Group[V] {
	return &Group[V]{c: c, commit: commit, queues: map[string][]*entry[V]{}}
}

// Do commits a value in a batch and returns the error of the batch, or ErrAbandoned. A leader's
// commit gets its ctx. If ctx ends while the value waits, Do returns the error of ctx; once its batch
// has begun, Do waits for the result. limit.ErrFull when the queue is full, ErrTimeout: as after
// an error of ctx, the value is in no batch.
func (g *Group[V]) Do(ctx context.Context, key string, value V) error {
	e := &entry[V]{key: key, value: value}
	if err := g.enter(e); err != nil {
		return err
	}
	if e.done != nil {
		if err := g.wait(ctx, e); err != nil {
			return err
		}
	}
	if e.leads {
		return g.lead(ctx, e)
	}
	return e.err
}

// enter queues an entry, or makes it the leader if its key has none.
func (g *Group[V]) enter(e *entry[V]) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue, led := g.queues[e.key]
	if !led {
		g.queues[e.key] = nil
		e.leads = true
		return nil
	}
	if e.slot, err = g.c.Queue.TryAcquire(1, e.key); err != nil {
		return err
	}
	e.done = make(chan struct{})
	g.queues[e.key] = append(queue, e)
	return nil
}

// wait waits until an entry leads or has a result. If wait fails, the entry is in no batch.
func (g *Group[V]) wait(ctx context.Context, e *entry[V]) error {
	timeout := time.NewTimer(g.c.Wait)
	defer timeout.Stop()
	var err error
	select {
	case <-e.done:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = ErrTimeout
	}
	if g.leave(e) {
		return err
	}
	<-e.done // a batch has the entry, or it leads
	return nil
}

// leave removes an entry from its queue and reports whether it still waited there.
func (g *Group[V]) leave(e *entry[V]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.queues[e.key], e)
	if i >= 0 {
		g.dequeue(e.key, i, i+1)
	}
	return i >= 0
}

// dequeue removes the entries from index i to j from a queue and returns them. The caller holds the
// lock.
func (g *Group[V]) dequeue(key string, i, j int) []*entry[V] {
	removed := slices.Clone(g.queues[key][i:j])
	g.queues[key] = slices.Delete(g.queues[key], i, j)
	for _, e := range removed {
		e.slot.Release()
	}
	return removed
}

// lead commits the batch of a leader. Then it hands off, and notifies the others of the batch.
func (g *Group[V]) lead(ctx context.Context, leader *entry[V]) (err error) {
	var others []*entry[V]
	err = ErrAbandoned // unless commit returns
	defer func() {
		g.handOff(leader.key)
		for _, e := range others {
			e.err = err
			close(e.done)
		}
	}()
	return g.commit(ctx, func() []V {
		others = g.next(leader.key)
		values := []V{leader.value}
		for _, e := range others {
			values = append(values, e.value)
		}
		return values
	})
}

// next removes from the queue those that are in the leader's batch.
func (g *Group[V]) next(key string) []*entry[V] {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches++
	return g.dequeue(key, 0, min(len(g.queues[key]), g.c.Max-1))
}

// handOff makes the entry that has waited longest the next leader of its key.
func (g *Group[V]) handOff(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queues[key]) == 0 {
		delete(g.queues, key)
		return
	}
	next := g.dequeue(key, 0, 1)[0]
	next.leads = true
	close(next.done)
}

// Stats returns how many values of a key wait, whether the key has a leader, and how many batches of
// all keys have begun.
func (g *Group[V]) Stats(key string) (waiting int, led bool, batches int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue, led := g.queues[key]
	return len(queue), led, g.batches
}
