// Package limit shares limited resources: bytes of a spool, slots of workers, waiting requests. A Pool has a
// size in units of the resource. Each unit is held under keys, from the widest to the narrowest: an account,
// then a ticket or the address of a client.
//
// The share of a key shrinks as the pool fills: with the share Half, a key may hold as many units
// as are free. A single key may hold half of the pool, two a third each, n 1/(n+1) each, so one more key
// always finds free units. This is the dynamic threshold of shared-memory switches (Choudhury
// and Hahne, 1998). A key over its share is refused or waits; it does not delay the others.
//
// Waiting requests get their turn by key, not by arrival: start-time fair queueing, in which a turn costs its
// key the cost of the request. The queue is bounded and shared by the same rule.
//
// A Rates bounds how often each of many keys does something. A Poll bounds the queries of callers that wait.
package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// A Share bounds the units that one key of a level may hold: a number, None or Half.
type Share int64

const (
	// None: the key has no bound except the pool. Its requests wait their turn.
	None Share = 0
	// Half: the key may hold as many units as are free in the pool, or below the next wider key.
	Half Share = -1
)

var (
	// ErrFull: the units, or a place in the queue, are not free or exceed the share of a key.
	ErrFull = errors.New("no space")
	// ErrTimeout: the request waited for QueueTime.
	ErrTimeout = errors.New("waited too long")
)

// Config describes a Pool.
type Config struct {
	Name   string  // label of its metrics: one word
	Size   int64   // units; 0: the pool is unbounded, and only the shares limit its keys
	Shares []Share // one for each level, the widest first; None for missing ones

	Queue     int           // number of waiting requests; 0: a request that does not fit is refused
	QueueTime time.Duration // maximal wait of a request; 0: until its context ends
	OnWait    func()        // called for each request that begins to wait, after it has joined the queue; nil for none
}

// A Request requests units of a Pool.
type Request struct {
	Keys []string // from the widest to the narrowest
	N    int64    // units
	Cost int64    // of the turn, in a unit that all requests of the pool share; 0: N
}

// A Pool is a bounded number of units that many keys share. It is safe for concurrent use.
type Pool struct {
	c Config

	mu      sync.Mutex
	root    node
	arrived uint64

	refused, timedOut int64
	waited            time.Duration
}

// A node holds the held units and the waiting requests of a key and of the keys below it.
type node struct {
	parent   *node
	key      string
	children map[string]*node
	held     int64
	waiting  int
	queue    []*waiter // of the last key of a request
	turn     float64   // virtual time of the next turn, among those with the same parent
	clock    float64   // virtual time at which the newest turn of a child began
}

// A waiter is a request in the queue.
type waiter struct {
	at      *node
	n       int64
	cost    float64
	seq     uint64
	granted chan struct{} // closed when the units are held
}

// New returns a Pool.
func New(c Config) *Pool { return &Pool{c: c} }

// NewFair returns a Pool without a queue, whose widest keys have the share Half.
func NewFair(name string, size int64) *Pool {
	return New(Config{Name: name, Size: size, Shares: []Share{Half}})
}

// Name returns the name of the pool.
func (p *Pool) Name() string { return p.c.Name }

// Acquire takes units, or waits for them. The caller must Release the Lease. Errors: ErrFull at once if the queue is
// full or the request can never fit; ErrTimeout; the cause of ctx.
func (p *Pool) Acquire(ctx context.Context, r Request) (*Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	p.mu.Lock()
	at := p.enter(r.Keys)
	if w, err := p.ask(at, r); err != nil {
		p.refused++
		p.leave(at)
		p.mu.Unlock()
		return nil, err
	} else if w != nil {
		p.mu.Unlock()
		return p.wait(ctx, w)
	}
	p.mu.Unlock()
	return &Lease{p: p, at: at, n: r.N}, nil
}

// TryAcquire is Acquire without a wait. Error: ErrFull.
func (p *Pool) TryAcquire(n int64, keys ...string) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.enter(keys)
	if err := p.take(at, n); err != nil {
		p.refused++
		p.leave(at)
		return nil, err
	}
	return &Lease{p: p, at: at, n: n}, nil
}

// ask takes units for a request, or puts it into the queue.
func (p *Pool) ask(at *node, r Request) (*waiter, error) {
	if p.root.waiting == 0 {
		if err := p.take(at, r.N); err == nil {
			p.charge(at, cost(r))
			return nil, nil
		} else if p.c.Queue == 0 || !p.couldFit(at, r.N) {
			return nil, err
		}
	}
	if !p.couldFit(at, r.N) || !p.mayQueue(at) {
		return nil, p.full("of waiting requests")
	}
	p.arrived++
	w := &waiter{at: at, n: r.N, cost: cost(r), seq: p.arrived, granted: make(chan struct{})}
	at.queue = append(at.queue, w)
	for ; at != nil; at = at.parent {
		if at.parent != nil && at.waiting == 0 {
			at.turn = max(at.turn, at.parent.clock)
		}
		at.waiting++
	}
	p.dispatch()
	return w, nil
}

