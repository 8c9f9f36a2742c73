package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/sqldb"
)

// A deletion goes row first. In the same transaction a tombstone is written, which knows what is
// left to do: the original, that the blob store may refuse to delete now, and the renditions on the
// disks of other nodes. The node that deletes does at once what it can; retryBlobDeletions does the
// rest, and every node follows the tombstones. So a kill at any moment loses nothing of it.

const (
	deletionsKept = 48 * time.Hour   // as tombstones; a node that was away for longer starts empty
	blobsAtOnce   = 8                // deleted from the store by one deletion
	blobsTime     = 30 * time.Second // for those of one transaction
	leftOverWait  = time.Minute      // before a blob is tried again
)

// A deletedRow is what is left of the row of an image or draft.
type deletedRow struct {
	key, account string
	blob         string // of the original; "" of a draft
	size         int64  // bytes of it
	image        Image  // as it was
	open         bool   // a draft that counted as open
}

// deleteRows deletes the rows of images and drafts that match where, and releases their usage. It is the
// only place that deletes rows of images. In its transaction only bury and the insertion of a draft
// with a freed id may follow: the order of locks, see pay.
func deleteRows(tx *sqldb.Tx, where string, args ...any) ([]deletedRow, error) {
	rows, err := tx.Query(`DELETE FROM images WHERE `+where+`
		RETURNING `+imageColumns+`, open, reserved`, args...)
	if err != nil {
		return nil, err
	}
	credits := map[string]charge{}
	gone, err := sqldb.Collect(rows, func(r sqldb.Row) (d deletedRow, err error) {
		var reserved int64
		if d.image, err = scanImageAnd(r, &d.open, &reserved); err != nil {
			return d, err
		}
		d.key, d.account = d.image.Key, d.image.Account
		if o := d.image.Original; o != nil {
			d.blob, d.size = o.Blob, o.Size
		}
		c := credits[d.account]
		switch {
		case !d.image.Draft:
			c.images, c.bytes = c.images+1, c.bytes+d.size
		case d.open:
			c.drafts, c.bytes = c.drafts+1, c.bytes+reserved
		}
		credits[d.account] = c
		return d, nil
	})
	if err != nil {
		return nil, err
	}
	return gone, credit(tx, credits)
}

// bury writes the tombstones of deleted rows, in the transaction that deleted them. erasure is the
// key of the erasure that they belong to, "" for none. After the commit comes purgeRenditions.
func (s *Service) bury(tx *sqldb.Tx, erasure string, gone []deletedRow) error {
	now := sqldb.Micros(s.Now())
	bytes := map[string]int64{}
	for _, d := range gone {
		var blob, order any
		prefix := ""
		if d.blob != "" {
			blob, prefix = d.blob, renditionPrefix(d.blob)
		}
		if erasure != "" {
			order = erasure
		}
		made, err := tx.Exec(`INSERT INTO tombstones (key, blob, renditions, deleted, tried, erasure,
			account) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6) ON CONFLICT DO NOTHING`,
			d.key, blob, prefix, now, order, d.account)
		if err != nil {
			return fmt.Errorf("writing a tombstone: %w", err)
		}
		bytes[d.account] += tombstoneBytes * made
	}
	return keep(tx, bytes)
}

// removed is what a deletion found on this node.
type removed struct {
	renditions int
	uploads    int // bodies being received that were stopped
}

// purgeRenditions removes the bytes of deleted rows from this node, and the rows from its caches, after
// their transaction has committed. The background jobs retry what fails.
func (s *Service) purgeRenditions(ctx context.Context, gone []deletedRow) (r removed) {
	s.resolved.forget()
	s.scrubber.due.Store(true)
	cache := s.renditionsHere()
	var blobs []tombstone
	for _, d := range gone {
		r.uploads += s.gates.cancel(d.key)
		if d.blob == "" {
			continue
		}
		blobs = append(blobs, tombstone{key: d.key, blob: d.blob})
		n, err := cache.removeOf(renditionPrefix(d.blob))
		if err != nil {
			s.Log.Warn("renditions of a deleted image are left to a periodic job", "err", err)
		}
		r.renditions += n
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blobsTime)
	defer cancel()
	if err := s.deleteBlobs(ctx, blobs); err != nil {
		s.Log.Warn("originals of deleted images are left to a periodic job", "err", err)
	}
	return r
}

