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
	bodyWait        = 30 * time.Second
)

// errTicketEnded says that the ticket was used, is invalid or was cancelled; its row shows which.
var errTicketEnded = errors.New("the ticket was used, refused too often or cancelled")

// A bodyLimiter limits the concurrent bodies of each ticket. It admits bodiesPerTicket of them; further bodies
// are not read until one of these has ended. Most of them are never read, because the first accepted body uses
// the ticket.
//
// A bodyLimiter also limits the concurrent decodings of a ticket, because each of them may end as a refusal: the
// refusals and the running decodings together are at most maxRefusals.
type bodyLimiter struct {
	pool *limit.Pool // of bodies; by account and ticket

	mu      sync.Mutex
	tickets map[string]*ticketBodies // by the image's key; only those with bodies
	refused uint64                   // refusals of all tickets so far
}

// ticketBodies are the bodies of one ticket. bodyLimiter.mu guards the fields.
type ticketBodies struct {
	ended   context.Context // ended: no upload waits for the ticket
	end     context.CancelCauseFunc
	deleted chan struct{} // closed when the draft is deleted

	bodies   int             // admitted or waiting
	admitted int             // being received or decoded
	decoding map[string]bool // the SHA-256 of bodies in decoding: equal bodies wait for the first
	ticket   Ticket          // its refusals, as far as this node knows
	next     chan struct{}   // closed when a decoding ends
}

// An admittedBody is a body that may be read.
type admittedBody struct {
	l      *bodyLimiter
	key    string // of the image
	ticket *ticketBodies
	lease  *limit.Lease // nil while it waits
}

// refusals returns the number of refusals so far, for admit.
func (l *bodyLimiter) refusals() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// admit waits until a body for a draft is admitted. refusals is their number before the draft's row was read;
// stale says that the row may have changed since and must be read again. After success the caller must call
// release. Errors: errTicketEnded, TicketBusy, Aborted.
func (l *bodyLimiter) admit(
	ctx context.Context, draft Image, refusals uint64,
) (_ *admittedBody, stale bool, _ error) {
	at, alone := l.join(draft.Key)
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(at.ended, func() { cancel(errTicketEnded) })()
	lease, err := l.pool.Acquire(waiting,
		limit.Request{Keys: []string{draft.Account, draft.Key}, N: 1})
	b := &admittedBody{l, draft.Key, at, lease}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		at.admitted++
		return b, !alone || l.refused != refusals, nil
	case errors.Is(err, limit.ErrFull), errors.Is(err, limit.ErrTimeout):
		err = busyTicket(err)
	case !errors.Is(err, errTicketEnded):
		err = errs.ClientAborted(nil)
	}
	b.leave()
	return nil, false, err
}

// join adds a body to those of a draft's ticket. alone reports whether it is the only one.
func (l *bodyLimiter) join(key string) (at *ticketBodies, alone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at = l.tickets[key]
	if alone = at == nil; alone {
		if l.tickets == nil {
			l.tickets = map[string]*ticketBodies{}
		}
		at = &ticketBodies{deleted: make(chan struct{}), next: make(chan struct{}),
			decoding: map[string]bool{}}
		at.ended, at.end = context.WithCancelCause(context.Background())
		l.tickets[key] = at
	}
	at.bodies++
	return at, alone
}

// leave removes the body from those of its ticket. The caller has locked mu.
func (b *admittedBody) leave() {
	b.ticket.bodies--
	if b.ticket.bodies == 0 {
		b.ticket.end(nil)
		if b.l.tickets[b.key] == b.ticket {
			delete(b.l.tickets, b.key)
		}
	}
}

// release admits the next body. It may be called on nil.
func (b *admittedBody) release() {
	if b == nil {
		return
	}
	b.lease.Release()
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.ticket.admitted--
	b.leave()
}

// deleted is closed when the draft is deleted.
func (b *admittedBody) deleted() <-chan struct{} { return b.ticket.deleted }

// learn stores the refusals in the ticket's row.
func (b *admittedBody) learn(t Ticket) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	if t.Refusals > b.ticket.ticket.Refusals {
		b.ticket.ticket = t
	}
}

// beginDecoding waits while running decodings may use up all remaining refusals, and while an equal body, by
// its SHA-256, is decoded. After success the caller must call endDecoding, after a refusal is counted. Errors:
// the earlier refusal for the last refused body; TicketInvalid after the last refusal; TicketBusy if ctx ends;
// errTicketEnded if the ticket was used or cancelled.
func (b *admittedBody) beginDecoding(ctx context.Context, sum string) error {
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

// tryDecoding is beginDecoding for a caller that does not wait: next is closed when a decoding ends.
func (b *admittedBody) tryDecoding(sum string) (next <-chan struct{}, err error) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	at := b.ticket
	before := at.ticket.refusal(sum)
	switch {
	case at.ticket.Refusals >= maxRefusals:
		return nil, refusedTooOften()
	case at.ended.Err() != nil:
		return nil, errTicketEnded
	case before != nil:
		return nil, before
	case at.decoding[sum], at.ticket.Refusals+len(at.decoding) >= maxRefusals:
		return at.next, nil
	}
	at.decoding[sum] = true
	return nil, nil
}

func (b *admittedBody) endDecoding(sum string) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	delete(b.ticket.decoding, sum)
	close(b.ticket.next)
	b.ticket.next = make(chan struct{})
}

// refuse records a refusal of the ticket, with its row afterwards, nil if not known. The last refusal
// ends the ticket.
func (b *admittedBody) refuse(t *Ticket) {
	b.l.mu.Lock()
	defer b.l.mu.Unlock()
	b.l.refused++
	known := &b.ticket.ticket
	switch {
	case t == nil:
		known.Refusals++
	case t.Refusals > known.Refusals:
		*known = *t
	}
	if known.Refusals >= maxRefusals {
		b.l.endLocked(b.key)
	}
}

// end ends a ticket and all waits for it, because the draft has become an image.
func (l *bodyLimiter) end(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked(key)
}

// endLocked is end; it returns the bodies of the ticket, nil if there are none.
func (l *bodyLimiter) endLocked(key string) *ticketBodies {
	at := l.tickets[key]
	if at != nil {
		at.end(errTicketEnded)
		delete(l.tickets, key)
	}
	return at
}

// cancel ends the ticket of a deleted draft, and the bodies being read for it; it returns their number.
func (l *bodyLimiter) cancel(key string) (reading int) {
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
