package webhooks

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A HistoryQuery selects attempts. Since, Before, Webhook and ImageID do not filter if they are zero.
type HistoryQuery struct {
	Since, Before time.Time // bounds of the attempt's begin; Before is excluded
	Webhook       string    // ID of a webhook or stream
	ImageID       string    // public id of the image at the time of the event
	Skip, Most    int       // the number of entries to skip, and the largest number to return, up to MaxHistory
	// Fits is called for each entry in order, and reports whether the entry fits into the answer. History ends
	// before the first entry that does not fit. Nil: all entries fit.
	Fits func(HistoryEntry) bool
}

// MaxHistory bounds the entries of one answer.
const MaxHistory = 1000

// A HistoryEntry is one attempt with its delivery.
type HistoryEntry struct {
	Attempt  Attempt
	Delivery Delivery  // without the signing keys and the secret of its webhook
	Outcome  string    // the delivery's present outcome: pending, delivered or failed
	Attempts int       // the delivery's present number of attempts
	Next     time.Time // the time of a pending delivery's next attempt; else zero
}

// History returns attempts of an account, the newest first. total is the number of attempts that the query selects
// without Skip, Most and Fits, counted up to 100,000. Error: AccountUnknown.
func (s *Service) History(
	ctx context.Context, account string, q HistoryQuery,
) (entries []HistoryEntry, total int, err error) {
	if !text.IsPlain(q.Webhook) {
		return nil, 0, nil
	}
	if q.Before.IsZero() {
		q.Before = s.now().Add(time.Hour)
	}
	a, err := s.accounts.ByID(ctx, account)
	if err != nil {
		return nil, 0, err
	}
	const every = ` FROM delivery_attempts a WHERE a.account = ?1 AND a.began >= ?2 AND a.began < ?3
		AND (CAST(?4 AS TEXT) = '' OR a.webhook = ?4)`
	args := []any{account, sqldb.Micros(q.Since), sqldb.Micros(q.Before), q.Webhook}
	which := every
	if q.ImageID != "" {
		which += ` AND a.event IN (SELECT id FROM events WHERE account = ?1 AND id_sha256 = ?5)`
		args = append(args, text.Hash(q.ImageID))
	}
	err = s.db.QueryRow(ctx, `SELECT count(*) FROM (SELECT 1`+which+` LIMIT 100000) AS counted`,
		args...).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("counting attempts: %w", err)
	}
	// An attempt is larger than an image: it has the facts of its event.
	most, atOnce := min(q.Most, MaxHistory), s.historyRows
	for walk := (attemptWalk{which: which, args: args}); most > 0; most -= atOnce {
		rows := min(most, atOnce)
		end, err := s.endOfAttempts(ctx, walk, q.Skip+rows)
		if err != nil {
			return nil, 0, fmt.Errorf("reading attempts: %w", err)
		}
		found, err := s.readHistory(ctx, a, walk, end, rows, q.Skip)
		if err != nil {
			return nil, 0, fmt.Errorf("reading attempts: %w", err)
		}
		for _, h := range found {
			if q.Fits != nil && !q.Fits(h) {
				return entries, total, nil
			}
			entries = append(entries, h)
		}
		if end == nil {
			break
		}
		walk.behind, q.Skip = end, 0
	}
	return entries, total, nil
}

// maxUnattempted bounds the number of entries that Unattempted returns.
const maxUnattempted = 100

// Unattempted returns the pending deliveries without an attempt of the events of an image, the oldest first, at
// most 100. History has no entry for them. Of a HistoryEntry it sets the type and time of the event, the name of
// the webhook, Outcome and Next. id is the public id of the image at the time of the event.
func (s *Service) Unattempted(ctx context.Context, account, id string) ([]HistoryEntry, error) {
	entries, err := sqldb.Select(s.db.Reader(ctx), func(r sqldb.Row) (h HistoryEntry, err error) {
		var created int64
		var due sql.NullInt64
		err = r.Scan(&h.Delivery.Event.Type, &created, &due, &h.Delivery.Webhook.Name)
		h.Delivery.Event.At, h.Next, h.Outcome = sqldb.FromMicros(created), sqldb.OptionalTime(due), "pending"
		return h, err
	}, `SELECT e.type, e.created, d.due, w.name FROM events e
		JOIN deliveries d ON d.event = e.id JOIN webhooks w ON w.id = d.webhook
		WHERE e.account = ?1 AND e.id_sha256 = ?2 AND d.attempt = 0 AND d.due IS NOT NULL
		ORDER BY e.created, e.id LIMIT `+strconv.Itoa(maxUnattempted), account, text.Hash(id))
	if err != nil {
		return nil, fmt.Errorf("reading deliveries of an image: %w", err)
	}
	return entries, nil
}

