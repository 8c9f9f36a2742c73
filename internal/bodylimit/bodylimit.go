// Package bodylimit limits the concurrent bodies of each one-time URL, and the concurrent decodings among them. It
// knows the key of a ticket's draft and the refusals of the ticket, but neither rows nor pictures.
package bodylimit

import (
	"context"
	"errors"
	"sync"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
)

const (
	bodiesPerTicket = 4    // read at once
	bodiesWaiting   = 4000 // for another body of the same ticket
	bodyWait        = 30 * time.Second
)

// ErrTicketEnded says that the ticket was used, is invalid or was cancelled; its row shows which.
var ErrTicketEnded = errors.New("the ticket was used, refused too often or cancelled")

// Refusals are those of a ticket.
type Refusals struct {
	N int
	// Last returns the refusal of a body that equals the last refused one, by its SHA-256 in hex, nil for another body.
	// A nil Last knows of none.
	Last func(sum string) error
}

// A Limiter limits the concurrent bodies of each ticket. It admits bodiesPerTicket of them; further bodies
// are not read until one of these has ended. Most of them are never read, because the first accepted body uses
// the ticket.
//
// A Limiter also limits the concurrent decodings of a ticket, because each of them may end as a refusal: the
// refusals and the running decodings together are at most maxRefusals.
type Limiter struct {
	pool        *limit.Pool // of bodies; by account and ticket
	maxRefusals int
	invalid     func() error // the refusal of a body after the last refusal

	mu      sync.Mutex
	tickets map[string]*ticketBodies // by the draft's key; only those with bodies
	refused uint64                   // refusals of all tickets so far
}

// New returns a Limiter of tickets that become invalid by a number of refusals. invalid returns the refusal of a body
// after these.
func New(maxRefusals int, invalid func() error) *Limiter {
	return &Limiter{maxRefusals: maxRefusals, invalid: invalid, tickets: map[string]*ticketBodies{},
		pool: limit.New(limit.Config{Name: "ticket_bodies",
			Shares: []limit.Share{limit.None, bodiesPerTicket},
			Queue:  bodiesWaiting, QueueTime: bodyWait})}
}

// Pool returns the pool of bodies, for metrics.
func (l *Limiter) Pool() *limit.Pool { return l.pool }

// ticketBodies are the bodies of one ticket. Limiter.mu guards the fields.
type ticketBodies struct {
	ended   context.Context // ended: no upload waits for the ticket
	end     context.CancelCauseFunc
	deleted chan struct{} // closed when the draft is deleted

	bodies   int             // admitted or waiting
	admitted int             // being received or decoded
	decoding map[string]bool // the SHA-256 of bodies in decoding: equal bodies wait for the first
	refusals Refusals        // as far as this node knows
	next     chan struct{}   // closed when a decoding ends
}

// A Body is an admitted body of a ticket: its bytes may be read.
type Body struct {
	l      *Limiter
	key    string // of the draft
	ticket *ticketBodies
	lease  *limit.Lease // nil while it waits
}

// Refused returns the number of refusals of all tickets so far, for Admit.
func (l *Limiter) Refused() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// Admit waits until a body for a draft of an account is admitted. refused is the result of Refused before the draft's
// row was read; stale says that the row may have changed since and must be read again. After success the caller must
// call Release. Errors: ErrTicketEnded, TicketBusy, Aborted.
func (l *Limiter) Admit(
	ctx context.Context, account, key string, refused uint64,
) (_ *Body, stale bool, _ error) {
	at, alone := l.join(key)
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(at.ended, func() { cancel(ErrTicketEnded) })()
	lease, err := l.pool.Acquire(waiting,
		limit.Request{Keys: []string{account, key}, N: 1})
	b := &Body{l, key, at, lease}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		at.admitted++
		return b, !alone || l.refused != refused, nil
	case errors.Is(err, limit.ErrFull), errors.Is(err, limit.ErrTimeout):
		err = busyTicket(err)
	case !errors.Is(err, ErrTicketEnded):
		err = errs.ClientAborted(nil)
	}
	b.leave()
	return nil, false, err
}

