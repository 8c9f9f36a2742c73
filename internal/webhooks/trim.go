package webhooks

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

// TrimKept deletes kept records (see accounts.Change.CountKept) of each account above three quarters of its limit, down
// to half of the limit: first events whose deliveries have all ended, the oldest first, and then attempts that are
// not the last of their delivery. It deletes no pending delivery.
func (s *Service) TrimKept(ctx context.Context) error {
	excess, err := sqldb.SelectMap[string, int64](s.db.Reader(ctx), `SELECT id, kept_bytes - max_kept / 2
		FROM accounts WHERE max_kept >= 0 AND kept_bytes > max_kept / 4 * 3`)
	if err != nil {
		return fmt.Errorf("looking for accounts near their limit of kept records: %w", err)
	}
	for _, account := range slices.Sorted(maps.Keys(excess)) {
		if err := s.trimKeptBy(ctx, account, excess[account]); err != nil {
			return fmt.Errorf("deleting what has ended: %w", err)
		}
	}
	return nil
}

// trimStep returns the number of rows that one transaction deletes to free excess bytes.
func trimStep(excess int64) int64 { return min(500, excess/3072+1) }

// trimKeptBy deletes ended records of an account until it has freed excess bytes or no ended record remains.
func (s *Service) trimKeptBy(ctx context.Context, account string, excess int64) error {
	for _, trim := range []func(context.Context, string, int64) (int64, error){
		s.trimEnded, s.trimAttempts,
	} {
		for excess > 0 {
			freed, err := trim(ctx, account, trimStep(excess))
			if err != nil {
				return err
			}
			if freed == 0 {
				break
			}
			excess -= freed
		}
	}
	return nil
}

// trimEnded deletes at most most events of an account without pending deliveries, and returns the freed bytes.
func (s *Service) trimEnded(
	ctx context.Context, account string, most int64,
) (freed int64, err error) {
	err = s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		freed = 0
		if err := tx.LockExisting(account); err != nil {
			return err
		}
		gone, err := deleteEvents(tx, `id IN (SELECT event FROM (SELECT created, event
			FROM deliveries d WHERE account = ?1 AND due IS NULL AND NOT EXISTS (SELECT 1
				FROM deliveries o WHERE o.event = d.event AND o.due IS NOT NULL)
			ORDER BY created, event LIMIT ?2) AS ended)`, account, most)
		freed = gone.bytes
		return err
	})
	return freed, err
}

// trimAttempts deletes at most most attempts of an account that are not the last of their delivery, and returns
// the freed bytes.
func (s *Service) trimAttempts(
	ctx context.Context, account string, most int64,
) (freed int64, err error) {
	err = s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) (err error) {
		freed = 0
		if err := tx.LockExisting(account); err != nil {
			return err
		}
		freed, err = deleteAttempts(tx, `(event, webhook, attempt) IN (SELECT event, webhook, attempt
			FROM delivery_attempts a WHERE account = ?1 AND EXISTS (SELECT 1
				FROM delivery_attempts n WHERE n.event = a.event AND n.webhook = a.webhook
					AND n.attempt > a.attempt) LIMIT ?2)`, account, most)
		if err != nil {
			return err
		}
		tx.CountKept(account, -freed)
		return nil
	})
	return freed, err
}

// deletedEvents has the number of deleted events, and the bytes of their rows, deliveries and attempts.
type deletedEvents struct {
	events int
	bytes  int64
}

// deleteEvents deletes the events that meet a condition, with their deliveries and attempts, and calls Change.CountKept
// for their accounts, which must be locked.
func deleteEvents(tx *accounts.Change, where string, args ...any) (gone deletedEvents, err error) {
	type deleted struct {
		id, account string
		bytes       int64
	}
	events, err := sqldb.Select(tx, func(r sqldb.Row) (e deleted, err error) {
		err = r.Scan(&e.id, &e.account, &e.bytes)
		return e, err
	}, `DELETE FROM events WHERE `+where+` RETURNING id, account, `+accounts.EventCost, args...)
	if err != nil {
		return gone, fmt.Errorf("deleting events: %w", err)
	}
	for _, e := range events {
		tx.Scrub() // of creators and metadata
		deliveries, err := tx.Exec(`DELETE FROM deliveries WHERE event = ?1`, e.id)
		if err != nil {
			return gone, fmt.Errorf("deleting deliveries: %w", err)
		}
		attempts, err := deleteAttempts(tx, `event = ?1`, e.id)
		if err != nil {
			return gone, err
		}
		freed := e.bytes + accounts.DeliveryBytes*deliveries + attempts
		tx.CountKept(e.account, -freed)
		gone.bytes += freed
	}
	gone.events = len(events)
	return gone, nil
}

// deleteAttempts deletes the attempts that meet a condition, and returns their bytes, which the caller must give to
// Change.CountKept.
func deleteAttempts(tx *accounts.Change, where string, args ...any) (freed int64, err error) {
	deleted, err := sqldb.Select(tx, sqldb.ScanOne[int64], `DELETE FROM delivery_attempts
		WHERE `+where+` RETURNING `+accounts.AttemptCost, args...)
	if err != nil {
		return 0, fmt.Errorf("deleting attempts: %w", err)
	}
	for _, bytes := range deleted {
		freed += bytes
	}
	return freed, nil
}

// DeleteOldEvents deletes the events that are older than Config.Retention, delivered or not, with their deliveries
// and attempts. It also deletes the remaining deliveries of deleted webhooks.
func (s *Service) DeleteOldEvents(ctx context.Context) error {
	const some = 500
	before := sqldb.Micros(s.now().Add(-s.config.Retention))
	_, err := s.accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
		accounts, err := sqldb.Select(tx, sqldb.ScanOne[string], `SELECT account FROM events
			WHERE created < ?1 ORDER BY created LIMIT ?2`, before, some)
		if err != nil {
			return 0, fmt.Errorf("looking for old events: %w", err)
		}
		if err := tx.LockExisting(accounts...); err != nil {
			return 0, err
		}
		gone, err := deleteEvents(tx, `id IN (SELECT id FROM events WHERE created < ?1
			ORDER BY created LIMIT ?2)`, before, some)
		return gone.events, err
	})
	if err != nil {
		return err
	}
	return s.forgetOrphanedDeliveries(ctx)
}
