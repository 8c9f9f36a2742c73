package images

import (
	"context"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/limit"
)

const (
	// missBurst determines the burst of new renditions for a client's address: this time at
	// Config.MissRate.
	missBurst = 10 * time.Second
	// missTime is the time that a client waits for its turn. It also limits its waiting requests.
	missTime = 10 * time.Second
	// missClients is the number of addresses that are counted.
	missClients = 100_000
)

// misses limits the new renditions of a client's address, because each needs a worker and space in the
// cache. nil: no limit.
type misses struct{ *limit.Rates }

func newMisses(perSecond int) misses {
	if perSecond <= 0 {
		return misses{}
	}
	burst := perSecond * int(missBurst/time.Second)
	return misses{limit.NewRates(burst, missBurst, missClients)}
}

// take counts a miss of the client in ctx, and waits for its turn. Errors: RateLimited after missTime, Aborted.
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
