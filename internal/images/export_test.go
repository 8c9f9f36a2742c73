package images

import (
	"context"
	"time"

	"calotype/internal/accounts"
)

// DeleteExpiredDrafts lets tests run the job by itself.
func (s *Service) DeleteExpiredDrafts(ctx context.Context) error { return s.deleteExpiredDrafts(ctx) }

// ReleaseExpiredDrafts lets tests run the job by itself.
func (s *Service) ReleaseExpiredDrafts(ctx context.Context) error { return s.releaseExpiredDrafts(ctx) }

// SetMaxUploadBytes sets the largest size of an original.
func (s *Service) SetMaxUploadBytes(bytes int64) { s.config.MaxUploadBytes = bytes }

// SetDiskReserve sets the bytes of the disk that stay free.
func (s *Service) SetDiskReserve(bytes int64) { s.disk.Reserve = bytes }

// SetRebuildAt sets the time of day of a rebuild.
func (s *Service) SetRebuildAt(at time.Duration) { s.config.RebuildAt = at }

// MakeImage writes the rows of an image as an upload does, without bytes and without a worker.
func (s *Service) MakeImage(ctx context.Context, account string, d NewDraft) (Image, error) {
	draft, err := s.newDraft(ctx, account, d)
	if err != nil {
		return Image{}, err
	}
	img := imageOfUpload(draft, &Original{Blob: blobKey(s.now())}, "picture.jpg", s.now())
	return img, s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		if err := s.insertDraft(tx, draft, ""); err != nil {
			return err
		}
		_, c, err := redeemTicket(tx, img, "", s.now())
		if err != nil {
			return err
		}
		tx.Charge(account, c)
		return nil
	})
}

// FinishDraft makes a draft an image, likewise.
func (s *Service) FinishDraft(ctx context.Context, draft Image) (Image, error) {
	u := &Upload{s: s, began: s.now(), draft: draft}
	return u.redeem(ctx, &Original{Blob: blobKey(s.now())}, "picture.jpg")
}

// SetMeta replaces the metadata of an image.
func (s *Service) SetMeta(ctx context.Context, key, meta string) error {
	return s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		if _, err := tx.Exec(`UPDATE images SET meta = ?2 WHERE key = ?1`, key, meta); err != nil {
			return err
		}
		return replaceMeta(tx, key)
	})
}

// Waiting returns the number of callers that wait for a draft.
func (s *Service) Waiting() int {
	return int(s.shares.waits.Stats().Used)
}

// Drafts returns how many drafts of an account wait for a transaction, whether the account has a
// transaction now, and how many batches of all accounts have begun.
func (s *Service) Drafts(account string) (waiting int, led bool, batches int) {
	return s.drafts.Stats(account)
}

// DraftsWaitingOfOne is how many drafts of one account may wait.
const DraftsWaitingOfOne = draftsWaiting / 2

// The jobs about deletions, each by itself.

// FollowDeletions is a node's look at what others have deleted.
func (s *Service) FollowDeletions(ctx context.Context) error { return s.followDeletions(ctx) }

// RetryBlobDeletions tries again what the blob store refused.
func (s *Service) RetryBlobDeletions(ctx context.Context) error { return s.retryBlobDeletions(ctx) }

// ForgetDeletions ends what is kept of deletions.
func (s *Service) ForgetDeletions(ctx context.Context) error { return s.forgetDeletions(ctx) }

// Scrub rids the database of what was deleted.
func (s *Service) Scrub(ctx context.Context) error { return s.scrub(ctx) }

// RunJobs does a quick job and a slow one until ctx ends, as Run does its own.
func (s *Service) RunJobs(ctx context.Context, quick, slow func(context.Context) error) {
	s.runJobs(ctx, []job{
		{name: "slow", slow: true, do: slow}, {name: "quick", do: quick},
	}, time.Millisecond)
}

// SetDisk lets tests say how many bytes of the disk are free.
func (s *Service) SetDisk(free func() int64) {
	s.disk.Space = func(string) (int64, int64, error) { return free(), 1 << 40, nil }
}

// Rebuilds returns how often the database was rebuilt.
func (s *Service) Rebuilds() int64 { return s.scrubber.rebuilds.Load() }

// ScrubDue reports whether the database has something to scrub.
func (s *Service) ScrubDue() bool { return s.scrubber.due.Load() }
