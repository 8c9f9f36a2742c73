package images

import (
	"time"

	"calotype/internal/limit"
	"calotype/internal/partials"
)

// The sizes of the pools that a node's accounts share, besides Config.SpoolBytes.
const (
	bodiesAtOnce  = 1024 // in progress
	fetchesAtOnce = 32   // from URLs
	waitersAtOnce = 1000 // for drafts to become images
	draftsWaiting = 4000 // for a transaction
	replaysAtOnce = 8

	vectorsAtOnce  = 2 // SVGs that are sanitised
	vectorsWaiting = 500
	vectorWait     = 30 * time.Second
)

// shares are the pools that the accounts of a node share. The first key is the account.
type shares struct {
	spool   *limit.Pool // bytes of uploads in progress; by account and image
	parts   *limit.Pool // bytes of resumable uploads that are not yet parts; by account and image
	bodies  *limit.Pool // uploads in progress; by account
	fetches *limit.Pool // fetches from URLs; by account
	waits   *limit.Pool // requests that wait for a draft; by account
	drafts  *limit.Pool // drafts that wait for a transaction; by account
	replays *limit.Pool // replays of deliveries; by account
	vectors *limit.Pool // SVGs that are sanitised; by account
}

func newShares(spoolBytes int64) shares {
	return shares{
		spool: limit.New(limit.Config{Name: "spool", Size: spoolBytes,
			Shares: []limit.Share{limit.Half, limit.Half}}),
		// Separate from the spool, because an upload that ends needs its last bytes and a whole file in the spool.
		parts: limit.New(limit.Config{Name: "parts", Size: max(spoolBytes/2, 16*partials.PartSize),
			Shares: []limit.Share{limit.Half, limit.Half}}),
		bodies:  limit.NewFair("bodies", bodiesAtOnce),
		fetches: limit.NewFair("fetches", fetchesAtOnce),
		waits:   limit.NewFair("waits", waitersAtOnce),
		drafts:  limit.NewFair("waiting_drafts", draftsWaiting),
		replays: limit.New(limit.Config{Name: "replays", Size: replaysAtOnce,
			Shares: []limit.Share{1}}),
		vectors: limit.New(limit.Config{Name: "svgs", Size: vectorsAtOnce,
			Shares: []limit.Share{limit.None}, Queue: vectorsWaiting, QueueTime: vectorWait}),
	}
}

// Pools returns the pools that the accounts share, for metrics.
func (s *Service) Pools() []*limit.Pool {
	p := &s.shares
	return []*limit.Pool{
		p.spool, p.parts, p.bodies, s.bodies.Pool(), p.fetches, p.waits, p.drafts, p.replays, p.vectors,
	}
}
