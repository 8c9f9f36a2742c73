// Package notify tells webhooks what happened. The core writes events and their deliveries, in the
// transactions that make them happen; a Notifier claims what is due, makes the messages, signs and
// posts them, and has the core write down what became of each.
//
// Each webhook has a lane of its own, so that one whose receiver hangs delays no other. What lanes
// have in flight is bounded, for each account and for each host: see posts.go. A lane whose last
// attempt failed sends one message at a time, until one is taken. What a killed node has
// claimed is due again when its lease ends: every message is sent at least once, with the same id
// each time, and in no particular order.
package notify

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/limit"
	"calotype/internal/outbound"
	"calotype/internal/v4"
)

const (
	concurrency = 16 // posts of a lane sent concurrently
	laneRounds  = 2  // for which a lane claims deliveries at once

	// laneTime is for how long a lane goes on, so that receivers that take everything, but slowly,
	// cannot hold all lanes: then all have the same chance of the next one.
	laneTime = 10 * time.Second

	lookEvery = time.Second      // for what other nodes wrote, and for what is due again
	lookAgain = 10 * time.Second // when the database could not be asked
	lookTime  = 10 * time.Second
)

// The outcomes of attempts, as Config.Observe is told of them.
const (
	Delivered  = "delivered"
	Refused    = "refused"    // another status than 2xx
	Unanswered = "unanswered" // no answer, in time or at all
)

// Outcomes are all outcomes.
var Outcomes = []string{Delivered, Refused, Unanswered}

// Config is what a Notifier needs. URLs are those in messages.
type Config struct {
	Core     *images.Service
	URLs     v4.URLs
	Outbound outbound.Config // where receivers may be
	Log      *slog.Logger
	Now      func() time.Time // nil for time.Now
	// Observe is told of each attempt; nil for nobody.
	Observe func(outcome string, took time.Duration)
}

// A Notifier sends what is due. It is safe for concurrent use.
type Notifier struct {
	Config
	poster *outbound.Poster

	shares shares

	mu      sync.Mutex
	running map[string]bool // by webhook
	again   chan struct{}   // a lane has ended
	lanes   sync.WaitGroup

	closing context.Context // ends with Run
	end     context.CancelFunc
}

// A lane sends to one webhook. It holds a slot from its begin to its end.
type lane struct {
	images.DueWebhook
	first   *slot
	failing *limit.Lease // nil when the webhook is well
}

// New returns a Notifier, which sends nothing until Run.
func New(c Config) *Notifier {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	closing, end := context.WithCancel(context.Background())
	return &Notifier{
		Config: c, poster: outbound.NewPoster(c.Outbound),
		running: map[string]bool{}, again: make(chan struct{}, 1),
		closing: closing, end: end, shares: newShares(),
	}
}

// Run sends what is due until ctx ends, and waits for what is being sent then.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.poster.Close()
	defer n.lanes.Wait()
	defer n.end()
	for {
		wait := lookEvery
		if err := n.look(ctx); err != nil && ctx.Err() == nil {
			n.Log.Warn("webhooks are not told for now", "err", err)
			wait = lookAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-n.Core.OutboxWake():
		case <-n.again:
		}
		timer.Stop()
	}
}

// look starts a lane for each webhook that something is due for, as far as there is room.
func (n *Notifier) look(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	due, err := n.Core.DueWebhooks(limited)
	if err != nil {
		return err
	}
	// So that of more than there is room for each has its turn.
	mathrand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	for _, w := range due {
		if l := n.enter(w); l != nil {
			n.lanes.Go(func() {
				defer n.leave(l)
				n.run(ctx, l)
			})
		}
	}
	return nil
}

// enter begins a lane; nil when the webhook has one, or no slot is free for it.
func (n *Notifier) enter(w images.DueWebhook) *lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running[w.ID] {
		return nil
	}
	l := &lane{DueWebhook: w}
	if w.Failing {
		var err error
		if l.failing, err = n.shares.failing.TryAcquire(1, w.Account); err != nil {
			return nil
		}
	}
	if l.first = n.shares.slot(w); l.first == nil {
		l.failing.Release()
		return nil
	}
	n.running[w.ID] = true
	return l
}

func (n *Notifier) leave(l *lane) {
	l.first.release()
	l.failing.Release()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.running, l.ID)
	select {
	case n.again <- struct{}{}:
	default:
	}
}

// run sends the due deliveries of one webhook. It ends when none is left, after an error, when a failing
// webhook has recovered, or after laneTime. Then the webhook waits for its next turn like all others.
func (n *Notifier) run(ctx context.Context, l *lane) {
	for end := time.Now().Add(laneTime); ctx.Err() == nil && time.Now().Before(end); {
		if !n.round(ctx, l) {
			return
		}
	}
}

