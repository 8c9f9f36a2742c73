// Package purges owns the purges of caches in front of the server, and their outbox: the table purges. A Change that
// makes deliveries out of date records a row for each kind of them, in its transaction. A sender claims rows with a
// lease, has the receiver purge them, and completes them; package cdn does so. If the sender is killed, its rows are
// due again when the lease ends, so each purge is sent at least once.
//
// The outbox is a set, not a log like that of webhooks: two changes of an image are one purge, a purge has no facts
// and no history, and it belongs to the installation, so that it outlives its account. tags.go has the tags.
package purges

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

const (
	// Lease is the time from the claim of a purge until it is due again without a result.
	Lease = time.Minute
	// RepeatAfter is the time after which an accepted purge is repeated: another node may have sent an answer of
	// before the change until then, which a cache has stored after the purge.
	RepeatAfter = 10 * time.Second

	stepRows = 5000 // rows that a transaction deletes

	maxFirstAttempt = 1<<30 - 1 // attempts are integers of 32 bits
)

// Config configures a Service. All fields must be set.
type Config struct {
	DB       *sqldb.DB
	Accounts *accounts.Service
	Now      func() time.Time
}

// A Service reads and writes the purges of a database. It is safe for concurrent use.
type Service struct {
	db       *sqldb.DB
	accounts *accounts.Service
	now      func() time.Time
	wake     chan struct{} // wakes the sender of this node; has a buffer of 1
}

// New returns a Service on a migrated database.
func New(c Config) *Service {
	return &Service{db: c.DB, accounts: c.Accounts, now: c.Now, wake: make(chan struct{}, 1)}
}

// A Purge is a claimed purge of the deliveries with a tag.
type Purge struct {
	Tag     string
	Path    string // <account hash> or <account hash>/<image id>; "" if the receiver goes by tags
	attempt int    // number of the claim
}

// SetReceiver sets whether there is a receiver. With one, changes are recorded from now on; paths says whether it needs
// paths. Without one, SetReceiver deletes the recorded purges. All nodes must set the same.
func (s *Service) SetReceiver(ctx context.Context, on, paths bool) error {
	there, old, err := receiver(s.db.Reader(ctx))
	if err != nil || there == on && (!on || old == paths) {
		return err
	}
	err = s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		if !on {
			_, err := tx.Exec(`DELETE FROM purge_receivers`)
			return err
		}
		_, err := tx.Exec(`INSERT INTO purge_receivers (number, paths) VALUES (1, ?1)
			ON CONFLICT (number) DO UPDATE SET paths = excluded.paths`, sqldb.BoolInt(paths))
		return err
	})
	if err == nil && !on {
		err = s.deleteRows(ctx, `tag <> ?1`, "")
	}
	if err != nil {
		return fmt.Errorf("setting the receiver of purges: %w", err)
	}
	return nil
}

// receiver reports whether changes are recorded, and whether with paths.
func receiver(from sqldb.Reader) (on, paths bool, err error) {
	err = from.QueryRow(`SELECT paths FROM purge_receivers`).Scan(&paths)
	if errors.Is(err, sql.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("reading the receiver of purges: %w", err)
	}
	return true, paths, nil
}

// deleteRows deletes the purges that meet a condition with one argument.
func (s *Service) deleteRows(ctx context.Context, where string, arg string) error {
	_, err := s.accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
		return deleteSome(tx, where, arg)
	})
	return err
}

// deleteSome deletes up to stepRows purges that meet a condition with one argument, and returns their number.
func deleteSome(tx *accounts.Change, where, arg string) (int, error) {
	gone, err := tx.Exec(`DELETE FROM purges WHERE (tag, path) IN
		(SELECT tag, path FROM purges WHERE `+where+` LIMIT ?2)`, arg, stepRows)
	if gone > 0 {
		tx.Scrub() // of the ids of images
	}
	return int(gone), err
}

