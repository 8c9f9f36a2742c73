package partials

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// An Ending is the end of open Partials of a draft.
type Ending struct {
	Draft, Account string
	Accepted       string // key of the Partial whose bytes became the image; "" for none
	Length         int64  // bytes of the accepted one
	Result         string // key of the image
	Except         string // key of a Partial that stays open; "" for none
	Kind           errs.Kind
	Message        string // of the refusal of all others; "" if they stay open
}

// EndAll ends the open Partials of a draft, whose row is locked. Error: ErrEnded if the accepted one is not open.
func (s *Service) EndAll(tx *accounts.Change, e Ending) error {
	open, err := sqldb.Exists(tx, `partials WHERE image = ?1 AND ended IS NULL`, e.Draft)
	if err != nil {
		return fmt.Errorf("looking for resumable uploads: %w", err)
	}
	if !open && e.Accepted == "" {
		return nil
	}
	if err := tx.Lock(e.Account); err != nil {
		return err
	}
	var accepted []Partial
	if e.Accepted != "" {
		accepted, err = s.end(tx, `key = ?5`, e.Accepted, Ending{Result: e.Result, Length: e.Length})
		if err == nil && len(accepted) == 0 {
			err = ErrEnded
		}
		if err != nil {
			return err
		}
	}
	all := accepted
	if e.Message != "" {
		others, err := s.end(tx, `image = ?5`, e.Draft, e)
		if err != nil {
			return err
		}
		all = append(all, others...)
	}
	blobs, err := s.discard(tx, all, "")
	s.deleteSoon(tx, blobs)
	return err
}

// Refuse ends a Partial whose content is refused. It does nothing if the Partial has ended.
func (s *Service) Refuse(ctx context.Context, p Partial, kind errs.Kind, message string) error {
	err := s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		one, err := s.end(tx, `key = ?5`, p.Key, Ending{Kind: kind, Message: message})
		var blobs []string
		if err == nil {
			blobs, err = s.discard(tx, one, "")
		}
		if err != nil {
			return err
		}
		s.deleteAfterCommit(tx, blobs)
		// Repeats of a refused body do not count as refusals, so only this bounds the rows. A row stays until its parts
		// are deleted, so that an erasure finds them.
		_, err = tx.Exec(`DELETE FROM partials WHERE key IN (SELECT key FROM partials
			WHERE image = ?1 AND ended IS NOT NULL AND result IS NULL ORDER BY ended DESC LIMIT 1000 OFFSET ?2)
			AND NOT EXISTS (SELECT 1 FROM parts WHERE partial = partials.key)`, p.Image, endedOfDraft)
		return err
	})
	if err != nil {
		return fmt.Errorf("ending a refused upload: %w", err)
	}
	return nil
}

// end ends the open Partials that match where, whose parameter ?5 is value, with the result in e, and returns them.
func (s *Service) end(tx *accounts.Change, where string, value any, e Ending) ([]Partial, error) {
	kind, message, result := e.Kind.String(), e.Message, e.Result
	if message != "" {
		result = "" // of the others
	} else {
		kind = ""
	}
	var length any
	if e.Length > 0 && result != "" {
		length = e.Length
	}
	now := s.Now()
	all, err := sqldb.Select(tx, scan, `UPDATE partials SET ended = ?1, expires = ?2, kind = ?3, message = ?4,
		result = CAST(?6 AS TEXT), holder = NULL, length = COALESCE(length, CAST(?8 AS BIGINT))
		WHERE ended IS NULL AND key <> ?7 AND `+where+` RETURNING `+columns,
		sqldb.Micros(now), sqldb.Micros(now.Add(Retention)), kind, message, value, sqldb.NullText(result), e.Except,
		length)
	if err != nil {
		return nil, fmt.Errorf("ending resumable uploads: %w", err)
	}
	return all, nil
}

// Delete deletes a Partial, as its client requests, and its parts.
func (s *Service) Delete(ctx context.Context, key string) error {
	return s.deleteOne(ctx, `key = ?1`, key)
}

// DeleteOpen deletes a Partial and its parts if it has not ended.
func (s *Service) DeleteOpen(ctx context.Context, key string) error {
	return s.deleteOne(ctx, `key = ?1 AND ended IS NULL`, key)
}