// round claims as much as there are slots for, and sends it. It reports whether to go on.
func (n *Notifier) round(ctx context.Context, l *lane) bool {
	most, slots := 1, []*slot(nil)
	if !l.Failing {
		slots = n.shares.slots(l.DueWebhook, concurrency-1)
		most = laneRounds * (1 + len(slots))
	}
	claimed, err := n.Core.ClaimDeliveries(ctx, l.ID, most)
	if needed := max(0, len(claimed)-1); needed < len(slots) {
		release(slots[needed:])
		slots = slots[:needed]
	}
	if err != nil {
		if ctx.Err() == nil {
			n.Log.Warn("a webhook is not told for now", "webhook", l.ID, "err", err)
		}
		return false
	}
	attempts := n.sendAll(ctx, claimed, 1+len(slots))
	release(slots)
	if len(attempts) == 0 {
		return false
	}
	// What was sent is written down even when the server ends.
	if _, err := n.Core.CompleteDeliveries(context.WithoutCancel(ctx), attempts); err != nil {
		n.Log.Error("what webhooks were told could not be written down: it will be sent again",
			"webhook", l.ID, "err", err)
		return false
	}
	for _, a := range attempts {
		if !a.Delivered() {
			return false
		}
	}
	return !l.Failing && len(claimed) == most
}

// sendAll sends claimed deliveries, so many at a time. Those that were not begun when the server
// ends are given back.
func (n *Notifier) sendAll(
	ctx context.Context, claimed []images.Delivery, width int,
) []images.Attempt {
	sent := make([]images.Attempt, len(claimed))
	var group errgroup.Group
	group.SetLimit(width)
	for i, d := range claimed {
		group.Go(func() error {
			if ctx.Err() == nil {
				sent[i] = n.send(context.WithoutCancel(ctx), d)
			}
			return nil
		})
	}
	_ = group.Wait()
	var left []images.Delivery
	begun := sent[:0]
	for i, a := range sent {
		if a.EventID == "" {
			left = append(left, claimed[i])
		} else {
			begun = append(begun, a)
		}
	}
	n.release(ctx, left)
	return begun
}

// release gives back deliveries that were not begun. If that fails their lease will do.
func (n *Notifier) release(ctx context.Context, left []images.Delivery) {
	if len(left) == 0 {
		return
	}
	if err := n.Core.ReleaseDeliveries(context.WithoutCancel(ctx), left); err != nil {
		n.Log.Warn("deliveries that were not begun wait for their lease to end", "err", err)
	}
}

// send makes one attempt, bounded in time by the poster.
func (n *Notifier) send(ctx context.Context, d images.Delivery) images.Attempt {
	a := images.Attempt{EventID: d.Event.ID, WebhookID: d.Webhook.ID, Number: d.Attempt, Began: n.Now()}
	start := time.Now()
	m, err := n.Message(d)
	if err == nil {
		var answer []byte
		a.Status, answer, err = n.poster.Post(ctx, d.Webhook.URL, m.Header, m.Body, images.MaxAnswer)
		a.Answer = string(answer)
	}
	a.Took = time.Since(start)
	outcome := Delivered
	switch {
	case err != nil:
		a.Error, outcome = why(err), Unanswered
	case !a.Delivered():
		outcome = Refused
	}
	if outcome != Delivered {
		n.Log.Warn("a webhook did not take an event", "webhook", d.Webhook.ID, "event", d.Event.ID,
			"attempt", d.Attempt, "status", a.Status, "reason", a.Error)
	}
	if n.Observe != nil {
		n.Observe(outcome, a.Took)
	}
	return a
}

// why is the reason in an error, in words that may be shown to the webhook's owner.
func why(err error) string {
	if known := new(outbound.Error); errors.As(err, &known) {
		return known.Reason
	}
	return "the message could not be made or sent: the operator's log may say more"
}

// Test sends a test event to a webhook, saved or not: WebhookRefused says why it was not taken. Busy
// when too many are being tested.
func (n *Notifier) Test(ctx context.Context, w images.Webhook) error {
	lease, err := n.shares.tests.TryAcquire(1, w.Account)
	if err != nil {
		return busy("Too many webhooks are being tested", err)
	}
	defer lease.Release()
	host, err := n.shares.hosts.TryAcquire(1, outbound.Destination(w.URL), w.Account)
	if err != nil {
		return busy("Too much is being sent to this webhook's host", err)
	}
	defer host.Release()
	now := n.Now()
	content, err := testBody(w, now)
	if err != nil {
		return err
	}
	m, err := sign(w, "evt_test_"+strings.ToLower(rand.Text()), content, now)
	if err != nil {
		return err
	}
	status, _, err := n.poster.Post(ctx, w.URL, m.Header, m.Body, images.MaxAnswer)
	switch {
	case ctx.Err() != nil:
		return errAborted
	case err != nil:
		return errs.Errorf(errs.WebhookRefused, "The test event could not be delivered: %s",
			why(err))
	case status < 200 || status > 299:
		return errs.Errorf(errs.WebhookRefused, "The test event was not taken: the receiver "+
			"answered with status %d, not with 2xx", status)
	}
	return nil
}