// An attemptWalk is a scan of the attempts that meet conditions, the newest first.
type attemptWalk struct {
	which  string // FROM and WHERE; the alias of the attempts is a
	args   []any
	behind *attemptPlace // the scan continues after it; nil at the beginning
}

// An attemptPlace is a position in the order of the history.
type attemptPlace struct {
	began          int64
	event, webhook string
	number         int
}

const attemptOrder = ` ORDER BY a.began DESC, a.event DESC, a.webhook DESC, a.attempt DESC`

// statement returns the SELECT of columns of the attempts after w.behind, up to a position; nil is the end.
func (w attemptWalk) statement(columns string, to *attemptPlace) *sqldb.Builder {
	s := &sqldb.Builder{Args: slices.Clone(w.args)}
	s.WriteString(`SELECT ` + columns + w.which)
	bound := func(compare string, p *attemptPlace) {
		if p != nil {
			s.WriteString(` AND (a.began, a.event, a.webhook, a.attempt) ` + compare + ` (` +
				s.Arg(p.began) + `, ` + s.Arg(p.event) + `, ` + s.Arg(p.webhook) + `, ` +
				s.Arg(p.number) + `)`)
		}
	}
	bound(`<`, w.behind)
	bound(`>=`, to)
	s.WriteString(attemptOrder)
	return s
}

// endOfAttempts returns the position of the n-th attempt of a scan; nil if the scan has fewer.
func (s *Service) endOfAttempts(
	ctx context.Context, w attemptWalk, n int,
) (*attemptPlace, error) {
	q := w.statement(`a.began, a.event, a.webhook, a.attempt`, nil)
	q.WriteString(` LIMIT 1 OFFSET ` + strconv.Itoa(n-1))
	var p attemptPlace
	err := s.db.QueryRow(ctx, q.String(), q.Args...).Scan(&p.began, &p.event, &p.webhook, &p.number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &p, err
}

// readHistory reads at most most attempts of a scan after the first skip ones, up to a position. It leaves out
// attempts whose event is deleted concurrently.
func (s *Service) readHistory(
	ctx context.Context, a accounts.Account, w attemptWalk, to *attemptPlace, most, skip int,
) ([]HistoryEntry, error) {
	q := w.statement(`*`, to)
	scan := func(r sqldb.Row) (HistoryEntry, error) { return scanHistory(r, a) }
	return sqldb.Select(s.db.Reader(ctx), scan, `SELECT a.event, a.webhook, a.attempt, a.began, a.took, a.status,
		a.error, a.answer, d.policy, d.policy_name, d.outcome, d.attempt, d.due,
		e.type, e.image, e.created, e.erasure, e.facts, w.kind, w.name
		FROM (`+q.String()+` LIMIT `+strconv.Itoa(most)+` OFFSET `+strconv.Itoa(skip)+`) a
		JOIN deliveries d ON d.event = a.event AND d.webhook = a.webhook
		JOIN events e ON e.id = a.event
		JOIN webhooks w ON w.id = a.webhook`+attemptOrder, q.Args...)
}

// scanHistory scans a row of History about the account a.
func scanHistory(r sqldb.Row, a accounts.Account) (h HistoryEntry, err error) {
	var (
		began, took, created int64
		due                  sql.NullInt64
		kind                 string
		facts                string
		e                    = Event{Account: a.ID}
		w                    = Webhook{Account: a.ID}
	)
	err = r.Scan(&e.ID, &w.ID, &h.Attempt.Number, &began, &took, &h.Attempt.Status,
		&h.Attempt.Error, &h.Attempt.Answer, &h.Delivery.PolicyID, &h.Delivery.PolicyName,
		&h.Outcome, &h.Attempts, &due, &e.Type, &e.Image, &created, &e.Erasure,
		&facts, &kind, &w.Name)
	if err == nil {
		err = json.Unmarshal([]byte(facts), &e.Facts)
	}
	if err != nil {
		return h, err
	}
	e.At = sqldb.FromMicros(created)
	w.Stream = kind == "stream"
	h.Attempt.Account, h.Attempt.EventID, h.Attempt.WebhookID = a.ID, e.ID, w.ID
	h.Attempt.Began = sqldb.FromMicros(began)
	h.Attempt.Took = time.Duration(took) * time.Microsecond
	h.Delivery.Event, h.Delivery.Webhook = e, w
	h.Delivery.AccountHash, h.Delivery.Attempt = a.Hash, h.Attempt.Number
	h.Next = sqldb.OptionalTime(due)
	return h, nil
}
