package partials

import (
	"context"
	"errors"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// The append that has the lease of a Partial is its only writer. The row names the append and its node, and the time
// until which the lease is valid. Another append acquires a lease that is released or expired, or that its node has,
// where only one append runs. A stored part renews the lease, and so does renew while bytes come.

const (
	leaseTime  = 30 * time.Second
	renewAfter = leaseTime / 3
)

// claim acquires the lease. It stores the length only if it is larger than the offset, because clients take
// offset = length for success.
func (a *Append) claim(ctx context.Context, length int64) error {
	var store any
	if length > a.request.Offset {
		store = length
	}
	now := a.s.Now()
	var claimed Partial
	err := a.s.Accounts.Change(ctx, func(tx *accounts.Change) (err error) {
		claimed, err = scan(tx.QueryRow(`UPDATE partials SET holder = ?2, node = ?3, until = ?4,
			length = COALESCE(length, CAST(?5 AS BIGINT))
			WHERE key = ?1 AND received = ?6 AND ended IS NULL AND expires > ?7
			AND (holder IS NULL OR node = ?3 OR until <= ?7) RETURNING `+columns,
			a.p.Key, a.holder, a.s.node, sqldb.Micros(now.Add(leaseTime)), store, a.request.Offset,
			sqldb.Micros(now)))
		return err
	})
	if err != nil {
		return a.whyNotClaimed(ctx, sqldb.RowError("beginning to append to an upload", err, ErrEnded))
	}
	a.p = claimed
	if a.p.Length < 0 {
		a.p.Length = length
	}
	return nil
}

func (a *Append) whyNotClaimed(ctx context.Context, err error) error {
	if !errors.Is(err, ErrEnded) {
		return err
	}
	p, err := a.s.ByKey(ctx, a.p.Key)
	switch {
	case err != nil:
		return err
	case !p.Ended.IsZero(), !p.Expires.After(a.s.Now()):
		return ErrEnded
	case p.Received != a.request.Offset:
		return a.mismatch(p)
	}
	return Busy(nil)
}

// renew renews the lease if that is due. The caller has locked mu.
func (a *Append) renew() {
	if time.Since(a.renewed) < renewAfter {
		return
	}
	a.renewed = time.Now()
	if err := a.s.renewLease(a.ctx, a.p.Key, a.holder); err != nil {
		a.s.Log.Warn("the lease of an upload was not renewed", "err", err)
	}
}

func (s *Service) renewLease(ctx context.Context, key, holder string) error {
	_, err := s.Accounts.Exec(ctx, `UPDATE partials SET until = ?3 WHERE key = ?1 AND holder = ?2 AND ended IS NULL`,
		key, holder, sqldb.Micros(s.Now().Add(leaseTime)))
	return err
}

func (s *Service) releaseLease(ctx context.Context, key, holder string) error {
	_, err := s.Accounts.ExecInReserve(ctx, `UPDATE partials SET holder = NULL, until = ?3
		WHERE key = ?1 AND holder = ?2 AND ended IS NULL`, key, holder, sqldb.Micros(s.Now()))
	return err
}

// errFenced says that this append no longer has the lease, or that the Partial has ended.
var errFenced = errors.New("partials: the append has no lease")

func (a *Append) whyFenced() error {
	p, err := a.s.ByKey(a.ctx, a.p.Key)
	switch {
	case err != nil:
		return err
	case !p.Ended.IsZero(), !p.Expires.After(a.s.Now()):
		return ErrEnded
	}
	return errSuperseded
}

// CheckLease returns PartialBusy if an append of another node has the lease of p.
func (s *Service) CheckLease(p Partial) error {
	if p.holder == "" || p.node == s.node || !p.until.After(s.Now()) {
		return nil
	}
	return Busy(nil)
}

// Busy returns PartialBusy; cause may be nil.
func Busy(cause error) error {
	return &errs.Error{Kind: errs.PartialBusy, RetryAfter: leaseTime, Err: cause,
		Msg: "Another request of this upload is still running: try again in a few seconds"}
}
