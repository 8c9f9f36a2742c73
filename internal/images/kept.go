package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"calotype/internal/sqldb"
)

// Kept rows are the records of an account besides its images: events, deliveries, attempts, tombstones
// and erasures. kept_bytes in the account's row counts their bytes. Each transaction that inserts or
// deletes some of them calls Change.Keep.
//
// Over its limit an account cannot create drafts, edits, replays, webhooks or streams. Uploads by
// one-time URL are never refused because of it: an open draft counts as the event of its upload, see
// keptReserved. Deletions and erasures always work. Ended records are deleted first: see trimKept.

// Bytes of the rows, with their entries in indexes: measured in SQLite, rounded up, without the texts
// of events and attempts. The SQL and the Go code must agree.
const (
	eventBytes     = 1024
	deliveryBytes  = 768
	attemptBytes   = 512
	tombstoneBytes = 512
	erasureBytes   = 512

	eventCost   = `1024 + octet_length(facts)`
	attemptCost = `512 + octet_length(error) + octet_length(answer)`
)

// keptReserved is SQL for the bytes that the open drafts of an account, ?1, and some more will add at
// least: one event for each, with a delivery to every webhook.
func keptReserved(more string) string {
	return `(used_drafts + ` + more + `) * (SELECT CASE WHEN count(*) = 0 THEN 0
		ELSE 2048 + 768 * count(*) END FROM webhooks WHERE account = ?1)`
}

const (
	defaultMaxKept  = 64 << 20
	defaultMaxEdits = 12_000

	// keptByOne is the free part of the limit that an edit, a replay or a new webhook needs: for an event,
	// or some attempts.
	keptByOne = 4096

	// keptAtDeletion is the multiple of the limit for images by the API and for erasures without rows, which
	// write no event themselves.
	keptAtDeletion = 2
)

func keptLimit(bytes int64) string {
	return fmt.Sprintf("%d bytes of events and other records that are kept for it, of which an open "+
		"draft takes those of its upload: have its webhooks and streams take their events, or delete "+
		"those whose receiver is gone", bytes)
}

// mayKeep returns LimitReached if an account is at its limit of records. It only reads, so that
// repeated refusals do not block writers.
func (s *Service) mayKeep(ctx context.Context, account string) error {
	var kept, limit int64
	err := s.db.QueryRow(ctx, `SELECT kept_bytes + `+keptReserved(`0`)+`, max_kept FROM accounts
		WHERE id = ?1`, account).Scan(&kept, &limit)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it has nothing to edit or to replay
	}
	if err != nil {
		return fmt.Errorf("reading what is kept for an account: %w", err)
	}
	if limit >= 0 && kept+keptByOne > limit {
		return limitReached(keptLimit(limit))
	}
	return nil
}

// keptBy is SQL for the bytes of an account's records, ?1.
const keptBy = `(SELECT COALESCE(SUM(` + eventCost + `), 0) FROM events WHERE account = ?1)
	+ (SELECT 768 * count(*) FROM deliveries WHERE account = ?1)
	+ (SELECT COALESCE(SUM(` + attemptCost + `), 0) FROM delivery_attempts WHERE account = ?1)
	+ (SELECT 512 * count(*) FROM tombstones WHERE account = ?1)
	+ (SELECT 512 * count(*) FROM erasures WHERE account = ?1)`

// keptRecount is the interval of recounting an account's records.
const keptRecount = 24 * time.Hour

