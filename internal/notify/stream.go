package notify

import (
	"context"
	"time"

	"calotype/internal/errs"
	"calotype/internal/webhooks"
)

const claimEvery = time.Second

// Claim claims deliveries of a stream for its client, as webhooks.Service.Claim does. If nothing is due,
// it waits for at most wait, which the caller bounds, or until Run ends, and then returns none. Errors: Busy if
// too many claims wait or Run has ended, Aborted if ctx ends.
func (n *Notifier) Claim(
	ctx context.Context, w webhooks.Webhook, most int, wait time.Duration,
) ([]webhooks.Delivery, error) {
	if n.closing.Err() != nil {
		return nil, busy("The server is shutting down", nil)
	}
	claimed, err := n.claim(ctx, w, most)
	if err != nil || len(claimed) > 0 || wait <= 0 {
		return claimed, err
	}
	lease, err := n.shares.claims.TryAcquire(1, w.Account)
	if err != nil {
		return nil, busy("Too many requests wait for events", err)
	}
	defer lease.Release()
	timeout, tick := time.After(wait), time.Tick(claimEvery)
	for {
		select {
		case <-n.closing.Done():
			return nil, nil
		case <-timeout:
			return nil, nil
		case <-ctx.Done():
			return nil, errs.ClientAborted(nil)
		case <-tick:
		}
		claimed, err := n.claim(ctx, w, most)
		if err != nil || len(claimed) > 0 {
			return claimed, err
		}
	}
}

// claim claims deliveries, and releases them if the caller has disconnected. It first polls with a read, so
// that claims without due deliveries do not block writers.
func (n *Notifier) claim(
	ctx context.Context, w webhooks.Webhook, most int,
) ([]webhooks.Delivery, error) {
	due, err := n.Webhooks.IsDue(ctx, w.ID)
	if ctx.Err() != nil {
		return nil, errs.ClientAborted(nil)
	}
	if err != nil || !due {
		return nil, err
	}
	claimed, err := n.Webhooks.Claim(context.WithoutCancel(ctx), w.ID, most)
	if err == nil && ctx.Err() != nil {
		n.Release(ctx, claimed)
		return nil, errs.ClientAborted(nil)
	}
	return claimed, err
}

// Waiting returns the number of waiting claims.
func (n *Notifier) Waiting() int { return int(n.shares.claims.Stats().Used) }
