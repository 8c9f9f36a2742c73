package notify

import (
	"time"

	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/outbound"
	"calotype/internal/webhooks"
)

const (
	postsAtOnce = 256 // concurrent posts of a node
	postsOfHost = 32  // of them to one host
	// failingLanes is less than postsAtOnce, so that any number of receivers that hang leaves posts
	// for receivers that answer.
	failingLanes = 192

	claimsAtOnce = 200 // waiting claims of streams
	testsAtOnce  = 32
)

// shares holds the pools that the accounts of a node share.
type shares struct {
	posts   *limit.Pool // concurrent posts; by account and webhook
	hosts   *limit.Pool // the same by host and account, so that a host that hangs occupies few of them
	failing *limit.Pool // workers of failing webhooks; by account
	claims  *limit.Pool // waiting claims of streams; by account
	tests   *limit.Pool // posts of test events; by account
}

func newShares() shares {
	return shares{
		posts: limit.New(limit.Config{Name: "posts", Size: postsAtOnce,
			Shares: []limit.Share{limit.Half, limit.Half}}),
		hosts: limit.New(limit.Config{Name: "posts_by_host",
			Shares: []limit.Share{postsOfHost, limit.Half}}),
		failing: limit.NewFair("failing_webhooks", failingLanes),
		claims:  limit.NewFair("stream_claims", claimsAtOnce),
		tests:   limit.NewFair("webhook_tests", testsAtOnce),
	}
}

// Pools returns the pools that the accounts share, for metrics.
func (n *Notifier) Pools() []*limit.Pool {
	p := &n.shares
	return []*limit.Pool{p.posts, p.hosts, p.failing, p.claims, p.tests}
}

// A slot permits one concurrent post.
type slot struct{ post, host *limit.Lease }

// slot takes a slot; nil if none is free.
func (p *shares) slot(w webhooks.DueWebhook) *slot {
	post, err := p.posts.TryAcquire(1, w.Account, w.ID)
	if err != nil {
		return nil
	}
	host, err := p.hosts.TryAcquire(1, outbound.Destination(w.URL), w.Account)
	if err != nil {
		post.Release()
		return nil
	}
	return &slot{post, host}
}

// slots takes the free slots, at most most.
func (p *shares) slots(w webhooks.DueWebhook, most int) (taken []*slot) {
	for len(taken) < most {
		one := p.slot(w)
		if one == nil {
			break
		}
		taken = append(taken, one)
	}
	return taken
}

func (s *slot) release() {
	s.host.Release()
	s.post.Release()
}

func release(all []*slot) {
	for _, s := range all {
		s.release()
	}
}

// busy returns a Busy error for a full pool.
func busy(msg string, err error) error {
	return &errs.Error{Kind: errs.Busy, Msg: msg + "; try again in a few seconds",
		RetryAfter: 2 * time.Second, Err: err}
}