func cost(r Request) float64 {
	if r.Cost > 0 {
		return float64(r.Cost)
	}
	return float64(max(r.N, 1))
}

// wait waits until w is granted.
func (p *Pool) wait(ctx context.Context, w *waiter) (*Lease, error) {
	held := &Lease{p: p, at: w.at, n: w.n}
	select {
	case <-w.granted: // at once
		return held, nil
	default:
	}
	if p.c.OnWait != nil {
		p.c.OnWait()
	}
	var timeout <-chan time.Time
	if p.c.QueueTime > 0 {
		timer := time.NewTimer(p.c.QueueTime)
		defer timer.Stop()
		timeout = timer.C
	}
	began := time.Now()
	var err error
	select {
	case <-w.granted:
	case <-timeout:
		err = fmt.Errorf("%s: %w: %v", p.c.Name, ErrTimeout, p.c.QueueTime)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waited += time.Since(began)
	if err == nil {
		return held, nil
	}
	select {
	case <-w.granted: // in the same moment
		p.give(w.at, w.n)
	default:
		p.unqueue(w)
	}
	if errors.Is(err, ErrTimeout) {
		p.timedOut++
	}
	p.leave(w.at)
	p.dispatch()
	return nil, err
}

// enter returns the node of keys, which the caller must leave, or hold in a Lease.
func (p *Pool) enter(keys []string) *node {
	at := &p.root
	for _, key := range keys {
		child := at.children[key]
		if child == nil {
			if at.children == nil {
				at.children = map[string]*node{}
			}
			child = &node{parent: at, key: key, turn: at.clock}
			at.children[key] = child
		}
		at = child
	}
	return at
}

// leave removes the nodes without units and requests, from at upward.
func (p *Pool) leave(at *node) {
	for at.parent != nil && at.held == 0 && at.waiting == 0 && len(at.children) == 0 {
		delete(at.parent.children, at.key)
		at = at.parent
	}
}

// take takes units at once, if they are free and within all shares.
func (p *Pool) take(at *node, n int64) error {
	switch p.space(at, n) {
	case noPool:
		return p.full("in all")
	case noShare:
		return p.full("for one")
	}
	for ; at != nil; at = at.parent {
		at.held += n
	}
	return nil
}

func (p *Pool) full(what string) error {
	return fmt.Errorf("%s: %w %s", p.c.Name, ErrFull, what)
}

// Results of space.
const (
	fits    = iota
	noShare // a key has its share: others may fit
	noPool  // the pool is too full
)

// space reports whether n more units fit.
func (p *Pool) space(at *node, n int64) int {
	free := int64(math.MaxInt64 / 2)
	if p.c.Size > 0 {
		free = p.c.Size - p.root.held
	}
	if n > free {
		return noPool
	}
	for level, key := range at.path() {
		switch share := p.share(level); {
		case share == Half && key.held+n > free, share > 0 && key.held+n > int64(share):
			return noShare
		case share == Half:
			free = max(0, free-key.held) / 2
		case share > 0:
			free = min(free, int64(share)-key.held)
		}
	}
	return fits
}

// couldFit reports whether n units fit while nothing else is held.
func (p *Pool) couldFit(at *node, n int64) bool {
	if p.c.Size > 0 && n > p.c.Size {
		return false
	}
	for level := range at.path() {
		if share := p.share(level); share > 0 && n > int64(share) {
			return false
		}
	}
	return true
}

// mayQueue reports whether one more request of a node may wait.
func (p *Pool) mayQueue(at *node) bool {
	free := p.c.Queue - p.root.waiting
	if free < 1 {
		return false
	}
	for _, key := range at.path() {
		if key.waiting+1 > free {
			return false
		}
		free = max(0, free-key.waiting) / 2
	}
	return true
}

func (p *Pool) share(level int) Share {
	if level < len(p.c.Shares) {
		return p.c.Shares[level]
	}
	return None
}

// path returns the nodes from the widest key to at.
func (at *node) path() []*node {
	if at.parent == nil {
		return nil
	}
	return append(at.parent.path(), at)
}

// give releases units.
func (p *Pool) give(at *node, n int64) {
	for ; at != nil; at = at.parent {
		at.held -= n
	}
}
