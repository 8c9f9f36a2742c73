package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/sqldb"
)

// MaxWait limits the wait of WaitImage.
const MaxWait = time.Minute

// WaitImage returns an image as soon as the draft has become one. After a time, or at the end of the server,
// it returns the draft. Errors: ImageNotFound, also if it is deleted during the wait; Busy if too many calls
// wait; Aborted if ctx ends.
func (s *Service) WaitImage(
	ctx context.Context, account, id string, atMost time.Duration,
) (Image, error) {
	img, err := s.Image(ctx, account, id)
	if err != nil || !img.Draft {
		return img, err
	}
	switch err := s.draftWaiters.Wait(ctx, account, img.Key, atMost); {
	case errors.Is(err, limit.ErrFull):
		return Image{}, errs.AtCapacity("Too many requests wait for uploads", err)
	case errors.Is(err, limit.ErrClosed):
		return img, nil
	case err != nil:
		return Image{}, errs.ClientAborted(nil)
	}
	// By its key: an edit may have given it another id.
	return s.ImageByKey(ctx, img.Key)
}

// newDraftWaiters returns the calls of WaitImage, which end when their drafts have become images or were
// deleted.
func (s *Service) newDraftWaiters() *limit.Poll {
	return limit.NewPoll(limit.PollConfig{
		Pool: s.shares.waits, Every: time.Second, Query: s.stillDrafts,
		// The waiting calls get the error themselves if it lasts.
		Warn: func(err error) { s.log.Warn("reading the awaited drafts failed", "err", err) },
	})
}

// stillDrafts returns the keys that are still drafts.
func (s *Service) stillDrafts(ctx context.Context, keys []string) (map[string]bool, error) {
	drafts, err := sqldb.SelectMap[string, bool](s.db.Reader(ctx), `SELECT key, TRUE FROM images
		WHERE draft = 1 AND key IN (`+sqldb.Placeholders(1, len(keys))+`)`, sqldb.Args(keys)...)
	if err != nil {
		return nil, fmt.Errorf("asking which images are drafts: %w", err)
	}
	return drafts, nil
}
