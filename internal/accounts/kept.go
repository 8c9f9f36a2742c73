package accounts

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	EventBytes     = 1024
	DeliveryBytes  = 768
	attemptBytes   = 512
	TombstoneBytes = 512
	ErasureBytes   = 512

	EventCost   = `1024 + octet_length(facts)`
	AttemptCost = `512 + octet_length(error) + octet_length(answer)`
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
	KeptByOne = 4096

	// keptAtDeletion is the multiple of the limit for images by the API and for erasures without rows, which
	// write no event themselves.
	KeptAtDeletion = 2
)

func keptLimit(bytes int64) string {
	return fmt.Sprintf("%d bytes of events and other records that are kept for it, of which an open "+
		"draft takes those of its upload: have its webhooks and streams take their events, or delete "+
		"those whose receiver is gone", bytes)
}

// CheckKept returns LimitReached if an account is at its limit of records. It only reads, so that
// repeated refusals do not block writers.
func (s *Service) CheckKept(ctx context.Context, account string) error {
	var kept, limit int64
	err := s.db.QueryRow(ctx, `SELECT kept_bytes + `+keptReserved(`0`)+`, max_kept FROM accounts
		WHERE id = ?1`, account).Scan(&kept, &limit)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it has nothing to edit or to replay
	}
	if err != nil {
		return fmt.Errorf("reading what is kept for an account: %w", err)
	}
	if limit >= 0 && kept+KeptByOne > limit {
		return limitReached(keptLimit(limit))
	}
	return nil
}

// keptBy is SQL for the bytes of an account's records, ?1.
const keptBy = `(SELECT COALESCE(SUM(` + EventCost + `), 0) FROM events WHERE account = ?1)
	+ (SELECT 768 * count(*) FROM deliveries WHERE account = ?1)
	+ (SELECT COALESCE(SUM(` + AttemptCost + `), 0) FROM delivery_attempts WHERE account = ?1)
	+ (SELECT 512 * count(*) FROM tombstones WHERE account = ?1)
	+ (SELECT 512 * count(*) FROM erasures WHERE account = ?1)`

// keptRecount is the interval of recounting an account's records.
const keptRecount = 24 * time.Hour

// RecountKept corrects kept_bytes of accounts that were not recounted for a day: an older release may
// have written rows without counting them.
func (s *Service) RecountKept(ctx context.Context) error {
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
	_, err = s.Exec(ctx, `UPDATE accounts SET kept_bytes = kept_bytes + CAST(?2 AS BIGINT),
		kept_counted = ?3 WHERE id = ?1 AND kept_counted = ?4`,
		account, lacking, sqldb.Micros(s.now()), counted)
	return err
}
