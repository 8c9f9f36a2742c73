package images

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// A HistoryQuery asks for attempts. Zero fields narrow nothing.
type HistoryQuery struct {
	Since, Before time.Time // when the attempt began; Before is excluded
	Webhook       string
	Skip, Most    int // Most at most MaxHistory
}

// MaxHistory bounds the entries of one answer.
const MaxHistory = 1000

// A HistoryEntry is one attempt, and what it was about.
type HistoryEntry struct {
	Attempt  Attempt
	Delivery Delivery  // without the signing keys and the secret of its webhook
	Outcome  string    // of the delivery by now: pending, delivered or failed
	Attempts int       // of the delivery by now
	Next     time.Time // of a pending delivery: its next attempt
}

// History returns attempts of an account, the newest first, and how many there are in all, counted
// up to 100,000.
func (s *Service) History(
	ctx context.Context, account string, q HistoryQuery,
) (entries []HistoryEntry, total int, err error) {
	if !plainText(q.Webhook) {
		return nil, 0, nil
	}
	if q.Before.IsZero() {
		q.Before = s.Now().Add(time.Hour)
	}
	a, err := s.Account(ctx, account)
	if err != nil {
		return nil, 0, err
	}
	const which = ` FROM delivery_attempts a WHERE a.account = ?1 AND a.began >= ?2 AND a.began < ?3
		AND (CAST(?4 AS TEXT) = '' OR a.webhook = ?4)`
	args := []any{account, micros(q.Since), micros(q.Before), q.Webhook}
	err = s.DB.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1`+which+` LIMIT 100000) AS counted`,
		args...).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("counting attempts: %w", err)
	}
	rows, err := s.DB.Query(ctx, `SELECT a.event, a.webhook, a.attempt, a.began, a.took, a.status,
		a.error, a.answer, d.policy, d.policy_name, d.outcome, d.attempt, d.due,
		e.type, e.image, e.created, e.erasure, e.facts, w.kind, w.name
		FROM (SELECT *`+which+` ORDER BY a.began DESC, a.event DESC, a.webhook DESC, a.attempt DESC
			LIMIT ?5 OFFSET ?6) a
		JOIN deliveries d ON d.event = a.event AND d.webhook = a.webhook
		JOIN events e ON e.id = a.event
		JOIN webhooks w ON w.id = a.webhook
		ORDER BY a.began DESC, a.event DESC, a.webhook DESC, a.attempt DESC`,
		append(args, min(q.Most, MaxHistory), q.Skip)...)
	if err != nil {
		return nil, 0, fmt.Errorf("reading attempts: %w", err)
	}
	entries, err = collect(rows, func(r row) (HistoryEntry, error) { return scanHistory(r, a) })
	if err != nil {
		return nil, 0, fmt.Errorf("reading attempts: %w", err)
	}
	return entries, total, nil
}

// scanHistory scans a row of History; a is the account that it is of.
func scanHistory(r row, a Account) (h HistoryEntry, err error) {
	var (
		began, took, created int64
		due                  sql.NullInt64
		kind                 string
		f                    facts
		text                 string
		e                    = Event{Account: a.ID}
		w                    = Webhook{Account: a.ID}
	)
	err = r.Scan(&e.ID, &w.ID, &h.Attempt.Number, &began, &took, &h.Attempt.Status,
		&h.Attempt.Error, &h.Attempt.Answer, &h.Delivery.PolicyID, &h.Delivery.PolicyName,
		&h.Outcome, &h.Attempts, &due, &e.Type, &e.Image.Key, &created, &e.erasure,
		&text, &kind, &w.Name)
	if err == nil {
		err = json.Unmarshal([]byte(text), &f)
	}
	if err != nil {
		return h, err
	}
	e.At = fromMicros(created)
	e.read(f)
	w.Stream = kind == "stream"
	h.Attempt.EventID, h.Attempt.WebhookID = e.ID, w.ID
	h.Attempt.Began = fromMicros(began)
	h.Attempt.Took = time.Duration(took) * time.Microsecond
	h.Delivery.Event, h.Delivery.Webhook = e, w
	h.Delivery.AccountHash, h.Delivery.Attempt = a.Hash, h.Attempt.Number
	h.Next = optionalTime(due)
	return h, nil
}
