package partials

import (
	"context"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
)

// End ends the reception of a body that has come whole. Its bytes are stored, unless the upload is complete: then the
// append has all bytes for Copy, and has the lease until Close. Errors: Invalid if the upload has more bytes, or the
// body has too few; those of Write.
func (a *Append) End() (complete bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.alive(); err != nil {
		return false, err
	}
	n, total := a.pending(), a.total()
	switch {
	case a.over, a.p.Length >= 0 && total == a.p.Length, a.p.Length < 0 && a.request.Complete:
		a.complete()
		return true, nil
	case a.request.Complete:
		err = errs.Errorf(errs.Invalid, "The upload has %d bytes, but its length is %d", total, a.p.Length)
	case n > 0 && !a.mayStore(n):
		err = errs.Errorf(errs.Invalid, "The body is too small: append at least %d bytes, except at the end",
			MinAppend(a.most))
	case n > 0:
		err = a.store(n, true)
	}
	a.end(err)
	return false, err
}

// Interrupt ends the reception of a body that has not come whole. It stores the bytes that have come, except the last
// byte of the upload. complete reports that more bytes came than an upload may have; see End.
func (a *Append) Interrupt() (complete bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.alive() != nil {
		a.end(nil)
		return false, nil
	}
	if a.over {
		a.complete()
		return true, nil
	}
	err = a.interrupt()
	a.end(err)
	return false, err
}

func (a *Append) interrupt() error {
	n := a.pending()
	if a.p.Length >= 0 {
		n = min(n, a.p.Length-a.p.Received-1)
	}
	if a.over || n <= 0 || !a.mayStore(n) {
		return nil
	}
	return a.store(n, true)
}

// complete renews the lease until the append ends.
func (a *Append) complete() {
	a.state = completing
	ctx, cancel := context.WithCancel(a.ctx)
	a.renewal = cancel
	go func() { // ends with the append
		tick := time.NewTicker(renewAfter)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				a.mu.Lock()
				a.renew()
				a.mu.Unlock()
			}
		}
	}()
}

// Slot returns the place of the append among the uploads in progress. The Body of the complete upload takes it over.
func (a *Append) Slot() *limit.Lease { return a.slot }

// Row returns the row of the Partial, as far as this append knows.
func (a *Append) Row() Partial {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.p
}

// Total returns the number of bytes that Copy writes.
func (a *Append) Total() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total()
}
