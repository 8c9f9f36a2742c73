package limit

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrClosed: the Poll is closed.
var ErrClosed = errors.New("closed")

// PollConfig configures a Poll.
type PollConfig struct {
	Pool  *Pool         // of waiting callers: one unit each
	Every time.Duration // interval of the queries
	// Query returns which of the keys are still pending. Its context ends after ten intervals, and at Close.
	Query func(ctx context.Context, keys []string) (pending map[string]bool, err error)
	Warn  func(err error) // reports an error of Query, which does not end the waits
}

// A Poll lets callers wait until their keys are no longer pending. One query in each interval serves all
// of them, and there is no query while no caller waits. It is safe for concurrent use.
type Poll struct {
	c      PollConfig
	ctx    context.Context // ends at Close
	cancel context.CancelFunc
	loop   sync.WaitGroup

	mu      sync.Mutex
	running bool
	keys    map[string]*pendingKey
}

type pendingKey struct {
	done    chan struct{} // closed when the key is not pending, or at Close
	callers int
}

// NewPoll returns a Poll; Close ends it.
func NewPoll(c PollConfig) *Poll {
	p := &Poll{c: c, keys: map[string]*pendingKey{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Wait waits until key is not pending, for at most atMost, or until Close; then it returns nil. owner is the key in
// the Pool. Errors: ErrFull; ErrClosed at once, if the Poll is closed; the cause of ctx.
func (p *Poll) Wait(ctx context.Context, owner, key string, atMost time.Duration) error {
	lease, err := p.c.Pool.TryAcquire(1, owner)
	if err != nil {
		return err
	}
	defer lease.Release()
	k, err := p.enter(key)
	if err != nil {
		return err
	}
	defer p.leave(key, k)
	timeout := time.NewTimer(atMost)
	defer timeout.Stop()
	select {
	case <-k.done:
	case <-timeout.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// enter adds a caller, and starts the queries if they do not run.
func (p *Poll) enter(key string) (*pendingKey, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil, ErrClosed
	}
	k := p.keys[key]
	if k == nil {
		k = &pendingKey{done: make(chan struct{})}
		p.keys[key] = k
	}
	k.callers++
	if !p.running {
		p.running = true
		p.loop.Go(p.run)
	}
	return k, nil
}

func (p *Poll) leave(key string, k *pendingKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// After its end the key may have new callers.
	if k.callers--; k.callers == 0 && p.keys[key] == k {
		delete(p.keys, key)
	}
}

// run queries once in each interval until no caller waits.
func (p *Poll) run() {
	tick := time.NewTicker(p.c.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.ctx.Done():
		}
		keys := p.awaited()
		if keys == nil {
			return
		}
		ctx, cancel := context.WithTimeout(p.ctx, 10*p.c.Every)
		pending, err := p.c.Query(ctx, keys)
		cancel()
		if err != nil {
			if p.ctx.Err() == nil {
				p.c.Warn(err)
			}
			continue
		}
		p.end(keys, pending)
	}
}

// awaited returns the keys of the next query. nil ends the queries.
func (p *Poll) awaited() (keys []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.keys {
		keys = append(keys, key)
	}
	p.running = keys != nil
	return keys
}

// end ends the waits for those keys that are not pending.
func (p *Poll) end(keys []string, pending map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, key := range keys {
		if k := p.keys[key]; k != nil && !pending[key] {
			close(k.done)
			delete(p.keys, key)
		}
	}
}

// Close ends all waits and refuses new ones. It returns after the last query. It may be called more than
// once.
func (p *Poll) Close() {
	p.mu.Lock()
	p.cancel()
	for key, k := range p.keys {
		close(k.done)
		delete(p.keys, key)
	}
	p.mu.Unlock()
	p.loop.Wait()
}
