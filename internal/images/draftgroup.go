package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/sqldb"
)

// Drafts of one account are committed in batches: while a transaction runs, concurrent callers wait and
// form the next batch. The batch charges the row of the account once, for which single transactions
// would queue until each COMMIT. A batch never waits for more callers to come. There is no goroutine:
// one caller is the leader and commits the batch.
//
// If a batch fails because of one row (a taken id, a limit that the sum passes), each of its drafts is
// retried in a separate transaction. So no draft fails because of another one.

const (
	draftsTogether = 64 // in one transaction
	draftWait      = 30 * time.Second
)

// A draftBatcher holds the drafts that wait for a transaction.
type draftBatcher struct {
	pool *limit.Pool // of drafts that wait

	mu     sync.Mutex
	groups int                        // that had a transaction so far
	of     map[string][]*pendingDraft // by account, in order of arrival; no key without a leader
}

// A pendingDraft is not in the database yet. Its caller waits for done, and reads leads and err then.
type pendingDraft struct {
	img    Image
	ticket string
	lease  *limit.Lease // while it waits
	done   chan struct{}
	leads  bool  // its caller is the leader of the next batch; otherwise err is its result
	err    error // errRetryAlone if it was not written and needs a separate transaction
}

// errRetryAlone says that a draft was not written and must be retried in a separate transaction.
var errRetryAlone = errors.New("images: a draft needs a transaction of its own")

// commitDraft writes a draft, in a batch or separately. If ctx ends while the draft waits, the draft is
// not made. If its transaction has begun, commitDraft waits and returns its result.
func (s *Service) commitDraft(ctx context.Context, d *pendingDraft) error {
	leads, err := s.drafts.enter(d)
	if err != nil {
		return err
	}
	if !leads {
		if err := s.drafts.await(ctx, d); err != nil {
			return err
		}
		leads, err = d.leads, d.err
	}
	if leads {
		err = s.commitGroup(ctx, d)
	}
	if errors.Is(err, errRetryAlone) {
		err = s.DB.Tx(ctx, func(tx *sqldb.Tx) error { return s.insertPaid(tx, d) })
	}
	return err
}

// insertPaid inserts one draft and charges its account.
func (s *Service) insertPaid(tx *sqldb.Tx, d *pendingDraft) error {
	if err := s.insertDraft(tx, d.img, d.ticket); err != nil {
		return err
	}
	if err := s.pay(tx, d.img.Account, s.chargeOfDrafts(1)); err != nil {
		return err
	}
	return checkURLs(tx, d.img.Account, d.img.ID)
}

// chargeOfDrafts is what so many new drafts take of their account.
func (s *Service) chargeOfDrafts(n int) charge {
	return charge{drafts: int64(n), bytes: int64(n) * s.MaxUploadBytes, mints: int64(n), kept: 1}
}

// commitGroup commits a batch: the leader's draft and those that wait. It returns the result of the
// leader, passes theirs to the others after the commit, and hands off to the next leader.
func (s *Service) commitGroup(ctx context.Context, leader *pendingDraft) error {
	var group []*pendingDraft
	err := errors.New("images: the transaction of a group of drafts was abandoned") // by a panic
	defer func() {
		s.drafts.pass(leader.img.Account)
		for _, d := range group {
			if d != leader {
				d.err = resultFor(d, err)
				close(d.done)
			}
		}
	}()
	err = s.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		// Those who came while the transaction waited for its connection are of it.
		if group = s.drafts.take(leader); len(group) == 1 {
			return s.insertPaid(tx, leader)
		}
		return s.insertGroup(tx, group)
	})
	if len(group) > 1 {
		return resultFor(leader, err)
	}
	return err
}

// resultFor maps the error of a batch to the one of a draft. It returns err itself if a separate
// transaction would meet the same error, or if the commit may have succeeded.
func resultFor(d *pendingDraft, err error) error {
	switch {
	case err == nil:
		return d.err
	case errors.Is(err, sqldb.ErrCommitUnknown), sqldb.IsFull(err),
		sqldb.IsUnavailable(err):
		return err
	}
	return errRetryAlone
}