// recountKept corrects kept_bytes of accounts that were not recounted for a day: an older release may
// have written rows without counting them.
func (s *Service) recountKept(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT id FROM accounts WHERE kept_counted < ?1`,
		sqldb.Micros(s.now().Add(-keptRecount)))
	if err != nil {
		return fmt.Errorf("looking for accounts to recount: %w", err)
	}
	accounts, err := sqldb.Collect(rows, sqldb.ScanText)
	if err != nil {
		return fmt.Errorf("looking for accounts to recount: %w", err)
	}
	for _, account := range accounts {
		if err := s.recountKeptBy(ctx, account); err != nil {
			return fmt.Errorf("recounting what is kept for an account: %w", err)
		}
	}
	return nil
}

// recountKeptBy reads the difference between the records of an account and kept_bytes in one snapshot. Other
// transactions do not change the difference, so it is added without locking the account during the read. Of two
// concurrent recounts only one takes effect.
func (s *Service) recountKeptBy(ctx context.Context, account string) error {
	var lacking, counted int64
	err := s.db.QueryRow(ctx, `SELECT `+keptBy+` - kept_bytes, kept_counted FROM accounts
		WHERE id = ?1`, account).Scan(&lacking, &counted)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.exec(ctx, `UPDATE accounts SET kept_bytes = kept_bytes + CAST(?2 AS BIGINT),
		kept_counted = ?3 WHERE id = ?1 AND kept_counted = ?4`,
		account, lacking, sqldb.Micros(s.now()), counted)
	return err
}

// trimKept deletes records of accounts above three quarters of their limit, down to half of it: events
// whose deliveries have all ended, oldest first, and then attempts that are not the last of their
// delivery. Pending deliveries are not deleted.
func (s *Service) trimKept(ctx context.Context) error {
	rows, err := s.db.Query(ctx, `SELECT id, kept_bytes - max_kept / 2 FROM accounts
		WHERE max_kept >= 0 AND kept_bytes > max_kept / 4 * 3`)
	if err != nil {
		return fmt.Errorf("looking for accounts that keep much: %w", err)
	}
	excess := map[string]int64{}
	_, err = sqldb.Collect(rows, func(r sqldb.Row) (account string, err error) {
		var bytes int64
		err = r.Scan(&account, &bytes)
		excess[account] = bytes
		return account, err
	})
	if err != nil {
		return fmt.Errorf("looking for accounts that keep much: %w", err)
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

// trimKeptBy deletes ended records of excess bytes, if there are enough.
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

// trimEnded deletes some events of an account without pending deliveries, and returns their bytes.
func (s *Service) trimEnded(
	ctx context.Context, account string, most int64,
) (freed int64, err error) {
	err = s.changeInReserve(ctx, func(tx *Change) error {
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

// trimAttempts deletes some attempts of an account that are not the last of their delivery.
func (s *Service) trimAttempts(
	ctx context.Context, account string, most int64,
) (freed int64, err error) {
	err = s.changeInReserve(ctx, func(tx *Change) (err error) {
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
		tx.Keep(account, -freed)
		return nil
	})
	return freed, err
}

// deletedEvents is the number of deleted events, and their bytes with deliveries and attempts.
type deletedEvents struct {
	events int
	bytes  int64
}

// deleteEvents deletes events with their deliveries and attempts. Their accounts must be locked.
func deleteEvents(tx *Change, where string, args ...any) (gone deletedEvents, err error) {
	rows, err := tx.Query(`DELETE FROM events WHERE `+where+`
		RETURNING id, account, `+eventCost, args...)
	if err != nil {
		return gone, fmt.Errorf("deleting events: %w", err)
	}
	freed, accountOf := map[string]int64{}, map[string]string{}
	ids, err := sqldb.Collect(rows, func(r sqldb.Row) (id string, err error) {
		var account string
		var bytes int64
		err = r.Scan(&id, &account, &bytes)
		accountOf[id] = account
		freed[account] -= bytes
		return id, err
	})
	if err != nil {
		return gone, fmt.Errorf("deleting events: %w", err)
	}
	for _, id := range ids {
		deliveries, err := tx.Exec(`DELETE FROM deliveries WHERE event = ?1`, id)
		if err != nil {
			return gone, fmt.Errorf("deleting deliveries: %w", err)
		}
		attempts, err := deleteAttempts(tx, `event = ?1`, id)
		if err != nil {
			return gone, err
		}
		freed[accountOf[id]] -= deliveryBytes*deliveries + attempts
	}
	for _, bytes := range freed {
		gone.bytes -= bytes
	}
	gone.events = len(ids)
	for account, bytes := range freed {
		tx.Keep(account, bytes)
	}
	return gone, nil
}

// deleteAttempts deletes attempts and returns their bytes, which the caller must release.
func deleteAttempts(tx *Change, where string, args ...any) (freed int64, err error) {
	rows, err := tx.Query(`DELETE FROM delivery_attempts WHERE `+where+` RETURNING `+attemptCost,
		args...)
	if err == nil {
		_, err = sqldb.Collect(rows, func(r sqldb.Row) (bytes int64, err error) {
			err = r.Scan(&bytes)
			freed += bytes
			return bytes, err
		})
	}
	if err != nil {
		return 0, fmt.Errorf("deleting attempts: %w", err)
	}
	return freed, nil
}
