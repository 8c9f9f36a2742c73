package renditions

import (
	"context"
	"errors"
	"time"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/limit"
)

const (
	// missBurst determines the burst of new renditions for a client's address: the renditions of missBurst at
	// Config.MissRate.
	missBurst = 10 * time.Second
	// missTime is the maximal wait of a client for its turn. It also limits the client's waiting requests.
	missTime = 10 * time.Second
	// missClients is the number of addresses with a counter.
	missClients = 100_000
)

// newMisses limits the new renditions of a client's address, because each needs a worker and space in the
// cache. nil: no limit.
func newMisses(perSecond int) *limit.Rates {
	if perSecond <= 0 {
		return nil
	}
	return limit.NewRates(perSecond*int(missBurst/time.Second), missBurst, missClients)
}

// countMiss counts a miss of the client in ctx, and waits for its turn. Errors: RateLimited after missTime,
// Aborted.
func (s *Service) countMiss(ctx context.Context) error {
	client := clientaddr.Of(ctx)
	if s.misses == nil || client == "" {
		return nil
	}
	err := s.misses.Wait(ctx, client, missTime)
	switch {
	case errors.Is(err, limit.ErrTimeout):
		return &errs.Error{Kind: errs.RateLimited, RetryAfter: missTime,
			Msg: "Too many new pictures are made for this address; try again in a few seconds"}
	case err != nil:
		return errs.ClientAborted(nil)
	}
	return nil
}
