package accounts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"calotype/internal/sqldb"
)

// A Change is one writing transaction, with the work that its commit requires. Its function runs statements and
// registers this work; the Change does it:
//
//   - Charge, Release and CountKept change the usage of an account. The Change writes the rows of accounts
//     after all other statements, in the order of their ids. All writers of an account wait for its
//     row, so it is locked for the shortest time.
//   - Check adds a statement that needs the accounts locked, such as one that counts rows.
//   - AfterCommit adds a function that must run after the commit, such as the deletion of bytes.
//     OnceAfterCommit adds a short function that many callers add, such as the wake of the notifier. Invalidate
//     and Scrub add one hook each. None of them runs if the transaction fails, or if the result of its commit is
//     unknown.
//   - Invalidate also names the deliveries that caches in front of the server must purge. The Change records them
//     after the rows of accounts.
//
// All transactions lock existing rows in one order, because otherwise two could wait for each other: the row of a
// creator (images.lockCreator), the row of an erasure, rows of images, rows of accounts, all other rows. A row
// that the transaction inserts is not in this order: no other transaction can lock it before the commit. A
// deletion of an image, for example, locks the row of the image, inserts a tombstone and an event, and locks the
// row of the account at its end. A function that locks other rows, such as events, and also changes the row of the
// account (Charge, Release, CountKept), or counts rows that another transaction may insert, calls Lock after its
// statements on images: otherwise the Change would lock the account after the other rows. A function that changes no
// row of an account, such as a claim of deliveries, needs no Lock. No test checks the order of all functions: a
// deadlock on PostgreSQL is retried.
//
// A function may run more than once: it must set its results in each run.
type Change struct {
	*sqldb.Tx
	service *Service
	owed    map[string]*accountChange // by the account's ID
	checks  []func() error
	stale   []Stale
	once    map[string]func()
	after   []func(context.Context)
}

// An accountChange has the changes of one account's usage that a Change must write.
type accountChange struct {
	charges  []Charge
	released Charge
	kept     int64 // bytes
}

// Change runs fn in a transaction, and after its commit the functions that fn has added. If PostgreSQL ends the
// transaction because of a deadlock, Change retries it. Errors: those of fn, of Change.Charge and of the functions
// that Change.Check has added; sqldb.ErrCommitUnknown.
func (s *Service) Change(ctx context.Context, fn func(*Change) error) error {
	var c *Change
	err := s.db.RetryTx(ctx, func(tx *sqldb.Tx) error {
		c = &Change{Tx: tx, service: s, owed: map[string]*accountChange{}}
		if err := fn(c); err != nil {
			return err
		}
		return c.finish()
	})
	if err != nil {
		return err
	}
	for _, f := range c.once {
		f()
	}
	for _, f := range c.after {
		f(ctx)
	}
	return nil
}

// ChangeInReserve is Change for writes that must be possible on a full disk, such as a deletion. If the disk is
// full, it calls Hooks.UseReserve and retries once.
func (s *Service) ChangeInReserve(ctx context.Context, fn func(*Change) error) error {
	err := s.Change(ctx, fn)
	if !sqldb.IsFull(err) {
		return err
	}
	freed, freeing := s.hooks.UseReserve()
	if freeing != nil {
		return errors.Join(err, freeing)
	}
	if !freed {
		return err
	}
	return s.Change(ctx, fn)
}

// ChangeInSteps repeats fn in transactions of ChangeInReserve until it changes no row, and returns the number of rows
// that all of them have changed. fn changes a bounded number, because other writers wait for each transaction.
func (s *Service) ChangeInSteps(ctx context.Context, fn func(*Change) (int, error)) (total int, err error) {
	for ctx.Err() == nil {
		changed := 0
		err := s.ChangeInReserve(ctx, func(tx *Change) (err error) {
			changed, err = fn(tx)
			return err
		})
		if err != nil || changed == 0 {
			return total, err
		}
		total += changed
	}
	return total, ctx.Err()
}