func (s *Service) deleteOne(ctx context.Context, where, key string) error {
	err := s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		_, blobs, err := s.deleteIn(tx, "", where, key)
		s.deleteAfterCommit(tx, blobs)
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting a resumable upload: %w", err)
	}
	return nil
}

// DeleteOf deletes the Partials of drafts and images that the transaction has deleted, and has their parts deleted
// after the commit. owners are the accounts of the images. erasure is the key of the erasure, "" for none.
func (s *Service) DeleteOf(tx *accounts.Change, erasure string, images, owners []string) error {
	these := sqldb.Placeholders(1, len(images))
	where := `image IN (` + these + `) OR result IN (` + these + `)`
	found, err := sqldb.Exists(tx, `partials WHERE `+where, sqldb.Args(images)...)
	if err != nil {
		return fmt.Errorf("looking for resumable uploads: %w", err)
	}
	if !found {
		return nil
	}
	if err := tx.LockExisting(owners...); err != nil {
		return err
	}
	_, blobs, err := s.deleteIn(tx, erasure, where, sqldb.Args(images)...)
	s.deleteAfterCommit(tx, blobs)
	return err
}

// deleteIn deletes the Partials that match where. It returns their number and the blobs of their parts, which have the
// key of the erasure then, also those of Partials that had ended before.
func (s *Service) deleteIn(
	tx *accounts.Change, erasure, where string, args ...any,
) (n int, blobs []string, err error) {
	gone, err := sqldb.Select(tx, scan, `DELETE FROM partials WHERE `+where+` RETURNING `+columns, args...)
	if err != nil {
		return 0, nil, fmt.Errorf("deleting resumable uploads: %w", err)
	}
	if len(gone) == 0 {
		return 0, nil, nil
	}
	tx.Scrub() // of the names of files
	var open []Partial
	args = []any{sqldb.NullText(erasure)}
	for _, p := range gone {
		if p.Ended.IsZero() {
			open = append(open, p)
		}
		args = append(args, p.Key)
	}
	if blobs, err = s.discard(tx, open, erasure); err != nil {
		return 0, nil, err
	}
	left, err := sqldb.Select(tx, sqldb.ScanOne[string], `UPDATE parts SET erasure = CAST(?1 AS TEXT)
		WHERE erasure IS NULL AND partial IN (`+sqldb.Placeholders(2, len(gone))+`) RETURNING blob`, args...)
	if err != nil {
		return 0, nil, fmt.Errorf("looking for parts of ended resumable uploads: %w", err)
	}
	for _, key := range left {
		if !slices.Contains(blobs, key) {
			blobs = append(blobs, key)
		}
	}
	return len(gone), blobs, nil
}

// deleteAfterCommit deletes the blobs of parts after the commit, before the Change returns.
func (s *Service) deleteAfterCommit(tx *accounts.Change, blobs []string) {
	if len(blobs) > 0 {
		tx.AfterCommit(func(ctx context.Context) { s.deleteOrLeave(context.WithoutCancel(ctx), blobs) })
	}
}

// deletionsAtOnce bounds the deletions that no request waits for. A background job does the others.
const deletionsAtOnce = 64

// deleteSoon deletes the blobs of parts after the commit, in the background: an accepted upload is answered at once.
func (s *Service) deleteSoon(tx *accounts.Change, blobs []string) {
	if len(blobs) == 0 {
		return
	}
	tx.AfterCommit(func(ctx context.Context) {
		if s.deleting.Add(1) > deletionsAtOnce {
			s.deleting.Add(-1)
			return
		}
		s.Background(func() {
			defer s.deleting.Add(-1)
			s.deleteOrLeave(context.WithoutCancel(ctx), blobs)
		})
	})
}

// deleteOrLeave deletes the blobs of parts. A background job deletes those that the store does not delete now.
func (s *Service) deleteOrLeave(ctx context.Context, blobs []string) {
	if err := s.deleteBlobs(ctx, blobs); err != nil {
		s.Log.Warn("parts of ended uploads are left to a background job", "err", err)
	}
}

