package images

import (
	"context"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/limit"
)

const (
	// missBurst is how many renditions a client's address may have made at once: so many seconds'
	// worth of Config.MissRate.
	missBurst = 10 * time.Second
	// missTime is how long a client waits for its turn. It bounds how many of its requests wait.
	missTime = 10 * time.Second
	// missClients are the addresses that are counted at once.
	missClients = 100_000
)

// misses bound how often a client's address may have a rendition made, of which each costs a worker
// and a place in the cache. nil: any number of times.
type misses struct{ *limit.Rates }

func newMisses(perSecond int) misses {
	if perSecond <= 0 {
		return misses{}
	}
	burst := perSecond * int(missBurst/time.Second)
	return misses{limit.NewRates(burst, missBurst, missClients)}
}

// take counts a miss of the client in ctx, and waits until its address may have it: RateLimited
// when that takes too long, Aborted.
func (m misses) take(ctx context.Context) error {
	client := clientaddr.Of(ctx)
	if m.Rates == nil || client == "" {
		return nil
	}
	bucket := m.Bucket(client)
	if bucket.Allow() {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, missTime)
	defer cancel()
	if bucket.Wait(waiting) == nil {
		return nil
	}
	if ctx.Err() != nil {
		return errs.Errorf(errs.Aborted, "The request was aborted by the client")
	}
	return &errs.Error{Kind: errs.RateLimited, RetryAfter: missTime,
		Msg: "Too many new pictures are made for this address; try again in a few seconds"}
}