// A tombstone is a deleted image whose original may still be in the blob store.
type tombstone struct{ key, blob string }

// deleteBlobs deletes originals of no row, and notes on the tombstones which are gone. It returns
// the errors of those that are not.
func (s *Service) deleteBlobs(ctx context.Context, all []tombstone) error {
	failed := make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(blobsAtOnce)
	for i, t := range all {
		group.Go(func() error {
			failed[i] = s.Blobs.Delete(ctx, t.blob)
			return nil
		})
	}
	_ = group.Wait()
	if len(all) == 0 {
		return nil
	}
	tried := sqldb.Micros(s.Now())
	noting := s.tidy(context.WithoutCancel(ctx), func(tx *sqldb.Tx) error {
		for i, t := range all {
			_, err := tx.Exec(`UPDATE tombstones SET tried = ?2,
				blob = CASE WHEN ?3 = 1 THEN NULL ELSE blob END WHERE key = ?1`,
				t.key, tried, sqldb.BoolInt(failed[i] == nil))
			if err != nil {
				return fmt.Errorf("noting that an original is deleted: %w", err)
			}
		}
		return nil
	})
	return errors.Join(errors.Join(failed...), noting)
}

// retryBlobDeletions deletes the originals of deleted images that are still in the store: it refused,
// or the server was killed.
func (s *Service) retryBlobDeletions(ctx context.Context) error {
	const some = 500
	for {
		rows, err := s.DB.Query(ctx, `SELECT key, blob FROM tombstones
			WHERE blob IS NOT NULL AND tried <= ?1 ORDER BY tried LIMIT ?2`,
			sqldb.Micros(s.Now().Add(-leftOverWait)), some)
		if err != nil {
			return fmt.Errorf("looking for originals left over: %w", err)
		}
		due, err := sqldb.Collect(rows, func(r sqldb.Row) (t tombstone, err error) {
			err = r.Scan(&t.key, &t.blob)
			return t, err
		})
		if err == nil {
			some, cancel := context.WithTimeout(ctx, blobsTime) // a store may hang
			err = s.deleteBlobs(some, due)
			cancel()
		}
		if err != nil || len(due) < some {
			return err
		}
	}
}

// forgetDeletions deletes tombstones and erasures that are two days old and done.
func (s *Service) forgetDeletions(ctx context.Context) error {
	before := sqldb.Micros(s.Now().Add(-deletionsKept))
	// An erasure that its client left half-way has ended: what it deleted is scrubbed with the rest.
	_, err := s.tidyOne(ctx, `UPDATE erasures SET ended = ?2 WHERE ended IS NULL AND mark < ?1`,
		before, sqldb.Micros(s.Now()))
	if err == nil {
		err = s.forgetRows(ctx, tombstoneBytes, `tombstones WHERE key IN (SELECT key FROM tombstones
			WHERE deleted < ?1 AND blob IS NULL ORDER BY deleted LIMIT ?2)`, before)
	}
	if err == nil {
		err = s.forgetRows(ctx, erasureBytes, `erasures WHERE key IN (SELECT key FROM erasures
			WHERE mark < ?1 AND scrubbed = 1 LIMIT ?2)`, before)
	}
	if err != nil {
		return fmt.Errorf("forgetting old deletions: %w", err)
	}
	return nil
}

// forgetRows deletes rows of a table, of which each counts as so many bytes for its account, some
// at a time: other writers wait.
func (s *Service) forgetRows(ctx context.Context, each int64, which string, before int64) error {
	const some = 1000
	for {
		gone := 0
		err := s.tidy(ctx, func(tx *sqldb.Tx) error {
			rows, err := tx.Query(`DELETE FROM `+which+` RETURNING COALESCE(account, '')`, before, some)
			if err != nil {
				return err
			}
			accounts, err := sqldb.Collect(rows, sqldb.ScanText)
			if err != nil {
				return err
			}
			gone = len(accounts)
			freed := map[string]int64{}
			for _, account := range accounts {
				freed[account] -= each
			}
			delete(freed, "") // an older release wrote it, and did not count it
			return keep(tx, freed)
		})
		if err != nil || gone < some {
			return err
		}
	}
}
