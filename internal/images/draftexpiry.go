package images

import (
	"context"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

// The end of unused drafts: their reservations are released, then their rows are deleted.

// releaseAfter is the time after a draft's expiry at which its reservation is released. An upload that began in
// time and takes longer is charged again.
const releaseAfter = 10 * time.Minute

// releaseExpiredDrafts releases the reservations of expired drafts, and records the events of their
// end. Their rows are deleted after draftRetention.
func (s *Service) releaseExpiredDrafts(ctx context.Context) error {
	const some = 1000
	for {
		released := 0
		err := s.Accounts.Change(ctx, func(tx *accounts.Change) error {
			all, err := sqldb.Select(tx, func(r sqldb.Row) (img Image, err error) {
				var reserved int64
				img, err = scanImageAnd(r, &reserved)
				tx.Release(img.Account, accounts.Charge{Drafts: 1, Bytes: reserved})
				return img, err
			}, `UPDATE images SET open = 0 WHERE draft = 1 AND open = 1 AND key IN (
				SELECT key FROM images WHERE draft = 1 AND open = 1 AND expires < ?1
				ORDER BY expires LIMIT ?2) RETURNING `+imageColumns+`, reserved`,
				sqldb.Micros(s.now().Add(-releaseAfter)), some)
			if released = len(all); err != nil {
				return err
			}
			return s.Webhooks.Record(tx, expirations(all)...)
		})
		if err != nil {
			return fmt.Errorf("releasing expired drafts: %w", err)
		}
		if released < some {
			return nil
		}
	}
}

// deleteExpiredDrafts deletes drafts that expired a day ago, in several transactions, because other
// writers wait.
func (s *Service) deleteExpiredDrafts(ctx context.Context) error {
	if err := s.releaseExpiredDrafts(ctx); err != nil {
		return err
	}
	const some = 1000
	before := sqldb.Micros(s.now().Add(-draftRetention)) // fixed, so that the steps come to an end
	_, err := s.Accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
		gone, err := s.deleteRows(tx, "", `draft = 1 AND key IN (SELECT key FROM images
			WHERE draft = 1 AND open = 0 AND expires < ?1 ORDER BY expires LIMIT ?2)`,
			before, some)
		return len(gone), err
	})
	if err != nil {
		return fmt.Errorf("deleting expired drafts: %w", err)
	}
	return nil
}
