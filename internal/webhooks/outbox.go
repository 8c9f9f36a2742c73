package webhooks

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

// The outbox is the table deliveries: one row for each event and webhook. A sender claims pending deliveries with a
// lease, sends them, and records the result of each. If the sender is killed, its deliveries are due again when
// the lease ends. So each event is delivered at least once, with the same id each time, in no particular order.

// A Delivery is a claimed delivery of an event to one webhook.
type Delivery struct {
	Event       Event
	AccountHash string // of the event's account, for public URLs
	Webhook     Webhook
	PolicyID    string // "" for a stream
	PolicyName  string // "" for a stream
	Attempt     int    // number of this attempt, from 1 on
}

// An Attempt is the result of one attempt of a delivery.
type Attempt struct {
	Account            string // of the webhook and of its events
	EventID, WebhookID string
	Number             int
	Began              time.Time
	Took               time.Duration
	Status             int    // HTTP status of the answer; 0 without an answer
	Error              string // the reason why there is no answer, or why the answer does not count; else ""
	Answer             string // the first bytes of the answer's body; at most MaxAnswer are stored
}

// Delivered reports whether the receiver accepted the event: status 2xx and no Error.
func (a Attempt) Delivered() bool { return a.Error == "" && a.Status >= 200 && a.Status < 300 }

func (a Attempt) end() time.Time { return a.Began.Add(a.Took) }

const (
	// DeliveryLease is the time from the claim of a delivery until it is due again without a result.
	DeliveryLease = time.Minute
	// ClaimAtOnce bounds the deliveries of one claim.
	ClaimAtOnce = 64
	// MaxAnswer bounds the bytes of an answer that are stored.
	MaxAnswer = 1024

	maxAttemptText = 500 // bytes of Attempt.Error that are stored
)

// wakeNotifier wakes the notifier after the commit of tx, because deliveries may be due.
func (s *Service) wakeNotifier(tx *accounts.Change) {
	tx.OnceAfterCommit("notifier", func() {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	})
}

// Wake returns the channel that receives after this node has written deliveries. It does not receive for the
// deliveries of other nodes, nor when a retry is due: the notifier must poll Due for these.
func (s *Service) Wake() <-chan struct{} { return s.wake }

// A DueWebhook is a webhook with due deliveries.
type DueWebhook struct {
	ID      string
	Account string
	URL     string
	Failing bool // the last attempt failed, so the notifier sends one message at a time
}

// Due returns the webhooks with due deliveries, without streams, paused webhooks and webhooks of suspended
// accounts. The query costs one look-up in an index for each webhook, independent of the number of due deliveries.
func (s *Service) Due(ctx context.Context) ([]DueWebhook, error) {
	all, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (w DueWebhook, err error) {
		err = r.Scan(&w.ID, &w.Account, &w.URL, &w.Failing)
		return w, err
	}, `SELECT w.id, w.account, w.url, w.failing_since IS NOT NULL
		FROM webhooks w
		JOIN accounts a ON a.id = w.account AND a.suspended = 0
		WHERE w.kind = 'webhook' AND w.paused IS NULL AND EXISTS (SELECT 1 FROM deliveries d
			WHERE d.webhook = w.id AND d.due IS NOT NULL AND d.due <= ?1)`, sqldb.Micros(s.now()))
	if err != nil {
		return nil, fmt.Errorf("looking for due deliveries: %w", err)
	}
	return all, nil
}

// IsDue reports whether a webhook or stream has due deliveries, by one look-up in an index.
func (s *Service) IsDue(ctx context.Context, webhook string) (bool, error) {
	due, err := sqldb.Exists(s.db.Reader(ctx), `deliveries
		WHERE webhook = ?1 AND due IS NOT NULL AND due <= ?2`, webhook, sqldb.Micros(s.now()))
	if err != nil {
		return false, fmt.Errorf("looking for due deliveries: %w", err)
	}
	return due, nil
}

// claimSome claims the due deliveries of a webhook that are due for the longest time. PostgreSQL evaluates the outer
// condition again for rows that another sender had locked. The plus in that condition prevents SQLite from using
// an index for it, which would scan all due rows instead of the few selected ones.
const claimSome = `UPDATE deliveries SET attempt = attempt + 1, due = ?3
	WHERE webhook = ?1 AND +due <= ?2 AND event IN (SELECT event FROM deliveries
		WHERE webhook = ?1 AND due IS NOT NULL AND due <= ?2 ORDER BY due LIMIT ?4)
	AND EXISTS (SELECT 1 FROM webhooks w JOIN accounts a ON a.id = w.account
		WHERE w.id = ?1 AND w.paused IS NULL AND a.suspended = 0)
	RETURNING event, policy, policy_name, attempt`

// Claim claims at most most due deliveries of a webhook or stream, and never more than ClaimAtOnce: those that are
// due for the longest time. No other sender can claim them for DeliveryLease. Claim returns them with their
// events, the oldest event first. It returns none for a paused webhook or a suspended account.
func (s *Service) Claim(
	ctx context.Context, webhook string, most int,
) ([]Delivery, error) {
	var claimed []Delivery
	now := s.now()
	err := s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) (err error) {
		claimed, err = sqldb.Select(tx, func(r sqldb.Row) (d Delivery, err error) {
			err = r.Scan(&d.Event.ID, &d.PolicyID, &d.PolicyName, &d.Attempt)
			return d, err
		}, claimSome, webhook, sqldb.Micros(now), sqldb.Micros(now.Add(DeliveryLease)), min(most, ClaimAtOnce))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("claiming deliveries: %w", err)
	}
	if len(claimed) == 0 {
		return nil, nil
	}
	return s.describe(ctx, webhook, claimed)
}