// Exec is Change for one statement. It returns the number of rows that it changed.
func (s *Service) Exec(ctx context.Context, query string, args ...any) (changed int64, err error) {
	err = s.Change(ctx, func(c *Change) error {
		changed, err = c.Exec(query, args...)
		return err
	})
	return changed, err
}

// ExecInReserve is ChangeInReserve for one statement. It returns the number of rows that it changed.
func (s *Service) ExecInReserve(ctx context.Context, query string, args ...any) (changed int64, err error) {
	err = s.ChangeInReserve(ctx, func(c *Change) error {
		changed, err = c.Exec(query, args...)
		return err
	})
	return changed, err
}

// Charge adds to the usage of an account. The Change fails with LimitReached if the usage would exceed a limit,
// with AccountSuspended, or with AccountUnknown.
func (c *Change) Charge(account string, more Charge) {
	of := c.of(account)
	of.charges = append(of.charges, more)
}

// Release subtracts the images, bytes and drafts of less from the usage of an account. No limit refuses it.
func (c *Change) Release(account string, less Charge) {
	of := c.of(account)
	of.released.Images += less.Images
	of.released.Bytes += less.Bytes
	of.released.Drafts += less.Drafts
}

// CountKept adds the bytes of inserted kept records to the usage of an account; deleted records are negative. No limit
// refuses it: a Charge with KeptTimes checks the limit.
func (c *Change) CountKept(account string, bytes int64) { c.of(account).kept += bytes }

func (c *Change) of(account string) *accountChange {
	if c.owed[account] == nil {
		c.owed[account] = &accountChange{}
	}
	return c.owed[account]
}

// Lock locks the row of an account until the transaction ends. Error: AccountUnknown. A function that counts
// rows of an account to bound their number locks it first: PostgreSQL runs transactions concurrently, and none
// sees the rows of another before its commit.
func (c *Change) Lock(account string) error {
	locked, err := c.Exec(`UPDATE accounts SET created = created WHERE id = ?1`, account)
	if err != nil {
		return fmt.Errorf("locking an account: %w", err)
	}
	if locked == 0 {
		return ErrNotFound
	}
	return nil
}

// LockExisting locks the rows of the accounts that exist, in the order of their ids, and ignores the others.
func (c *Change) LockExisting(accounts ...string) error {
	accounts = slices.Sorted(slices.Values(accounts))
	for _, account := range slices.Compact(accounts) {
		if err := c.Lock(account); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// Check adds a function that runs after the accounts are charged, while their rows are locked. Its error fails
// the Change.
func (c *Change) Check(fn func() error) { c.checks = append(c.checks, fn) }

// AfterCommit adds a function that runs after the commit. Its context may be cancelled.
func (c *Change) AfterCommit(fn func(context.Context)) { c.after = append(c.after, fn) }

// OnceAfterCommit adds a function that runs once after the commit, even if it is added repeatedly under its name.
// It runs before the functions of AfterCommit, in any order with others of its kind, and must not block.
func (c *Change) OnceAfterCommit(name string, fn func()) {
	if c.once == nil {
		c.once = map[string]func(){}
	}
	c.once[name] = fn
}

// Invalidate has Hooks.Invalidate evict the cached accounts, variants and images of deliveries after the commit, and
// Hooks.Purge record the deliveries that caches in front of the server must purge: nil if no answer that they may hold
// is out of date.
func (c *Change) Invalidate(stale []Stale) {
	c.stale = append(c.stale, stale...)
	c.OnceAfterCommit("invalidate", c.service.hooks.Invalidate)
}

// Scrub calls Hooks.Scrub after the commit, which has deleted rows scrubbed from the database's files.
func (c *Change) Scrub() { c.OnceAfterCommit("scrub", c.service.hooks.Scrub) }

// finish writes the rows of the accounts and what to purge, and runs the checks.
func (c *Change) finish() error {
	for _, account := range slices.Sorted(maps.Keys(c.owed)) {
		owed := c.owed[account]
		if err := owed.write(c, account); err != nil {
			return err
		}
	}
	if len(c.stale) > 0 {
		if err := c.service.hooks.Purge(c, c.stale); err != nil {
			return err
		}
	}
	for _, check := range c.checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}
