package images

import (
	"context"
	"errors"
	"sync"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
)

const (
	bodiesPerTicket = 4 // read at once
	gateTime        = 30 * time.Second
)

// errGateEnded says that the ticket was used, is invalid or was cancelled; its row shows which.
var errGateEnded = errors.New("the ticket was used, refused too often or cancelled")

// gates admit a few concurrent bodies for each ticket; the others wait unread, because the first
// accepted body invalidates the ticket. They also limit the decodings of a ticket: a decoding may end
// as a refusal, so running decodings count as refusals.
type gates struct {
	pool *limit.Pool // of bodies; by account and ticket

	mu      sync.Mutex
	of      map[string]*gate // by the image's key; only while a body is inside or waits
	refused uint64           // refusals of all tickets so far
}

// A gate is the gate of one ticket. gates.mu guards its fields.
type gate struct {
	ended   context.Context // ended: no upload waits for the ticket
	end     context.CancelCauseFunc
	deleted chan struct{} // closed when the draft is deleted

	asking   int             // admitted and waiting bodies
	inside   int             // bodies being received or decoded
	decoding map[string]bool // the SHA-256 of bodies in decoding: equal bodies wait for the first
	ticket   Ticket          // its refusals, as far as this node knows

	next chan struct{} // closed when a decoding ends
}

// A pass is the admission of a body to a gate.
type pass struct {
	g     *gates
	key   string
	at    *gate
	lease *limit.Lease
}

// mark returns a point in time for enter.
func (g *gates) mark() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// enter waits until a body for a draft, whose row was read after a mark, is admitted. stale says that
// the row may have changed since the mark and must be read again. After success the caller must call
// leave. Errors: errGateEnded, TicketBusy, Aborted.
func (g *gates) enter(ctx context.Context, draft Image, mark uint64) (_ *pass, stale bool, _ error) {
	at, alone := g.ask(draft.Key)
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(at.ended, func() { cancel(errGateEnded) })()
	lease, err := g.pool.Acquire(waiting,
		limit.Request{Keys: []string{draft.Account, draft.Key}, N: 1})
	p := &pass{g, draft.Key, at, lease}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		at.inside++
		return p, !alone || g.refused != mark, nil
	case errors.Is(err, limit.ErrFull), errors.Is(err, limit.ErrTimeout):
		err = busyTicket(err)
	case !errors.Is(err, errGateEnded):
		err = errs.Errorf(errs.Aborted, "The request was aborted by the client")
	}
	p.forget()
	return nil, false, err
}

// ask returns the gate of a draft, and whether it is a new one.
func (g *gates) ask(key string) (at *gate, alone bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at = g.of[key]
	if alone = at == nil; alone {
		if g.of == nil {
			g.of = map[string]*gate{}
		}
		at = &gate{deleted: make(chan struct{}), next: make(chan struct{}),
			decoding: map[string]bool{}}
		at.ended, at.end = context.WithCancelCause(context.Background())
		g.of[key] = at
	}
	at.asking++
	return at, alone
}

// forget removes a body from the gate. The caller has locked mu.
func (p *pass) forget() {
	p.at.asking--
	if p.at.asking == 0 {
		p.at.end(nil)
		if p.g.of[p.key] == p.at {
			delete(p.g.of, p.key)
		}
	}
}

// leave admits the next body. It may be called on nil.
func (p *pass) leave() {
	if p == nil {
		return
	}
	p.lease.Release()
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.at.inside--
	p.forget()
}

// gone is closed when the draft is deleted.
func (p *pass) gone() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.at.deleted
}

// know stores the refusals in the ticket's row.
func (p *pass) know(t Ticket) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	if t.Refusals > p.at.ticket.Refusals {
		p.at.ticket = t
	}
}

// decode begins the decoding of a body with a SHA-256. It waits while running decodings may use up all
// remaining refusals, and while an equal body is decoded. After success the caller must call decoded at the
// end, after a refusal is counted. Errors: the earlier refusal for the last refused body; TicketInvalid after
// the last refusal; TicketBusy if ctx ends; errGateEnded if the ticket was used or cancelled.
func (p *pass) decode(ctx context.Context, sum string) error {
	for {
		next, err := p.tryDecode(sum)
		if next == nil {
			return err
		}
		select {
		case <-next:
		case <-ctx.Done():
			return busyTicket(context.Cause(ctx))
		}
	}
}

// tryDecode is decode for a caller that does not wait: next is closed when a decoding ends.
func (p *pass) tryDecode(sum string) (next <-chan struct{}, err error) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	at := p.at
	before := at.ticket.refusal(sum)
	switch {
	case at.ticket.Refusals >= maxRefusals:
		return nil, refusedTooOften()
	case at.ended.Err() != nil:
		return nil, errGateEnded
	case before != nil:
		return nil, before
	case at.decoding[sum], at.ticket.Refusals+len(at.decoding) >= maxRefusals:
		return at.next, nil
	}
	at.decoding[sum] = true
	return nil, nil
}

func (p *pass) decoded(sum string) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	delete(p.at.decoding, sum)
	close(p.at.next)
	p.at.next = make(chan struct{})
}

// refuse records a refusal of the ticket, with its row afterwards, nil if not known. The last refusal
// ends the gate.
func (p *pass) refuse(t *Ticket) {
	p.g.mu.Lock()
	defer p.g.mu.Unlock()
	p.g.refused++
	known := &p.at.ticket
	switch {
	case t == nil:
		known.Refusals++
	case t.Refusals > known.Refusals:
		*known = *t
	}
	if known.Refusals >= maxRefusals {
		p.g.endLocked(p.key)
	}
}

// end ends the gate and all waits, because the draft has become an image.
func (g *gates) end(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endLocked(key)
}

// endLocked ends a gate, if there is one, and returns it.
func (g *gates) endLocked(key string) *gate {
	at := g.of[key]
	if at != nil {
		at.end(errGateEnded)
		delete(g.of, key)
	}
	return at
}

// cancel ends the gate of a deleted draft, and the bodies being read for it; it returns how many.
func (g *gates) cancel(key string) (reading int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := g.endLocked(key)
	if at == nil {
		return 0
	}
	close(at.deleted)
	return at.inside
}

func busyTicket(err error) error {
	return &errs.Error{Kind: errs.TicketBusy, RetryAfter: gateTime, Err: err,
		Msg: "Too many uploads to this URL at once: wait for the first to end"}
}
