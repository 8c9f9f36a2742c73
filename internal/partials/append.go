package partials

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"calotype/internal/disk"
	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/text"
)

const (
	storeTime = time.Minute      // for a part
	supersede = 20 * time.Second // the longest wait for an append whose image is examined
)

// An AppendRequest has the fields of a request that appends to a Partial.
type AppendRequest struct {
	Offset   int64
	Length   int64 // of the upload; negative if the request does not state it
	Complete bool  // the body ends the upload, if it comes whole
	Size     int64 // of the body; negative if unknown
}

// An Append adds the body of one request to a Partial. Write the bytes to it, then call End if the body has come
// whole, else Interrupt; Close it in any case. Its methods are safe for concurrent use, because a newer request of
// the same Partial on this node ends it.
type Append struct {
	s        *Service
	ctx      context.Context // with the values of the request; it is not cancelled with it
	draft    string          // key of the draft
	holder   string
	key      sealKey
	slot     *limit.Lease
	request  AppendRequest
	most     int64 // bytes that the upload may have
	onStored func(offset int64)
	deleted  atomic.Bool   // the draft was deleted
	done     chan struct{} // closed when the append has ended

	mu      sync.Mutex  // guards the rest
	p       Partial     // its row
	tail    *sealedFile // the received bytes that are in no part; nil for none
	renewed time.Time   // by the machine's clock
	over    bool        // more bytes came than an upload may have
	state   state
	ended   error // the reason why state is ended, if it is not the end of the body
	renewal context.CancelFunc
}

type state int

const (
	receiving  state = iota
	completing       // all bytes have come: the image is examined
	ended
)

// errSuperseded ends an append when another request continues the upload. Usually the connection of the ended one is
// dead. If the network has delivered an old request late, the client of the newer one tries again.
var errSuperseded = &errs.Error{Kind: errs.PartialBusy, RetryAfter: time.Second,
	Msg: "Another request continues this upload: try again in a second"}

// An OffsetError says that a request does not begin at the offset of its upload.
type OffsetError struct{ Offset int64 } // the right one

func (e *OffsetError) Error() string { return fmt.Sprintf("the offset is %d", e.Offset) }

// Begin starts to append to the Partial p, which may have most bytes. It ends an append that runs on this node first.
// Errors: Invalid, TooLarge; OffsetMismatch with an OffsetError; PartialBusy; TicketUnknown; ErrEnded; Busy.
func (s *Service) Begin(ctx context.Context, p Partial, r AppendRequest, most int64) (*Append, error) {
	a := &Append{s: s, ctx: context.WithoutCancel(ctx), draft: p.Image, holder: text.NewKey(), request: r, most: most,
		p: p, key: p.key, done: make(chan struct{}), renewed: time.Now()}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := s.register(ctx, a); err != nil {
		return nil, err
	}
	length, err := r.checkLength(p)
	if err != nil {
		err = a.orMismatch(ctx, err)
	} else {
		a.slot, err = s.Bodies.TryAcquire(1, p.Account)
		err = disk.Full(err)
	}
	if a.slot != nil {
		err = a.claim(ctx, length)
	}
	if err != nil {
		a.end(err)
		return nil, err
	}
	return a, nil
}

// register makes a the running append of its Partial on this node.
func (s *Service) register(ctx context.Context, a *Append) error {
	for {
		s.mu.Lock()
		before := s.running[a.p.Key]
		if before == nil {
			s.running[a.p.Key] = a
		}
		s.mu.Unlock()
		if before == nil {
			return nil
		}
		if err := before.supersede(ctx); err != nil {
			return err
		}
	}
}

// Supersede ends the append that runs for a Partial on this node, if there is one. Its bytes are stored as far as
// Interrupt does. Error: PartialBusy if its image is being examined.
func (s *Service) Supersede(ctx context.Context, key string) error {
	s.mu.Lock()
	before := s.running[key]
	s.mu.Unlock()
	if before == nil {
		return nil
	}
	return before.supersede(ctx)
}

func (a *Append) supersede(ctx context.Context) error {
	a.mu.Lock()
	if a.state == receiving {
		err := a.interrupt()
		if err != nil {
			a.s.Log.Warn("the last bytes of an interrupted upload were not stored", "err", err)
		}
		a.end(errSuperseded)
	}
	a.mu.Unlock()
	wait := time.NewTimer(supersede)
	defer wait.Stop()
	select {
	case <-a.done:
		return nil
	case <-wait.C:
		return Busy(nil)
	case <-ctx.Done():
		return Busy(context.Cause(ctx))
	}
}

// checkLength returns the length of the upload after the request, negative if unknown. Errors: Invalid, TooLarge.
func (r AppendRequest) checkLength(p Partial) (int64, error) {
	length := r.Length
	if r.Complete && r.Size >= 0 {
		length = r.Offset + r.Size
		if r.Length >= 0 && r.Length != length {
			return 0, errs.Errorf(errs.Invalid, "The body ends the upload after %d bytes, but the length is %d",
				length, r.Length)
		}
	}
	switch {
	case length < 0:
		length = p.Length
	case p.Length >= 0 && length != p.Length:
		return 0, errs.Errorf(errs.Invalid, "The length of the upload is %d bytes and cannot change to %d",
			p.Length, length)
	}
	if length >= 0 && r.Size >= 0 && r.Offset+r.Size > length {
		return 0, errs.Errorf(errs.Invalid, "The body has more bytes than the upload: its length is %d", length)
	}
	return length, nil
}

