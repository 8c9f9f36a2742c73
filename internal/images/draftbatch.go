package images

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/batch"
	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/sqldb"
)

// Drafts of one account are committed in batches. A batch charges the row of the account once, for
// which single transactions would queue until each COMMIT.
//
// If a batch fails because of one draft, for example because the sum exceeds a limit, each of its drafts is
// retried in a separate transaction. So no draft fails because of another one.

const (
	draftsTogether = 64 // in one transaction
	draftWait      = 30 * time.Second
)

// A pendingDraft is not in the database yet. The transaction of its batch sets batched and err.
type pendingDraft struct {
	img     Image
	ticket  string
	batched bool  // its batch has other drafts too
	err     error // errRetryAlone if its batch is committed without it
}

// errRetryAlone says that a draft was not written and must be retried in a separate transaction.
var errRetryAlone = errors.New("images: a draft needs a separate transaction")

// commitDraft writes a draft, in a batch or separately. If ctx ends while the draft waits, the draft is
// not made. If its transaction has begun, commitDraft waits and returns its result.
func (s *Service) commitDraft(ctx context.Context, d *pendingDraft) error {
	err := s.drafts.Do(ctx, d.img.Account, d)
	switch {
	case d.batched:
		err = d.result(err)
	case errors.Is(err, limit.ErrFull):
		return errs.AtCapacity("Too many one-time URLs are asked for at once", err)
	case errors.Is(err, batch.ErrTimeout):
		return errs.AtCapacity("The database takes too long to write", err)
	}
	if errors.Is(err, errRetryAlone) {
		err = s.Accounts.Change(ctx, func(tx *accounts.Change) error { return s.insertPaid(tx, d) })
	}
	return err
}

// result maps the error of a batch to the error of a draft. It returns err itself if a separate
// transaction would meet the same error, or if the commit may have succeeded.
func (d *pendingDraft) result(err error) error {
	switch {
	case err == nil:
		return d.err
	case errors.Is(err, sqldb.ErrCommitUnknown), sqldb.IsFull(err), sqldb.IsUnavailable(err):
		return err
	}
	return errRetryAlone
}

// commitDrafts writes the drafts of a batch in one transaction.
func (s *Service) commitDrafts(ctx context.Context, next func() []*pendingDraft) error {
	var drafts []*pendingDraft
	return s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		if drafts == nil { // else the transaction is retried
			drafts = next() // with those that came while the transaction waited for its connection
		}
		if len(drafts) == 1 {
			return s.insertPaid(tx, drafts[0])
		}
		for _, d := range drafts {
			d.batched = true
		}
		return s.insertBatch(tx, drafts)
	})
}

// insertPaid inserts one draft and charges its account.
func (s *Service) insertPaid(tx *accounts.Change, d *pendingDraft) error {
	if err := s.insertDraft(tx, d.img, d.ticket); err != nil {
		return err
	}
	tx.Charge(d.img.Account, s.chargeOfDrafts(1))
	tx.Check(func() error { return checkURLs(tx, d.img.Account, d.img.longestID()) })
	return nil
}

// chargeOfDrafts returns the usage of n new drafts.
func (s *Service) chargeOfDrafts(n int) accounts.Charge {
	return accounts.Charge{Drafts: int64(n), Bytes: int64(n) * s.config.MaxUploadBytes,
		UploadURLs: int64(n), KeptTimes: 1}
}

// insertBatch inserts drafts of one account, except those whose id is taken, and charges the account
// for all of them. It sets err of each draft.
func (s *Service) insertBatch(tx *accounts.Change, drafts []*pendingDraft) error {
	// By id, so that two nodes that insert the same ids do not deadlock.
	slices.SortFunc(drafts, func(a, b *pendingDraft) int { return strings.Compare(a.img.ID, b.img.ID) })
	inserted := map[string]bool{}
	for rest := drafts; len(rest) > 0; {
		// In powers of two, so that there are few statements to prepare.
		n := draftsTogether
		for n > len(rest) {
			n /= 2
		}
		args := make([]any, 0, n*draftColumns)
		for _, d := range rest[:n] {
			args = append(args, s.draftRow(d.img, d.ticket)...)
		}
		keys, err := sqldb.Select(tx, sqldb.ScanOne[string], insertDrafts(n)+` RETURNING key`, args...)
		if err != nil {
			return fmt.Errorf("inserting drafts: %w", err)
		}
		for _, key := range keys {
			inserted[key] = true
		}
		rest = rest[n:]
	}
	for _, d := range drafts {
		if d.err = nil; !inserted[d.img.Key] {
			d.err = errRetryAlone
		}
	}
	if len(inserted) == 0 {
		return nil
	}
	account := drafts[0].img.Account
	tx.Charge(account, s.chargeOfDrafts(len(inserted)))
	for _, d := range drafts {
		tx.Check(func() error { return checkURLs(tx, account, d.img.longestID()) })
	}
	return nil
}
