package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"calotype/internal/sqldb"
)

// A kept record is a row of an account in the table events, deliveries, delivery_attempts, tombstones or erasures.
// The column kept_bytes in the account's row has the sum of their bytes. A transaction that inserts or deletes
// kept records calls Change.CountKept.
//
// An account over its limit cannot create drafts, edits, replays, webhooks or streams. The limit never refuses an
// upload by a one-time URL, because the open draft reserves the bytes of its event: see keptReserved. It never
// refuses a deletion or an erasure. webhooks.TrimKept deletes ended records before an account reaches its limit.

// The bytes of one row of each table, with its entries in indexes, without the texts of events and attempts:
// measured in SQLite and rounded up. EventCost and AttemptCost are SQL for the bytes of a row with its texts. The
// numbers in SQL and in Go must agree.
const (
	EventBytes     = 1024
	DeliveryBytes  = 768
	TombstoneBytes = 512
	ErasureBytes   = 512

	EventCost   = `1024 + octet_length(facts)`
	AttemptCost = `512 + octet_length(error) + octet_length(answer)`
)

// keptReserved returns SQL for the least number of bytes that the uploads of open drafts will add to an account,
// ?1: one event for each draft, with a delivery for each webhook. more is SQL for a number of further drafts.
func keptReserved(more string) string {
	return `(used_drafts + ` + more + `) * (SELECT CASE WHEN count(*) = 0 THEN 0
		ELSE 2048 + 768 * count(*) END FROM webhooks WHERE account = ?1)`
}

const (
	defaultMaxKept  = 64 << 20
	defaultMaxEdits = 12_000

	// KeptByOne is the number of bytes of the limit that must be free for an edit, a replay or a new webhook:
	// enough for an event, or for some attempts.
	KeptByOne = 4096

	// KeptAtDeletion is the KeptTimes of images that the API creates and of erasures that match no row. These
	// write no event, but the deletion of such an image does.
	KeptAtDeletion = 2
)

func keptLimit(bytes int64) string {
	return fmt.Sprintf("%d bytes of events and other records that are kept for it, of which an open "+
		"draft takes those of its upload: have its webhooks and streams take their events, or delete "+
		"those whose receiver is gone", bytes)
}

// CheckKept returns LimitReached if fewer than KeptByOne bytes of an account's limit of kept records are free. It
// only reads, so that repeated refusals do not block writers.
func (s *Service) CheckKept(ctx context.Context, account string) error {
	var kept, limit int64
	err := s.db.QueryRow(ctx, `SELECT kept_bytes + `+keptReserved(`0`)+`, max_kept FROM accounts
		WHERE id = ?1`, account).Scan(&kept, &limit)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // an unknown account has no rows to edit or to replay
	}
	if err != nil {
		return fmt.Errorf("reading what is kept for an account: %w", err)
	}
	if limit >= 0 && kept+KeptByOne > limit {
		return limitReached(keptLimit(limit))
	}
	return nil
}

// keptBy is SQL for the bytes of all kept records of an account, ?1.
const keptBy = `(SELECT COALESCE(SUM(` + EventCost + `), 0) FROM events WHERE account = ?1)
	+ (SELECT 768 * count(*) FROM deliveries WHERE account = ?1)
	+ (SELECT COALESCE(SUM(` + AttemptCost + `), 0) FROM delivery_attempts WHERE account = ?1)
	+ (SELECT 512 * count(*) FROM tombstones WHERE account = ?1)
	+ (SELECT 512 * count(*) FROM erasures WHERE account = ?1)`

// keptRecount is the interval at which the kept records of an account are counted.
const keptRecount = 24 * time.Hour

// RecountKept counts the kept records of each account that was not recounted for a day, and corrects kept_bytes:
// a node of an older release may have written rows without counting them.
func (s *Service) RecountKept(ctx context.Context) error {
	accounts, err := sqldb.Select(s.db.Reader(ctx), sqldb.ScanOne[string],
		`SELECT id FROM accounts WHERE kept_counted < ?1`, sqldb.Micros(s.now().Add(-keptRecount)))
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

// recountKeptBy reads the difference between an account's kept records and kept_bytes in one snapshot. Other
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
	_, err = s.Exec(ctx, `UPDATE accounts SET kept_bytes = kept_bytes + CAST(?2 AS BIGINT),
		kept_counted = ?3 WHERE id = ?1 AND kept_counted = ?4`,
		account, lacking, sqldb.Micros(s.now()), counted)
	return err
}