// insertGroup inserts drafts of one account, but those whose id is taken, and charges it for all.
// It notes in each draft whether it was inserted.
func (s *Service) insertGroup(tx *sqldb.Tx, group []*pendingDraft) error {
	// By id, so that two nodes that insert the same ones take turns and not each other's.
	slices.SortFunc(group, func(a, b *pendingDraft) int { return strings.Compare(a.img.ID, b.img.ID) })
	inserted := map[string]bool{}
	for rest := group; len(rest) > 0; {
		// In powers of two, so that there are few statements to prepare.
		n := draftsTogether
		for n > len(rest) {
			n /= 2
		}
		args := make([]any, 0, n*draftColumns)
		for _, d := range rest[:n] {
			args = append(args, s.draftRow(d.img, d.ticket)...)
		}
		rows, err := tx.Query(insertDrafts(n)+` RETURNING key`, args...)
		if err != nil {
			return fmt.Errorf("inserting drafts: %w", err)
		}
		_, err = sqldb.Collect(rows, func(r sqldb.Row) (key string, err error) {
			err = r.Scan(&key)
			inserted[key] = true
			return key, err
		})
		if err != nil {
			return fmt.Errorf("inserting drafts: %w", err)
		}
		rest = rest[n:]
	}
	for _, d := range group {
		if d.err = nil; !inserted[d.img.Key] {
			d.err = errRetryAlone
		}
	}
	if len(inserted) == 0 {
		return nil
	}
	account := group[0].img.Account
	if err := s.pay(tx, account, s.chargeOfDrafts(len(inserted))); err != nil {
		return err
	}
	for _, d := range group {
		if err := checkURLs(tx, account, d.img.ID); err != nil {
			return err
		}
	}
	return nil
}

// enter queues a draft, unless nobody leads in its account: then it is the one that leads. Busy
// when too many wait.
func (g *draftBatcher) enter(d *pendingDraft) (leads bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue, led := g.of[d.img.Account]
	if !led {
		if g.of == nil {
			g.of = map[string][]*pendingDraft{}
		}
		g.of[d.img.Account] = nil
		return true, nil
	}
	if d.lease, err = g.pool.TryAcquire(1, d.img.Account); err != nil {
		return false, errs.AtCapacity("Too many one-time URLs are asked for at once", err)
	}
	d.done = make(chan struct{})
	g.of[d.img.Account] = append(queue, d)
	return false, nil
}

// await waits until a draft leads or is told of. Nothing of it was written when it fails.
func (g *draftBatcher) await(ctx context.Context, d *pendingDraft) error {
	timeout := time.NewTimer(draftWait)
	defer timeout.Stop()
	var err error
	select {
	case <-d.done:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = errs.AtCapacity("The database takes too long to write", nil)
	}
	if g.leave(d) {
		return err
	}
	<-d.done // a transaction has it, or it leads
	return nil
}

// leave takes a draft out of its queue, if it still waits there.
func (g *draftBatcher) leave(d *pendingDraft) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue := g.of[d.img.Account]
	i := slices.Index(queue, d)
	if i < 0 {
		return false
	}
	g.of[d.img.Account] = slices.Delete(queue, i, i+1)
	d.lease.Release()
	return true
}

// take returns the leader's group: itself, and those that have waited longest.
func (g *draftBatcher) take(leader *pendingDraft) []*pendingDraft {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue := g.of[leader.img.Account]
	n := min(len(queue), draftsTogether-1)
	group := append([]*pendingDraft{leader}, queue[:n]...)
	g.of[leader.img.Account] = slices.Delete(queue, 0, n)
	for _, d := range group[1:] {
		d.lease.Release()
	}
	g.groups++
	return group
}

// pass hands the lead of an account to who has waited longest, if somebody waits.
func (g *draftBatcher) pass(account string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	queue := g.of[account]
	if len(queue) == 0 {
		delete(g.of, account)
		return
	}
	next := queue[0]
	g.of[account] = slices.Delete(queue, 0, 1)
	next.lease.Release()
	next.leads = true
	close(next.done)
}
