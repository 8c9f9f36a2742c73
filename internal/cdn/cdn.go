// Package cdn sends purges to the caches in front of the server. The core records purges in the transactions of the
// changes: package purges. A Sender claims them, and sends them in the form of the receiver: forms.go has the forms,
// cloudfront.go that of Amazon CloudFront.
//
// A node sends one request at a time. After a request that the receiver does not accept, it waits longer each time,
// or for the time in Retry-After, at most five minutes, and retries without end: a picture that was deleted must
// not stay in a cache because the cache was away. The number of waiting purges is bounded, because Gather replaces
// many of one account by one.
package cdn

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/outbound"
	"calotype/internal/purges"
	"calotype/internal/sqldb"
)

const (
	pollInterval = time.Second            // polls for purges of other nodes, and for repeats
	gatherTime   = 200 * time.Millisecond // after a change, for the purges of concurrent ones
	firstRetry   = time.Second
	longestRetry = 5 * time.Minute
	maxAnswer    = 64 << 10
)

// The outcomes of requests, as Config.Observe gets them.
const (
	Accepted = "accepted"
	Rejected = "rejected"  // another answer than that of success
	NoAnswer = "no_answer" // a time-out, or no connection
)

// Outcomes are all outcomes.
var Outcomes = []string{Accepted, Rejected, NoAnswer}

// Config configures a Sender. Purges and Receiver must be set; Open sets Receiver.
type Config struct {
	Purges   *purges.Service
	Receiver *Receiver
	URLs     cfapi.URLs // whose base URL of deliveries is in messages
	Log      *slog.Logger
	// Observe is called, if it is not nil, after each request that was not accepted, and when all addresses have
	// accepted a batch.
	Observe func(outcome string)
}

// A Sender sends purges. It must not be used concurrently.
type Sender struct {
	Config
	poster *outbound.Poster
	failed int // requests in succession that were not accepted
}

// Open returns the Sender of the flags -purge-form and -purge-url; nil for an empty URL. From then on changes are
// recorded, or not.
func Open(ctx context.Context, c Config, form, list string) (s *Sender, err error) {
	paths := false
	if list != "" {
		if c.Receiver, err = newReceiver(ctx, form, list, os.Getenv(TokenVariable)); err != nil {
			return nil, err
		}
		s, paths = New(c), c.Receiver.form.paths
	}
	err = c.Purges.SetReceiver(ctx, s != nil, paths)
	if sqldb.IsFull(err) { // a server starts on a full disk
		c.Log.Error("out of disk: changes since the last start may not be purged from caches", "err", err)
		return s, nil
	}
	return s, err
}

// New returns a Sender, which sends nothing until Run.
func New(c Config) *Sender {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	// The operator names the receiver, not a client: its address may be any one.
	all := []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
	return &Sender{Config: c, poster: outbound.NewPoster(outbound.Config{Allow: all})}
}

// Run sends purges until ctx ends. Purges that it is sending then are sent again by another node, or after the next
// start. A nil Sender sends nothing.
func (s *Sender) Run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	defer s.poster.Close()
	for {
		wait, more := s.round(ctx)
		if more {
			continue
		}
		wake := s.Purges.Wake()
		if s.failed > 0 {
			wake = nil // a change does not shorten the wait for a retry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-wake:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(gatherTime):
			}
		}
	}
}

// round sends one request with the purges that are due. It returns the time to wait before the next one, or that more
// may be due.
func (s *Sender) round(ctx context.Context) (wait time.Duration, more bool) {
	form := s.Receiver.form
	err := s.Purges.Gather(ctx, form.gather)
	var batch []purges.Purge
	if err == nil {
		batch, err = s.Purges.Claim(ctx, form.most, form.settle)
	}
	if err != nil {
		if ctx.Err() == nil {
			s.Log.Warn("claiming purges failed; it will be retried", "err", err)
		}
		return longestRetry / 30, false
	}
	if len(batch) == 0 {
		return pollInterval, false
	}
	wait, accepted := s.send(ctx, batch)
	// The result is recorded also during a shutdown.
	recording := context.WithoutCancel(ctx)
	if accepted {
		s.failed = 0
		err = s.Purges.Complete(recording, batch, form.settle == 0)
	} else {
		s.failed++
		err = s.Purges.Release(recording, batch, form.settle)
	}
	if err != nil {
		s.Log.Warn("the result of purges could not be recorded: they will be sent again", "err", err)
		return pollInterval, false
	}
	return wait, accepted && ctx.Err() == nil
}

// send sends a batch to each address of the receiver, also after one of them has not accepted it, and reports whether
// all of them have. If not, wait is the time before the retry.
func (s *Sender) send(ctx context.Context, batch []purges.Purge) (wait time.Duration, accepted bool) {
	accepted = true
	for _, address := range s.Receiver.addresses {
		m, err := s.Receiver.form.message(s, batch)
		var reply outbound.Reply
		if err == nil {
			m.Address = address
			reply, err = s.poster.Send(ctx, m, maxAnswer)
		}
		switch {
		case ctx.Err() != nil:
			return 0, false
		case err == nil && s.Receiver.form.accepts(reply):
			continue
		}
		outcome := Rejected
		if err != nil {
			outcome = NoAnswer
		}
		s.observe(outcome)
		wait, accepted = max(wait, s.retryDelay(reply.Header)), false
		s.Log.Warn("the receiver of -purge-url did not accept purges; they will be sent again", "purges", len(batch),
			"status", reply.Status, "reason", reason(err), "wait", wait.Round(time.Millisecond))
	}
	if accepted {
		s.observe(Accepted)
	}
	return wait, accepted
}

func (s *Sender) observe(outcome string) {
	if s.Observe != nil {
		s.Observe(outcome)
	}
}

// retryDelay returns the time before the next request after one that was not accepted: twice the previous one, with
// jitter, and not less than Retry-After in seconds, within longestRetry.
func (s *Sender) retryDelay(h http.Header) time.Duration {
	delay := min(longestRetry, firstRetry<<min(s.failed, 10))
	delay += time.Duration(rand.Int64N(int64(delay)/5 + 1))
	seconds, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32)
	if err == nil {
		delay = max(delay, time.Duration(seconds)*time.Second)
	}
	return min(delay, longestRetry)
}

// reason returns the reason in an error, without the URL and what it may hold.
func reason(err error) string {
	if known := new(outbound.Error); errors.As(err, &known) {
		return known.Reason
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