// join adds a body to those of a draft's ticket. alone reports whether it is the only one.
func (l *Limiter) join(key string) (at *ticketBodies, alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at = l.tickets[key]
	if alone = at == nil; alone {
		at = &ticketBodies{deleted: make(chan struct{}), next: make(chan struct{}),
			decoding: map[string]bool{}}
		at.ended, at.end = context.WithCancelCause(context.Background())
		l.tickets[key] = at
	}
	at.bodies++
	return at, alone
}

// leave removes the body from those of its ticket. The caller has locked mu.
func (b *Body) leave() {
	b.ticket.bodies--
	if b.ticket.bodies == 0 {
		b.ticket.end(nil)
		if b.l.tickets[b.key] == b.ticket {
			delete(b.l.tickets, b.key)
		}
	}
}

// Release admits the next body. It may be called on nil.
func (b *Body) Release() {
	if b == nil {
		return
	}
	b.lease.Release()
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.ticket.admitted--
	b.leave()
}

// Deleted is closed when the draft is deleted.
func (b *Body) Deleted() <-chan struct{} { return b.ticket.deleted }

// Learn stores the refusals in the ticket's row.
func (b *Body) Learn(r Refusals) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	if r.N > b.ticket.refusals.N {
		b.ticket.refusals = r
	}
}

// BeginDecoding waits while running decodings may use up all remaining refusals, and while an equal body, by
// its SHA-256, is decoded. After success the caller must call EndDecoding, after a refusal is counted. Errors:
// the earlier refusal for the last refused body; TicketInvalid after the last refusal; TicketBusy if ctx ends;
// ErrTicketEnded if the ticket was used or cancelled.
func (b *Body) BeginDecoding(ctx context.Context, sum string) error {
	for {
		next, err := b.tryDecoding(sum)
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

// tryDecoding is BeginDecoding for a caller that does not wait: next is closed when a decoding ends.
func (b *Body) tryDecoding(sum string) (next <-chan struct{}, err error) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	at := b.ticket
	var before error
	if at.refusals.Last != nil {
		before = at.refusals.Last(sum)
	}
	switch {
	case at.refusals.N >= b.l.maxRefusals:
		return nil, b.l.invalid()
	case at.ended.Err() != nil:
		return nil, ErrTicketEnded
	case before != nil:
		return nil, before
	case at.decoding[sum], at.refusals.N+len(at.decoding) >= b.l.maxRefusals:
		return at.next, nil
	}
	at.decoding[sum] = true
	return nil, nil
}

// EndDecoding ends the decoding of a body that BeginDecoding has begun.
func (b *Body) EndDecoding(sum string) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	delete(b.ticket.decoding, sum)
	close(b.ticket.next)
	b.ticket.next = make(chan struct{})
}

// Refuse records a refusal of the ticket, with the refusals in its row afterwards, nil if not known. The last refusal
// ends the ticket.
func (b *Body) Refuse(now *Refusals) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.l.refused++
	known := &b.ticket.refusals
	switch {
	case now == nil:
		known.N++
	case now.N > known.N:
		*known = *now
	}
	if known.N >= b.l.maxRefusals {
		b.l.endLocked(b.key)
	}
}

// End ends a ticket and all waits for it, because the draft has become an image.
func (l *Limiter) End(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(key)
}

// endLocked is End; it returns the bodies of the ticket, nil if there are none.
func (l *Limiter) endLocked(key string) *ticketBodies {
	at := l.tickets[key]
	if at != nil {
		at.end(ErrTicketEnded)
		delete(l.tickets, key)
	}
	return at
}

// Cancel ends the ticket of a deleted draft, and the bodies being read for it; it returns their number.
func (l *Limiter) Cancel(key string) (reading int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.endLocked(key)
	if at == nil {
		return 0
	}
	close(at.deleted)
	return at.admitted
}

func busyTicket(err error) error {
	return &errs.Error{Kind: errs.TicketBusy, RetryAfter: bodyWait, Err: err,
		Msg: "Too many uploads to this URL at once: wait for the first to end"}
}
