// Package notify sends webhooks. The core writes events and their deliveries in the transactions of the
// changes. A Notifier claims due deliveries, signs and posts the messages, and records the results in
// the core.
//
// Each webhook has its own worker, so that a receiver that hangs delays no other. The concurrent posts are
// limited for each account and for each host: see posts.go. A worker whose last attempt failed sends one
// message at a time, until the receiver accepts one. The deliveries of a killed node are due again when
// their lease ends: every message is sent at least once, with the same id each time, in no particular
// order.
package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/outbound"
	"calotype/internal/trace"
	"calotype/internal/webhooks"
)

const (
	concurrency  = 16 // posts of a worker sent concurrently
	workerRounds = 2  // a worker claims the deliveries of this many rounds of posts at once

	// workerTime limits the time of a worker, so that slow receivers cannot occupy all workers. After it
	// all webhooks have the same chance of the next worker.
	workerTime = 10 * time.Second

	pollInterval  = time.Second      // polls for events of other nodes, and for retries
	retryInterval = 10 * time.Second // after an error of the database
	lookTime      = 10 * time.Second
)

// The outcomes of attempts, as Config.Observe gets them.
const (
	Delivered = "delivered"
	Rejected  = "rejected"  // another status than 2xx
	NoAnswer  = "no_answer" // a time-out, or no connection
)

// Outcomes are all outcomes.
var Outcomes = []string{Delivered, Rejected, NoAnswer}

// Config configures a Notifier. URLs are the base URLs in messages.
type Config struct {
	Webhooks *webhooks.Service
	URLs     cfapi.URLs
	Outbound outbound.Config // the addresses to which it may post
	Log      *slog.Logger
	Now      func() time.Time // nil for time.Now
	// Observe is called after each attempt, if it is not nil.
	Observe func(outcome string, took time.Duration)
	Tracer  *trace.Tracer // of attempts; nil for no traces
}

// A Notifier sends due deliveries. It is safe for concurrent use.
type Notifier struct {
	Config
	poster *outbound.Poster

	shares shares

	mu      sync.Mutex
	running map[string]bool // by webhook
	again   chan struct{}   // signals that a worker has ended
	workers sync.WaitGroup

	closing context.Context // ends with Run
	end     context.CancelFunc
}

// A worker sends to one webhook. It holds a slot from its start to its end.
type worker struct {
	webhooks.DueWebhook
	first   *slot
	failing *limit.Lease // nil if the webhook is healthy
}

// New returns a Notifier, which sends nothing until Run.
func New(c Config) *Notifier {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	closing, end := context.WithCancel(context.Background())
	return &Notifier{
		Config: c, poster: outbound.NewPoster(c.Outbound),
		running: map[string]bool{}, again: make(chan struct{}, 1),
		closing: closing, end: end, shares: newShares(),
	}
}

// Run sends due deliveries until ctx ends, and then waits for the posts in progress.
func (n *Notifier) Run(ctx context.Context) error {
	defer n.poster.Close()
	defer n.workers.Wait()
	defer n.end()
	for {
		wait := pollInterval
		if err := n.poll(ctx); err != nil && ctx.Err() == nil {
			n.Log.Warn("reading the due webhooks failed; it will be retried", "err", err)
			wait = retryInterval
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-n.Webhooks.Wake():
		case <-n.again:
		}
	}
}

// poll starts a worker for each webhook with due deliveries, within the limits.
func (n *Notifier) poll(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	due, err := n.Webhooks.Due(limited)
	if err != nil {
		return err
	}
	// Webhooks beyond the limits get their turn in a later, different order.
	mathrand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] })
	for _, w := range due {
		if l := n.enter(w); l != nil {
			n.workers.Go(func() {
				defer n.leave(l)
				n.run(ctx, l)
			})
		}
	}
	return nil
}

