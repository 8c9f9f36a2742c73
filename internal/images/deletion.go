package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A deletion deletes the row first, and writes a tombstone in the same transaction. The tombstone names the
// remaining work: the deletion of the original from the blob store, and of the renditions on the disks of other
// nodes. After the commit the node deletes the bytes. retryBlobDeletions retries failed deletions, and every node
// reads the tombstones. So the remaining work survives a kill of the server.

const (
	deletionsKept = 48 * time.Hour   // age of deleted tombstones; a node that was stopped for longer starts empty
	blobsTime     = 30 * time.Second // for the originals of one transaction
	leftOverWait  = time.Minute      // before the retry of a deletion
)

// A deletedRow is the image or draft of a deleted row.
type deletedRow struct {
	Image
	open bool // a draft that counted as open
}

// deleteRows deletes the rows of images and drafts that match where with their resumable uploads, releases their
// usage and has the database scrubbed of them. erasure is the key of the erasure, "" for none. No other function
// deletes rows of images. The caller must write tombstones: see deleteRowsWithTombstones.
func (s *Service) deleteRows(
	tx *accounts.Change, erasure, where string, args ...any,
) ([]deletedRow, error) {
	gone, err := sqldb.Select(tx, func(r sqldb.Row) (d deletedRow, err error) {
		var reserved int64
		d.Image, err = scanImageAnd(r, &d.open, &reserved)
		switch {
		case err != nil:
			return d, err
		case !d.Draft:
			tx.Release(d.Account, accounts.Charge{Images: 1, Bytes: d.Original.Size})
		case d.open:
			tx.Release(d.Account, accounts.Charge{Drafts: 1, Bytes: reserved})
		}
		return d, nil
	}, `DELETE FROM images WHERE `+where+` RETURNING `+imageColumns+`, open, reserved`, args...)
	if err != nil || len(gone) == 0 {
		return nil, err
	}
	tx.Scrub()
	keys, owners := make([]string, len(gone)), make([]string, len(gone))
	for i, d := range gone {
		keys[i], owners[i] = d.Key, d.Account
	}
	return gone, s.Partials.DeleteOf(tx, erasure, keys, owners)
}

// deleteRowsAndBytes deletes the rows that match where, writes their tombstones, and deletes their bytes after the
// commit. gone are the deleted rows; purged has the numbers of deleted bytes after the commit. erasure is the key of
// the erasure, "" for none.
func (s *Service) deleteRowsAndBytes(
	tx *accounts.Change, erasure, where string, args ...any,
) (gone []deletedRow, purged *purgedBytes, err error) {
	gone, err = s.deleteRowsWithTombstones(tx, erasure, where, args...)
	if err != nil {
		return nil, nil, err
	}
	purged = &purgedBytes{}
	if len(gone) > 0 {
		tx.Invalidate(staleImages(gone))
		tx.AfterCommit(func(ctx context.Context) { *purged = s.purge(ctx, gone) })
	}
	return gone, purged, nil
}

// staleImages names the deliveries of deleted images.
func staleImages(gone []deletedRow) (stale []accounts.Stale) {
	for _, d := range gone {
		if !d.Draft {
			stale = append(stale, accounts.Stale{Account: d.Account, Key: d.Key, ID: d.ID})
		}
	}
	return stale
}

// DropImage deletes the row of an image from a copy of the database that lacks the original. It deletes
// no bytes.
func (s *Service) DropImage(ctx context.Context, o OriginalRow) error {
	return s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		_, err := s.deleteRowsWithTombstones(tx, "", `account = ?1 AND id_sha256 = ?2`, o.Account, text.Hash(o.ID))
		return err
	})
}

// deleteRowsWithTombstones deletes the rows that match where, and writes their tombstones. It deletes no bytes.
func (s *Service) deleteRowsWithTombstones(
	tx *accounts.Change, erasure, where string, args ...any,
) (gone []deletedRow, err error) {
	if gone, err = s.deleteRows(tx, erasure, where, args...); err != nil {
		return nil, err
	}
	now := sqldb.Micros(s.now())
	for _, d := range gone {
		var original any
		prefix := ""
		if !d.Draft {
			original, prefix = d.Original.Blob, RenditionPrefix(d.Original.Blob)
		}
		made, err := tx.Exec(`INSERT INTO tombstones (key, blob, renditions, deleted, tried, erasure,
			account) VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6) ON CONFLICT DO NOTHING`,
			d.Key, original, prefix, now, sqldb.NullText(erasure), d.Account)
		if err != nil {
			return nil, fmt.Errorf("writing a tombstone: %w", err)
		}
		tx.CountKept(d.Account, accounts.TombstoneBytes*made)
	}
	return gone, nil
}