// Release ends the lease of claimed deliveries that were not sent: they are due at once, for any sender.
func (s *Service) Release(ctx context.Context, claimed []Delivery) error {
	now := sqldb.Micros(s.now())
	claimed = slices.SortedFunc(slices.Values(claimed), func(a, b Delivery) int {
		return strings.Compare(a.Event.ID, b.Event.ID)
	})
	err := s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		for _, d := range claimed {
			_, err := tx.Exec(`UPDATE deliveries SET due = ?4 WHERE event = ?1 AND webhook = ?2
				AND attempt = ?3 AND outcome = 'pending'`, d.Event.ID, d.Webhook.ID, d.Attempt, now)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("giving back deliveries: %w", err)
	}
	return nil
}

// describe reads the webhook, the account and the events of claimed deliveries. It leaves out deliveries whose
// event was deleted concurrently, and those whose event it cannot read, which are due again when their lease ends.
func (s *Service) describe(ctx context.Context, webhook string, claimed []Delivery) ([]Delivery, error) {
	var hash string
	w, err := scanWebhook(s.db.QueryRow(ctx, `SELECT `+webhookColumns+`,
		(SELECT hash FROM accounts WHERE id = webhooks.account) FROM webhooks WHERE id = ?1`, webhook), s.now(), &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // the webhook was deleted concurrently
	}
	if err != nil {
		return nil, fmt.Errorf("reading a webhook: %w", err)
	}
	ids := make([]any, len(claimed))
	for i, d := range claimed {
		ids[i] = d.Event.ID
	}
	events := make(map[string]Event, len(claimed))
	_, err = sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (e Event, err error) {
		e, err = scanEvent(r)
		if broken := new(factsError); errors.As(err, &broken) {
			s.config.Log.Error("an event cannot be read: a newer release may have written it", "err", err)
			return e, nil
		}
		events[e.ID] = e
		return e, err
	}, selectEvent+` WHERE id IN (`+sqldb.Placeholders(1, len(ids))+`)`, ids...)
	if err != nil {
		return nil, fmt.Errorf("reading events: %w", err)
	}
	claimed = slices.DeleteFunc(claimed, func(d Delivery) bool {
		_, there := events[d.Event.ID]
		return !there
	})
	for i := range claimed {
		d := &claimed[i]
		d.Event, d.Webhook, d.AccountHash = events[d.Event.ID], w, hash
	}
	slices.SortFunc(claimed, func(a, b Delivery) int { return a.Event.At.Compare(b.Event.At) })
	return claimed, nil
}

// OutboxCounts counts the pending deliveries and the webhooks of all accounts. Streams do not count, because their
// clients may be away for days. Deliveries of paused webhooks and of suspended accounts do not count.
type OutboxCounts struct {
	Pending int64     // pending deliveries, counted up to 100,000
	Oldest  time.Time // the time of the oldest event of these; zero without deliveries

	Healthy, Failing, Paused int64 // webhooks that are healthy, failing or paused
}

// Counts reads the present counts from the database.
func (s *Service) Counts(ctx context.Context) (c OutboxCounts, err error) {
	var oldest int64
	err = s.db.QueryRow(ctx, `SELECT count(*), COALESCE(MIN(created), 0) FROM (
		SELECT d.created FROM webhooks w JOIN accounts a ON a.id = w.account AND a.suspended = 0
		JOIN deliveries d ON d.webhook = w.id
		WHERE w.kind = 'webhook' AND w.paused IS NULL AND d.due IS NOT NULL
		LIMIT 100000) AS pending`).Scan(&c.Pending, &oldest)
	if err != nil {
		return c, fmt.Errorf("counting the outbox: %w", err)
	}
	if oldest > 0 {
		c.Oldest = sqldb.FromMicros(oldest)
	}
	err = s.db.QueryRow(ctx, `SELECT
		COALESCE(SUM(CASE WHEN paused IS NULL AND failing_since IS NULL THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN paused IS NULL AND failing_since IS NOT NULL THEN 1 ELSE 0 END), 0),
		COALESCE(SUM(CASE WHEN paused IS NOT NULL THEN 1 ELSE 0 END), 0)
		FROM webhooks WHERE kind = 'webhook'`).Scan(&c.Healthy, &c.Failing, &c.Paused)
	if err != nil {
		return c, fmt.Errorf("counting the webhooks: %w", err)
	}
	return c, nil
}

// MaxPending is the number up to which PendingDeliveries counts.
const MaxPending = 10_000

// PendingDeliveries returns the number of pending deliveries by the id of the webhook or stream, for each of an
// account, counted up to MaxPending.
func (s *Service) PendingDeliveries(ctx context.Context, account string) (map[string]int, error) {
	pending, err := sqldb.SelectMap[string, int](s.db.Reader(ctx), `SELECT w.id, (SELECT count(*) FROM
			(SELECT 1 FROM deliveries d WHERE d.webhook = w.id AND d.due IS NOT NULL LIMIT ?2) AS pending)
		FROM webhooks w WHERE w.account = ?1`, account, MaxPending)
	if err != nil {
		return nil, fmt.Errorf("counting pending deliveries: %w", err)
	}
	return pending, nil
}