// Record inserts the purges of stale deliveries, in the Change that makes them stale, if there is a receiver. An
// account that is suspended has no deliveries, so each change of it records the purge of the whole account. It wakes
// the sender after the commit.
func (s *Service) Record(tx *accounts.Change, stale []accounts.Stale) error {
	on, paths, err := receiver(tx)
	if err != nil || !on {
		return err
	}
	type row struct{ tag, path, owner string }
	type owner struct {
		hash      string
		suspended bool
	}
	owners, rows := map[string]owner{}, map[row]bool{}
	for _, one := range stale {
		o, known := owners[one.Account]
		if !known {
			err := tx.QueryRow(`SELECT hash, suspended <> 0 FROM accounts WHERE id = ?1`, one.Account).
				Scan(&o.hash, &o.suspended)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return fmt.Errorf("reading the account of a purge: %w", err)
			}
			owners[one.Account] = o
		}
		r := row{tag: tagOf(one), owner: tagOf(accounts.Stale{Account: one.Account})}
		if o.suspended {
			r.tag = r.owner
		}
		if paths {
			r.path = cmp.Or(o.hash, one.Hash)
			if one.ID != "" && !o.suspended {
				r.path += "/" + one.ID
			}
		}
		rows[r] = true
	}
	sorted := make([]row, 0, len(rows))
	for r := range rows {
		sorted = append(sorted, r)
	}
	// Concurrent transactions lock rows that exist in one order.
	slices.SortFunc(sorted, func(a, b row) int {
		return cmp.Or(strings.Compare(a.tag, b.tag), strings.Compare(a.path, b.path))
	})
	for _, r := range sorted {
		if err := s.insert(tx, r.tag, r.path, r.owner); err != nil {
			return err
		}
	}
	return nil
}

// insert inserts a purge that is due at once, and wakes the sender after the commit. One that exists is due again: the
// attempt that may be sending it does not end it. A purge that is already due retains its due time, so that a sender
// that waits for purges to settle gets it while changes continue; 2 repeats say that it is due once more after that.
// The numbers of attempts begin with the time, so that they differ from those of a deleted row with the same key.
func (s *Service) insert(tx *accounts.Change, tag, path, owner string) error {
	_, err := tx.Exec(`INSERT INTO purges (tag, path, owner, due, attempt, repeats)
		VALUES (?1, ?2, ?3, ?4, ?5, 1) ON CONFLICT (tag, path) DO UPDATE
		SET due = CASE WHEN purges.due < excluded.due THEN purges.due ELSE excluded.due END,
			repeats = CASE WHEN purges.due < excluded.due THEN 2 ELSE 1 END,
			attempt = purges.attempt + 1`, tag, path, owner, sqldb.Micros(s.now()), s.now().Unix()&maxFirstAttempt)
	if err != nil {
		return fmt.Errorf("recording a purge: %w", err)
	}
	tx.OnceAfterCommit("purges", func() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	})
	return nil
}

// Wake returns the channel that receives after this node has recorded purges. It does not receive for those of other
// nodes, nor when a repeat is due: the sender must poll for these.
func (s *Service) Wake() <-chan struct{} { return s.wake }

// Claim claims at most most purges that are due for at least a time, the oldest first. No other sender can claim them
// for Lease.
func (s *Service) Claim(ctx context.Context, most int, since time.Duration) ([]Purge, error) {
	before := sqldb.Micros(s.now().Add(-since))
	due, err := sqldb.Exists(s.db.Reader(ctx), `purges WHERE due <= ?1`, before)
	if err != nil {
		return nil, fmt.Errorf("looking for purges: %w", err)
	}
	if !due {
		return nil, nil
	}
	var claimed []Purge
	err = s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) (err error) {
		// PostgreSQL evaluates the outer condition again for rows that another sender had locked; see claimSome of
		// package webhooks for the plus.
		claimed, err = sqldb.Select(tx, func(r sqldb.Row) (p Purge, err error) {
			err = r.Scan(&p.Tag, &p.Path, &p.attempt)
			return p, err
		}, `UPDATE purges SET attempt = attempt + 1, due = ?2 WHERE +due <= ?1 AND (tag, path) IN
			(SELECT tag, path FROM purges WHERE due <= ?1 ORDER BY due LIMIT ?3) RETURNING tag, path, attempt`,
			before, sqldb.Micros(s.now().Add(Lease)), most)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming purges: %w", err)
	}
	slices.SortFunc(claimed, func(a, b Purge) int {
		return cmp.Or(strings.Compare(a.Tag, b.Tag), strings.Compare(a.Path, b.Path))
	})
	return claimed, nil
}