// purgedBytes has the numbers of renditions and uploads that a deletion removed on this node.
type purgedBytes struct {
	renditions int
	uploads    int // bodies being received that were stopped
}

// purge deletes the bytes of deleted rows: their originals, and their renditions and uploads on this node. The
// background jobs retry failed deletions.
func (s *Service) purge(ctx context.Context, gone []deletedRow) (r purgedBytes) {
	cache := s.Cache()
	var blobs []tombstone
	for _, d := range gone {
		r.uploads += s.bodies.Cancel(d.Key) + s.Partials.Cancel(d.Key)
		if d.Draft {
			continue
		}
		blobs = append(blobs, tombstone{key: d.Key, blob: d.Original.Blob})
		n, err := cache.RemovePrefix(RenditionPrefix(d.Original.Blob))
		if err != nil {
			s.log.Warn("renditions of a deleted image are left to a background job", "err", err)
		}
		r.renditions += n
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), blobsTime)
	defer cancel()
	if err := s.deleteBlobs(ctx, blobs); err != nil {
		s.log.Warn("originals of deleted images are left to a background job", "err", err)
	}
	return r
}

// A tombstone is a deleted image whose original may still be in the blob store.
type tombstone struct{ key, blob string }

// tombstones returns the tombstones that meet a condition and whose originals may still be in the blob store.
func (s *Service) tombstones(ctx context.Context, where string, args ...any) ([]tombstone, error) {
	due, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (t tombstone, err error) {
		err = r.Scan(&t.key, &t.blob)
		return t, err
	}, `SELECT key, blob FROM tombstones WHERE blob IS NOT NULL AND `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("looking for originals left over: %w", err)
	}
	return due, nil
}

// deleteBlobs deletes the originals of tombstones, and marks the tombstones of deleted originals. It returns the
// errors of failed deletions.
func (s *Service) deleteBlobs(ctx context.Context, all []tombstone) error {
	if len(all) == 0 {
		return nil
	}
	keys := make([]string, len(all))
	for i, t := range all {
		keys[i] = t.blob
	}
	failed := blob.DeleteAll(ctx, s.blobs, keys)
	tried := sqldb.Micros(s.now())
	noting := s.Accounts.ChangeInReserve(context.WithoutCancel(ctx), func(tx *accounts.Change) error {
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

// retryBlobDeletions retries the deletion of originals that are still in the store, because the store refused the
// deletion or the server was killed.
func (s *Service) retryBlobDeletions(ctx context.Context) error {
	const some = 500
	for {
		due, err := s.tombstones(ctx, `tried <= ?1 ORDER BY tried LIMIT ?2`,
			sqldb.Micros(s.now().Add(-leftOverWait)), some)
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, blobsTime) // a store may hang
		err = s.deleteBlobs(limited, due)
		cancel()
		if err != nil || len(due) < some {
			return err
		}
	}
}

// forgetDeletions deletes tombstones and erasures that are two days old and done.
func (s *Service) forgetDeletions(ctx context.Context) error {
	before := sqldb.Micros(s.now().Add(-deletionsKept))
	// An erasure that its client left half-way has ended: what it deleted is scrubbed with the rest.
	_, err := s.Accounts.ExecInReserve(ctx, `UPDATE erasures SET ended = ?2 WHERE ended IS NULL AND mark < ?1`,
		before, sqldb.Micros(s.now()))
	if err == nil {
		err = s.forgetRows(ctx, accounts.TombstoneBytes, `tombstones WHERE key IN (SELECT key FROM tombstones
			WHERE deleted < ?1 AND blob IS NULL ORDER BY deleted LIMIT ?2)`, before)
	}
	if err == nil {
		err = s.forgetRows(ctx, accounts.ErasureBytes, `erasures WHERE key IN (SELECT key FROM erasures
			WHERE mark < ?1 AND scrubbed = 1 LIMIT ?2)`, before)
	}
	if err != nil {
		return fmt.Errorf("forgetting old deletions: %w", err)
	}
	return nil
}

// forgetRows deletes rows of a table in several transactions, because other writers wait. Each row counts as
// each bytes of its account.
func (s *Service) forgetRows(ctx context.Context, each int64, which string, before int64) error {
	const some = 1000
	_, err := s.Accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
		accounts, err := sqldb.Select(tx, sqldb.ScanOne[string],
			`DELETE FROM `+which+` RETURNING COALESCE(account, '')`, before, some)
		for _, account := range accounts {
			if account != "" { // else an older release wrote the row, and did not count it
				tx.CountKept(account, -each)
			}
		}
		return len(accounts), err
	})
	return err
}