// enter returns a new worker; nil if the webhook has one, or no slot is free.
func (n *Notifier) enter(w webhooks.DueWebhook) *worker {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running[w.ID] {
		return nil
	}
	l := &worker{DueWebhook: w}
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

func (n *Notifier) leave(l *worker) {
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
// webhook has recovered, or after workerTime. Then the webhook waits for its next turn like all others.
func (n *Notifier) run(ctx context.Context, l *worker) {
	for end := time.Now().Add(workerTime); ctx.Err() == nil && time.Now().Before(end); {
		if !n.round(ctx, l) {
			return
		}
	}
}

// round claims deliveries for the free slots, and sends them. It reports whether to continue.
func (n *Notifier) round(ctx context.Context, l *worker) bool {
	most, slots := 1, []*slot(nil)
	if !l.Failing {
		slots = n.shares.slots(l.DueWebhook, concurrency-1)
		most = workerRounds * (1 + len(slots))
	}
	claimed, err := n.Webhooks.Claim(ctx, l.ID, most)
	if needed := max(0, len(claimed)-1); needed < len(slots) {
		release(slots[needed:])
		slots = slots[:needed]
	}
	if err != nil {
		if ctx.Err() == nil {
			n.Log.Warn("claiming deliveries failed; it will be retried", "webhook", l.ID, "err", err)
		}
		return false
	}
	attempts := n.sendAll(ctx, claimed, 1+len(slots))
	release(slots)
	if len(attempts) == 0 {
		return false
	}
	// The results of sent messages are recorded also during a shutdown.
	if _, err := n.Webhooks.Complete(context.WithoutCancel(ctx), attempts); err != nil {
		n.Log.Error("the results of deliveries could not be recorded: they will be sent again",
			"webhook", l.ID, "err", err)
		return false
	}
	failed := slices.ContainsFunc(attempts, func(a webhooks.Attempt) bool { return !a.Delivered() })
	return !failed && !l.Failing && len(claimed) == most
}

// sendAll sends claimed deliveries, one for each slot at a time. At a shutdown it releases the claims
// of deliveries that it has not begun.
func (n *Notifier) sendAll(
	ctx context.Context, claimed []webhooks.Delivery, width int,
) []webhooks.Attempt {
	sent := make([]webhooks.Attempt, len(claimed))
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
	var left []webhooks.Delivery
	begun := sent[:0]
	for i, a := range sent {
		if a.EventID == "" {
			left = append(left, claimed[i])
		} else {
			begun = append(begun, a)
		}
	}
	n.Release(ctx, left)
	return begun
}

// Release releases claimed deliveries that were not sent: they are due at once, for the next claim. If that fails,
// their lease expires.
func (n *Notifier) Release(ctx context.Context, left []webhooks.Delivery) {
	if len(left) == 0 {
		return
	}
	if err := n.Webhooks.Release(context.WithoutCancel(ctx), left); err != nil {
		n.Log.Warn("claims of deliveries could not be released: their leases will expire", "err", err)
	}
}

// send makes one attempt; the poster limits its time.
func (n *Notifier) send(ctx context.Context, d webhooks.Delivery) webhooks.Attempt {
	a := webhooks.Attempt{
		Account: d.Event.Account, EventID: d.Event.ID, WebhookID: d.Webhook.ID, Number: d.Attempt, Began: n.Now(),
	}
	start, span := time.Now(), (*trace.Span)(nil)
	m, err := n.Message(d)
	if err == nil {
		var answer []byte
		ctx, span = n.Tracer.Send(ctx, "webhook", m.Header)
		a.Status, answer, err = n.poster.Post(ctx, d.Webhook.URL, m.Header, m.Body, webhooks.MaxAnswer)
		a.Answer = string(answer)
	}
	a.Took = time.Since(start)
	outcome := Delivered
	switch {
	case err != nil:
		a.Error, outcome = why(err), NoAnswer
	case !a.Delivered():
		outcome = Rejected
	}
	endSpan(span, d, a.Status, outcome)
	if outcome != Delivered {
		line := []slog.Attr{slog.String("webhook", d.Webhook.ID), slog.String("event", d.Event.ID),
			slog.Int("attempt", d.Attempt), slog.Int("status", a.Status), slog.String("reason", a.Error)}
		n.Log.LogAttrs(ctx, slog.LevelWarn, "a webhook did not accept an event", span.Attrs(line)...)
	}
	if n.Observe != nil {
		n.Observe(outcome, a.Took)
	}
	return a
}

// endSpan ends the span of an attempt. Its URL may hold a secret.
func endSpan(span *trace.Span, d webhooks.Delivery, status int, outcome string) {
	if span.Recording() {
		span.Set(slog.String("http.request.method", http.MethodPost), slog.Int("http.response.status_code", status),
			slog.String("calotype.account", d.Event.Account), slog.String("calotype.image", d.Event.Facts.ID),
			slog.String("calotype.key", d.Event.Image), slog.String("calotype.webhook", d.Webhook.ID),
			slog.String("calotype.event", d.Event.ID), slog.Int("calotype.attempt", d.Attempt))
		if outcome != Delivered {
			span.Fail(outcome)
		}
	}
	span.End(nil)
}

// why returns the reason in an error, which may be shown to the webhook's owner.
func why(err error) string {
	if known := new(outbound.Error); errors.As(err, &known) {
		return known.Reason
	}
	return "the message could not be made or sent: the operator's log may say more"
}

// Test sends a test event to a webhook, stored or not. Errors: WebhookRefused with the reason if the
// receiver does not accept it, Busy if too many tests are in progress.
func (n *Notifier) Test(ctx context.Context, w webhooks.Webhook) error {
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
	status, _, err := n.poster.Post(ctx, w.URL, m.Header, m.Body, webhooks.MaxAnswer)
	switch {
	case ctx.Err() != nil:
		return errs.ClientAborted(nil)
	case err != nil:
		return errs.Errorf(errs.WebhookRefused, "The test event could not be delivered: %s",
			why(err))
	case status < 200 || status > 299:
		return errs.Errorf(errs.WebhookRefused, "The test event was not accepted: the receiver "+
			"answered with status %d, not with 2xx", status)
	}
	return nil
}
