package notify

import (
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/outbound"
)

const (
	postsAtOnce = 256 // in flight on a node
	postsOfHost = 32  // of them to one host
	// failingLanes is less than postsAtOnce, so that receivers that hang, however many, leave some
	// for those that answer.
	failingLanes = 192

	claimsAtOnce = 200 // of streams, that wait
	testsAtOnce  = 32
)

// shares are the pools that the accounts of a node share.
type shares struct {
	posts   *limit.Pool // posts in flight; by account and webhook
	hosts   *limit.Pool // the same by host and account: a host that hangs holds no more
	failing *limit.Pool // lanes of failing webhooks; by account
	claims  *limit.Pool // claims of streams that wait; by account
	tests   *limit.Pool // test events being sent; by account
}

func newShares() shares {
	half := func(name string, size int64) *limit.Pool {
		return limit.New(limit.Config{Name: name, Size: size, Shares: []limit.Share{limit.Half}})
	}
	return shares{
		posts: limit.New(limit.Config{Name: "posts", Size: postsAtOnce,
			Shares: []limit.Share{limit.Half, limit.Half}}),
		hosts: limit.New(limit.Config{Name: "posts_by_host",
			Shares: []limit.Share{postsOfHost, limit.Half}}),
		failing: half("failing_webhooks", failingLanes),
		claims:  half("stream_claims", claimsAtOnce),
		tests:   half("webhook_tests", testsAtOnce),
	}
}

// Pools returns the pools that the accounts share, for metrics.
func (n *Notifier) Pools() []*limit.Pool {
	p := &n.shares
	return []*limit.Pool{p.posts, p.hosts, p.failing, p.claims, p.tests}
}

// A slot is the leave to have one post in flight.
type slot struct{ post, host *limit.Lease }

// slot takes a slot, nil when none is free.
func (p *shares) slot(w images.DueWebhook) *slot {
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

// slots takes as many slots as are free, and so many at most.
func (p *shares) slots(w images.DueWebhook, most int) (taken []*slot) {
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

// busy is the refusal of what a pool has no room for.
func busy(msg string, err error) error {
	return &errs.Error{Kind: errs.Busy, Msg: msg + "; try again in a few seconds",
		RetryAfter: 2 * time.Second, Err: err}
}
