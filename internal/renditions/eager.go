package renditions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/render"
)

// This file renders images right after their upload, before a client requests them: see decision 47. The queue is in
// memory. What is lost with it, or not rendered, is rendered at the first view.

const (
	// eagerQueue is the number of images that wait, of which one account may have half.
	eagerQueue = 4096
	// eagerTries bounds the renderings of one rendition that end because others need the memory.
	eagerTries = 5
	// eagerTime bounds the work for one image, and so the time of a rendering that waits for a CPU that is idle.
	eagerTime = time.Hour
)

// Eager says what StartEager renders.
type Eager struct {
	All      bool     // all named variants
	Variants []string // names; without All
	// Choose returns the renditions of an image in a variant that clients are expected to request.
	Choose func(Resolved) []Choice
}

// A Choice is a rendition: an image in a variant whose options do not depend on the client, in a format.
type Choice struct {
	Resolved
	Format imagefile.Format
}

// The outcomes of an eager rendering.
type eagerOutcome int

const (
	eagerRendered eagerOutcome = iota
	eagerPresent               // it was in the cache, or a client has requested it concurrently
	eagerGone                  // the image was deleted, or the account suspended
	eagerNoSpace               // the cache or the disk is full
	eagerYielded               // other jobs needed the memory, repeatedly
	eagerFailed
	eagerOutcomes
)

// EagerOutcomes are the names of the outcomes in EagerStats, in its order.
var EagerOutcomes = [eagerOutcomes]string{"rendered", "present", "gone", "no_space", "yielded", "failed"}

// EagerStats are the counters of eager renderings.
type EagerStats struct {
	Renditions [eagerOutcomes]int64 // by outcome; an image that is gone counts as one
	Dropped    int64                // images for which the queue had no space
}

// eagerly is the state of the eager renderings of a Service.
type eagerly struct {
	Eager
	queue    *limit.Pool // images; by account. A turn costs the pixels of the original
	outcomes [eagerOutcomes]atomic.Int64
	dropped  atomic.Int64
}

// StartEager has Uploaded render images. Call it after Start, and before the first upload. The render.Pool must have an
// eager lane.
func (s *Service) StartEager(e Eager) {
	s.eager = &eagerly{Eager: e, queue: limit.New(limit.Config{
		Name: "eager", Size: int64(s.config.Render.Status().Eager.Limit), Queue: eagerQueue,
	})}
}

// Uploaded renders an image after its upload, if StartEager was called. It does not block: the image waits in a queue.
func (s *Service) Uploaded(img images.Image) {
	s.renders.mu.Lock()
	defer s.renders.mu.Unlock()
	if s.eager == nil || s.renders.closed || img.Original.IsVector() { // a server process would sanitise an SVG
		return
	}
	key, account, pixels := img.Key, img.Account, img.Original.Header.Pixels()
	s.work.Go(func() { s.renderEagerly(key, account, pixels) })
}

// renderEagerly waits for the turn of an image, and renders it.
func (s *Service) renderEagerly(key, account string, pixels int64) {
	turn, err := s.eager.queue.Acquire(s.closing, limit.Request{Keys: []string{account}, N: 1, Cost: max(1, pixels)})
	if errors.Is(err, limit.ErrFull) {
		s.eager.dropped.Add(1)
	}
	if err != nil {
		return
	}
	defer turn.Release()
	ctx, cancel := context.WithTimeout(s.closing, eagerTime)
	defer cancel()
	var choices []Choice
	err = recovered(ctx, func(ctx context.Context) (err error) {
		choices, err = s.eagerChoices(ctx, key)
		return err
	})
	if err != nil {
		s.eager.count(ctx, outcomeOf(err))
	}
	for _, c := range choices {
		s.eager.count(ctx, s.renderChoice(ctx, c))
	}
}