// DeleteExpired ends the open Partials that have expired, and deletes the ended ones, in several transactions. The row
// of an ended one stays until its parts are deleted, so that an erasure finds them.
func (s *Service) DeleteExpired(ctx context.Context) error {
	const some = 200
	now := sqldb.Micros(s.Now())
	_, err := s.Accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
		n, _, err := s.deleteIn(tx, "", `expires <= ?1 AND key IN (SELECT key FROM partials WHERE expires <= ?1
			AND ended IS NOT NULL AND NOT EXISTS (SELECT 1 FROM parts WHERE partial = partials.key)
			ORDER BY expires LIMIT ?2)`, now, some)
		return n, err
	})
	if err == nil {
		_, err = s.Accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
			open, err := s.end(tx, fmt.Sprintf(`expires <= ?5 AND key IN (SELECT key FROM partials
				WHERE ended IS NULL AND expires <= ?5 ORDER BY expires LIMIT %d)`, some), now,
				Ending{Kind: errs.TicketInvalid, Message: "The upload expired"})
			if err == nil {
				_, err = s.discard(tx, open, "")
			}
			return len(open), err
		})
	}
	if err != nil {
		return fmt.Errorf("deleting expired resumable uploads: %w", err)
	}
	return nil
}

const (
	partsTime = 30 * time.Second // for some parts
	partsWait = time.Minute      // before the retry of a deletion
	somePart  = 500
)

// DeleteParts deletes the parts of ended Partials from the blob store, and their rows. The rows of parts that the
// store does not delete stay, for a retry.
func (s *Service) DeleteParts(ctx context.Context) error {
	for {
		n, err := s.deleteParts(ctx, `tried <= ?1 ORDER BY tried LIMIT ?2`,
			sqldb.Micros(s.Now().Add(-partsWait)), somePart)
		if err != nil || n < somePart {
			return err
		}
	}
}

// DeletePartsOf deletes the parts of an erasure at once.
func (s *Service) DeletePartsOf(ctx context.Context, erasure string) error {
	_, err := s.deleteParts(ctx, `erasure = ?1`, erasure)
	return err
}

// PartsDue returns the number of parts of an erasure that are not deleted from the blob store yet.
func (s *Service) PartsDue(ctx context.Context, erasure string) (n int64, err error) {
	err = s.DB.QueryRow(ctx, `SELECT count(*) FROM parts WHERE erasure = ?1`, erasure).Scan(&n)
	return n, err
}

func (s *Service) deleteParts(ctx context.Context, where string, args ...any) (int, error) {
	keys, err := sqldb.Select(s.DB.Reader(ctx), sqldb.ScanOne[string],
		`SELECT blob FROM parts WHERE gone IS NOT NULL AND `+where, args...)
	if err != nil {
		return 0, fmt.Errorf("looking for parts of ended uploads: %w", err)
	}
	return len(keys), s.deleteBlobs(ctx, keys)
}

// deleteBlobs deletes the blobs of parts, and the rows of the deleted ones.
func (s *Service) deleteBlobs(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, partsTime) // a store may hang
	defer cancel()
	failed := blob.DeleteAll(limited, s.Blobs, keys)
	tried := sqldb.Micros(s.Now())
	err := s.Accounts.ChangeInReserve(context.WithoutCancel(ctx), func(tx *accounts.Change) error {
		for i, key := range keys {
			change, args := `DELETE FROM parts WHERE blob = ?1`, []any{key}
			if failed[i] != nil {
				change, args = `UPDATE parts SET tried = ?2 WHERE blob = ?1`, []any{key, tried}
			}
			if _, err := tx.Exec(change, args...); err != nil {
				return fmt.Errorf("noting that a part is deleted: %w", err)
			}
		}
		return nil
	})
	return errors.Join(errors.Join(failed...), err)
}

// Cancel ends the appends of a draft on this node, because it was deleted, and returns their number.
func (s *Service) Cancel(draft string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.running {
		if a.draft == draft && !a.deleted.Swap(true) {
			n++
		}
	}
	return n
}

// Forget deletes all rows, from a copy of the database whose blob store has no parts.
func (s *Service) Forget(ctx context.Context) error {
	return s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		for _, statement := range []string{
			`DELETE FROM partials`, `DELETE FROM parts`, `UPDATE partial_bytes SET bytes = 0`,
		} {
			if _, err := tx.Exec(statement); err != nil {
				return fmt.Errorf("forgetting resumable uploads: %w", err)
			}
		}
		return nil
	})
}