// orMismatch returns OffsetMismatch for a request that is not at the offset, or else err: a client that continues at
// the wrong offset needs the right one first.
func (a *Append) orMismatch(ctx context.Context, err error) error {
	p, reading := a.s.ByKey(ctx, a.p.Key)
	if reading == nil && p.Ended.IsZero() && p.Received != a.request.Offset {
		return a.mismatch(p)
	}
	return err
}

func (a *Append) mismatch(p Partial) error {
	return &errs.Error{Kind: errs.OffsetMismatch, Err: &OffsetError{p.Received},
		Msg: fmt.Sprintf("The upload has %d bytes: continue there, not at %d", p.Received, a.request.Offset)}
}

// OnStored has fn called with the new offset after each part. fn must not block for long.
func (a *Append) OnStored(fn func(offset int64)) { a.onStored = fn }

// Write receives the next bytes. Errors: TooLarge if an upload may not have them, after which Interrupt reports a
// complete upload; Invalid if the upload has a length and they are beyond it; PartialBusy if another request continues
// the upload; TicketUnknown if the draft was deleted; ErrEnded; Busy, NoSpace.
func (a *Append) Write(data []byte) (n int, err error) {
	a.mu.Lock()
	before := a.p.Received
	n, err = a.write(data)
	after := a.p.Received
	a.mu.Unlock()
	if after != before && a.onStored != nil {
		a.onStored(after)
	}
	return n, err
}

func (a *Append) write(data []byte) (n int, err error) {
	for len(data) > 0 {
		if err := a.alive(); err != nil {
			return n, err
		}
		// Only when more bytes come: the last ones are no part.
		if a.pending() >= a.partSize() {
			if err := a.store(a.pending(), false); err != nil {
				a.end(err)
				return n, err
			}
		}
		some := data[:min(int64(len(data)), a.partSize()-a.pending())]
		if some, err = a.within(some); len(some) > 0 {
			wrote, failed := a.spool(some)
			n += wrote
			if failed != nil {
				return n, failed
			}
		}
		if err != nil {
			// Only now: an upload whose last byte found no space is no complete one.
			a.over = errs.AsError(err).Kind == errs.TooLarge
			return n, err
		}
		data = data[len(some):]
	}
	a.renew()
	return n, nil
}

// within returns the bytes that the upload may have, and an error if that is not all. One byte more than allowed
// is stored, so that the hash of the refused body recognizes a repeat.
func (a *Append) within(data []byte) ([]byte, error) {
	total, n := a.total(), int64(len(data))
	switch {
	case a.p.Length >= 0 && total+n > a.p.Length:
		return data[:a.p.Length-total], errs.Errorf(errs.Invalid,
			"The body has more bytes than the upload: its length is %d", a.p.Length)
	case total+n > a.most:
		return data[:max(0, a.most+1-total)], errs.Errorf(errs.TooLarge,
			"The file is larger than the %d bytes allowed", a.most)
	}
	return data, nil
}

func (a *Append) alive() error {
	switch {
	case a.state == ended && a.ended != nil:
		return a.ended
	case a.state != receiving:
		return errors.New("partials: the append has ended")
	case a.deleted.Load():
		return errs.Errorf(errs.TicketUnknown, "Upload not found: it was cancelled")
	}
	return nil
}

// pending returns the number of received bytes that are in no part.
func (a *Append) pending() int64 {
	if a.tail == nil {
		return 0
	}
	return a.tail.Len()
}

// total returns the number of received bytes of the whole upload.
func (a *Append) total() int64 { return a.p.Received + a.pending() }

// spool adds bytes to those that are in no part.
func (a *Append) spool(data []byte) (n int, err error) {
	if a.tail == nil {
		file := a.s.spool.File(sealedSize(a.partSize()), a.p.Account, a.p.Image)
		if a.tail, err = a.key.seal(file); err != nil {
			return 0, err
		}
	}
	return a.tail.Write(data)
}

// MinAppend returns the least number of bytes that a request should append, except the last one, to an upload of at
// most that many bytes.
func MinAppend(most int64) int64 { return (most + maxParts - 1) / maxParts }

// partSize returns the size of a part, in bytes. Even if each request has few bytes more than one, no part is smaller
// than MinAppend on average.
func (a *Append) partSize() int64 { return max(PartSize, 2*MinAppend(a.most)) }

// mayStore reports whether the upload may have one more part of n bytes: each further part may be as small as
// MinAppend, and their number stays within maxParts.
func (a *Append) mayStore(n int64) bool {
	least, rest := MinAppend(a.most), a.most
	if a.p.Length >= 0 {
		rest = a.p.Length
	}
	rest -= a.p.Received + n
	return a.p.Parts < maxParts && (n >= least || int64(a.p.Parts)+1+(rest+least-1)/least <= maxParts)
}

// Close ends the append if it has not ended. Only the first call has an effect.
func (a *Append) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end(nil)
}

// end ends the append, and releases its lease. The caller has locked mu.
func (a *Append) end(why error) {
	if a.state == ended {
		return
	}
	a.state, a.ended = ended, why
	if a.renewal != nil {
		a.renewal()
	}
	a.dropTail()
	if a.p.holder == a.holder {
		if err := a.s.releaseLease(a.ctx, a.p.Key, a.holder); err != nil {
			a.s.Log.Warn("the lease of an upload was not released", "err", err)
		}
	}
	a.slot.Release()
	a.s.mu.Lock()
	if a.s.running[a.p.Key] == a {
		delete(a.s.running, a.p.Key)
	}
	a.s.mu.Unlock()
	close(a.done)
}

func (a *Append) dropTail() {
	if a.tail == nil {
		return
	}
	if err := a.tail.Close(); err != nil {
		a.s.Log.Warn("closing a spool file", "err", err)
	}
	a.tail = nil
}