// eagerChoices returns the renditions of an image that are to be rendered, each once. Errors: ImageNotFound,
// AccountUnknown, AccountSuspended.
func (s *Service) eagerChoices(ctx context.Context, key string) (choices []Choice, err error) {
	r := Resolved{eager: true}
	if r.Image, err = s.core.ImageByKey(ctx, key); err != nil {
		return nil, err
	}
	if r.Account, err = s.core.Accounts.ByID(ctx, r.Image.Account); err != nil {
		return nil, err
	}
	if err := r.Account.CheckActive(); err != nil {
		return nil, err
	}
	variants, err := s.core.Variants(ctx, r.Account.ID)
	if err != nil {
		return nil, fmt.Errorf("reading the variants of an uploaded image: %w", err)
	}
	seen := map[string]bool{}
	for _, v := range variants {
		if !s.eager.All && !slices.Contains(s.eager.Variants, v.ID) {
			continue
		}
		r.Variant = v
		for _, c := range s.eager.Choose(r) {
			key := s.renditionKey(c.Resolved, c.Format)
			if !seen[key] && !c.onlyStripped(c.Format) { // no worker strips an animation
				choices = append(choices, c)
			}
			seen[key] = true
		}
	}
	return choices, nil
}

// renderChoice renders one rendition, unless the cache has it, has no space for it, or a client has requested it.
func (s *Service) renderChoice(ctx context.Context, c Choice) eagerOutcome {
	for range eagerTries {
		// An eager job has its original in the spool while it waits. Those of requests must find space there.
		const part = 8
		spool := s.fetchedPool.Stats()
		if !s.core.Disk().HasSpace() || s.cache.FullOfOthers() || spool.Used > spool.Size/part {
			return eagerNoSpace
		}
		r, err := s.Settle(ctx, c.Resolved, c.Format) // a search of the quality inserts the rendition
		if errors.Is(err, errTakenOver) {
			continue // a client's request has searched the quality, maybe for another size
		}
		if err == nil {
			key := s.renditionKey(r, c.Format)
			switch present := s.cache.Has(key); {
			case present && r.searched:
				return eagerRendered
			case present:
				return eagerPresent
			}
			err = s.onceEagerly(ctx, key, r.Image.Account, func(ctx context.Context) error {
				return s.render(ctx, key, r, c.Format)
			})
		}
		if !errors.Is(err, render.ErrYielded) {
			return outcomeOf(err)
		}
	}
	return eagerYielded
}

// onceEagerly waits for the single work of key in the eager lane. Errors: errTakenOver if a client's request has done
// the work, ErrYielded, and those of the work, also of a client's.
func (s *Service) onceEagerly(ctx context.Context, key, account string, work func(context.Context) error) error {
	one, own, err := s.startRender(key, render.Requester{Account: account, Eager: true}, work)
	if err != nil {
		return err // the Service closes
	}
	if !own {
		select {
		case <-one.done:
			return cmp.Or(one.err, errTakenOver)
		case <-ctx.Done():
			return errTakenOver
		}
	}
	select {
	case <-one.done:
	case <-ctx.Done():
		one.end(context.Cause(ctx))
		<-one.done
	}
	return one.err
}

// outcomeOf returns the outcome of an eager rendering with an error, or nil.
func outcomeOf(err error) eagerOutcome {
	switch {
	case err == nil:
		return eagerRendered
	case errors.Is(err, errTakenOver):
		return eagerPresent
	}
	switch errs.AsError(err).Kind {
	case errs.ImageNotFound, errs.AccountUnknown, errs.AccountSuspended:
		return eagerGone
	case errs.NoSpace:
		return eagerNoSpace
	}
	return eagerFailed
}

// count counts an outcome, unless the Service closes.
func (e *eagerly) count(ctx context.Context, o eagerOutcome) {
	if ctx.Err() == nil || o == eagerRendered {
		e.outcomes[o].Add(1)
	}
}

// stats returns the counters; e may be nil.
func (e *eagerly) stats() (stats EagerStats) {
	if e == nil {
		return stats
	}
	for i := range e.outcomes {
		stats.Renditions[i] = e.outcomes[i].Load()
	}
	stats.Dropped = e.dropped.Load()
	return stats
}
