package images

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/sqldb"
)

// MaxWait limits the wait of WaitImage.
const MaxWait = time.Minute

// A Wait selects what WaitImage waits for.
type Wait struct {
	AtMost time.Duration // positive
	// Used is the number of uses of a link that the caller knows: another number ends the wait. nil: all uses.
	Used *int
}

// WaitImage returns an image as soon as the draft has become one, and a link as soon as it is used up or its number of
// uses differs from w.Used. After w.AtMost, or at the end of the server, it returns the draft. Errors: ImageNotFound,
// also if it is deleted during the wait; Busy if too many calls wait; Aborted if ctx ends.
func (s *Service) WaitImage(ctx context.Context, account, id string, w Wait) (Image, error) {
	img, err := s.Image(ctx, account, id)
	if err != nil || !img.Draft || img.Ticket.usedUp() || w.Used != nil && *w.Used != img.Ticket.Used {
		return img, err
	}
	switch err := s.draftWaiters.Wait(ctx, account, waitKey(img.Key, w.Used), w.AtMost); {
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

// waitKey returns the key of the calls of WaitImage that wait for the same state of a draft.
func waitKey(key string, known *int) string {
	if known == nil {
		return key
	}
	return key + " " + strconv.Itoa(*known)
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

// stillDrafts returns those keys of waitKey whose drafts are still awaited.
func (s *Service) stillDrafts(ctx context.Context, waits []string) (map[string]bool, error) {
	keys := make([]string, len(waits))
	for i, wait := range waits {
		keys[i], _, _ = strings.Cut(wait, " ")
	}
	used, err := sqldb.SelectMap[string, int](s.db.Reader(ctx), `SELECT key, used FROM images WHERE draft = 1
		AND used < uses AND key IN (`+sqldb.Placeholders(1, len(keys))+`)`, sqldb.Args(keys)...)
	if err != nil {
		return nil, fmt.Errorf("asking which images are drafts: %w", err)
	}
	pending := map[string]bool{}
	for i, wait := range waits {
		n, draft := used[keys[i]]
		pending[wait] = draft && (wait == keys[i] || wait == waitKey(keys[i], &n))
	}
	return pending, nil
}