// Complete ends purges that the receiver has accepted. With repeat each is due once more, after RepeatAfter; without
// it, only one that was recorded a second time before it was claimed. A purge that was recorded or claimed again since
// does not end.
func (s *Service) Complete(ctx context.Context, accepted []Purge, repeat bool) error {
	next := sqldb.Micros(s.now())
	if repeat {
		next = sqldb.Micros(s.now().Add(RepeatAfter))
	}
	return s.settle(ctx, accepted, func(tx *accounts.Change, p Purge) error {
		ended, err := tx.Exec(`DELETE FROM purges WHERE tag = ?1 AND path = ?2 AND attempt = ?3
			AND (repeats = 0 OR ?4 = 0 AND repeats = 1)`, p.Tag, p.Path, p.attempt, sqldb.BoolInt(repeat))
		if err != nil || ended > 0 {
			if p.Path != "" {
				tx.Scrub() // of the id of an image
			}
			return err
		}
		_, err = tx.Exec(`UPDATE purges SET due = ?4, repeats = 0 WHERE tag = ?1 AND path = ?2 AND attempt = ?3`,
			p.Tag, p.Path, p.attempt, next)
		return err
	})
}

// Release ends the claim of purges that the receiver has not accepted: a sender that claims what is due for at least
// since can claim them at once, after those that have waited for longer.
func (s *Service) Release(ctx context.Context, claimed []Purge, since time.Duration) error {
	now := sqldb.Micros(s.now().Add(-since))
	return s.settle(ctx, claimed, func(tx *accounts.Change, p Purge) error {
		_, err := tx.Exec(`UPDATE purges SET due = ?4 WHERE tag = ?1 AND path = ?2 AND attempt = ?3`,
			p.Tag, p.Path, p.attempt, now)
		return err
	})
}

// settle calls fn for each claimed purge, in one Change.
func (s *Service) settle(ctx context.Context, claimed []Purge, fn func(*accounts.Change, Purge) error) error {
	err := s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		for _, p := range claimed {
			if err := fn(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recording the result of purges: %w", err)
	}
	return nil
}

// Gather replaces the purges of each account that has more than most by one of the whole account, so that their number
// is bounded.
func (s *Service) Gather(ctx context.Context, most int) error {
	type owner struct{ tag, path string }
	owners, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (o owner, err error) {
		err = r.Scan(&o.tag, &o.path)
		return o, err
	}, `SELECT owner, max(path) FROM purges GROUP BY owner HAVING count(*) > ?1`, most)
	if err != nil {
		return fmt.Errorf("counting purges: %w", err)
	}
	for _, o := range owners {
		hash, _, _ := strings.Cut(o.path, "/")
		// Each transaction inserts the purge that replaces those that it deletes: it may have been sent since the last
		// transaction.
		_, err := s.accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
			gone, err := deleteSome(tx, `owner = ?1 AND tag <> owner`, o.tag)
			if err != nil || gone == 0 {
				return 0, err
			}
			return gone, s.insert(tx, o.tag, hash, o.tag)
		})
		if err != nil {
			return fmt.Errorf("gathering purges: %w", err)
		}
	}
	return nil
}

// MaxPending is the number up to which Pending counts.
const MaxPending = 100_000

// Pending returns the number of purges that the receiver has not accepted, or that are to be repeated.
func (s *Service) Pending(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1 FROM purges LIMIT ?1) AS pending`, MaxPending).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("counting purges: %w", err)
	}
	return n, nil
}
