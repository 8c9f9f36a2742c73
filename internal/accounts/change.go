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
//   - Charge, Release and Keep add to what an account uses. The Change writes the rows of accounts
//     after all other statements, in the order of their ids. All writers of an account wait for its
//     row, so it is locked for the shortest time.
//   - Check adds a statement that needs the accounts locked, such as one that counts rows.
//   - AfterCommit adds what may happen only after the commit, such as the deletion of bytes, and
//     OnceAfterCommit what many functions add: a cache forgets, the notifier wakes. They do not run if the
//     transaction fails, nor if the result of its commit is unknown.
//
// Transactions lock rows in one order, or two could wait for each other: the row of a creator (see
// lockCreator), the row of an erasure, rows of images, rows of accounts, all other rows. A function
// that must lock an account earlier than at the end, because it deletes events or counts rows that
// another transaction may insert, calls Lock after its statements on images.
//
// A function may run more than once: it must set its results in each run.
type Change struct {
	*sqldb.Tx
	service *Service
	owed    map[string]*accountChange // by account
	checks  []func() error
	once    map[string]func()
	after   []func(context.Context)
}

// An accountChange is what a Change owes one account.
type accountChange struct {
	charges  []Charge
	released Charge
	kept     int64 // bytes
}

// Change runs fn in a transaction. If PostgreSQL ends it because of a deadlock, Change runs it again.
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

// ChangeInReserve is Change for what must be possible on a full disk, such as a deletion. On a full
// disk it has Hooks.MakeRoom free some bytes, and tries once more.
func (s *Service) ChangeInReserve(ctx context.Context, fn func(*Change) error) error {
	err := s.Change(ctx, fn)
	if !sqldb.IsFull(err) {
		return err
	}
	freed, freeing := s.hooks.MakeRoom()
	if freeing != nil {
		return errors.Join(err, freeing)
	}
	if !freed {
		return err
	}
	return s.Change(ctx, fn)
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

// Charge adds to what an account uses. The Change fails if that passes a limit, or if the account is
// suspended: LimitReached, AccountSuspended, AccountUnknown.
func (c *Change) Charge(account string, more Charge) {
	of := c.of(account)
	of.charges = append(of.charges, more)
}

// Release subtracts from what an account uses. It never fails for a limit.
func (c *Change) Release(account string, less Charge) {
	of := c.of(account)
	of.released.Images += less.Images
	of.released.Bytes += less.Bytes
	of.released.Drafts += less.Drafts
}

// Keep adds to the bytes that the records of an account take: events and the like. Fewer are negative.
// It never fails for a limit; Charge with Kept does.
func (c *Change) Keep(account string, bytes int64) { c.of(account).kept += bytes }

func (c *Change) of(account string) *accountChange {
	if c.owed[account] == nil {
		c.owed[account] = &accountChange{}
	}
	return c.owed[account]
}

// Lock locks the row of an account until the transaction ends: AccountUnknown. A function that counts
// rows of an account, to keep their number within a bound, locks it first: PostgreSQL runs transactions
// side by side, and none sees what another is about to insert.
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

// LockExisting locks those of the accounts that exist, in the order of their ids.
func (c *Change) LockExisting(accounts ...string) error {
	accounts = slices.Sorted(slices.Values(accounts))
	for _, account := range slices.Compact(accounts) {
		if err := c.Lock(account); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	return nil
}

// Check adds a function that runs when the accounts are charged, and so are locked. Its error fails
// the Change.
func (c *Change) Check(fn func() error) { c.checks = append(c.checks, fn) }

// AfterCommit adds a function that runs after the commit. Its context may be cancelled.
func (c *Change) AfterCommit(fn func(context.Context)) { c.after = append(c.after, fn) }

// OnceAfterCommit adds a function that runs once, however often it is added under its name. It runs before
// those of AfterCommit, and does not block.
func (c *Change) OnceAfterCommit(name string, fn func()) {
	if c.once == nil {
		c.once = map[string]func(){}
	}
	c.once[name] = fn
}

// Invalidate evicts after the commit what deliveries remember of accounts, variants and images.
func (c *Change) Invalidate() { c.OnceAfterCommit("invalidate", c.service.hooks.Invalidate) }

// Scrub has the database's files scrubbed of deleted rows after the commit.
func (c *Change) Scrub() { c.OnceAfterCommit("scrub", c.service.hooks.Scrub) }

// finish writes the rows of the accounts and runs the checks.
func (c *Change) finish() error {
	for _, account := range slices.Sorted(maps.Keys(c.owed)) {
		owed := c.owed[account]
		if err := owed.write(c, account); err != nil {
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
