package webhooks

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
)

const (
	pauseAfter = 7 * 24 * time.Hour // the time of failures without a success after which a webhook is paused
	statusGone = 410
)

// retryDelays are the times between the attempts of a delivery, without jitter; after the last attempt the
// delivery has failed.
var retryDelays = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 10 * time.Hour,
}

// streamDelays are the retryDelays of a stream. Its receiver is a program in development, which restarts every few
// minutes.
var streamDelays = []time.Duration{
	5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute,
	2 * time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 5 * time.Hour, 10 * time.Hour,
	10 * time.Hour,
}

// retryDelay returns the time before the next attempt after a number of failures, or false if there is no further
// attempt. It adds a random time of up to a fifth, so that deliveries that failed together are not retried
// together.
func retryDelay(stream bool, failures int) (time.Duration, bool) {
	delays := retryDelays
	if stream {
		delays = streamDelays
	}
	if failures > len(delays) {
		return 0, false
	}
	delay := delays[failures-1]
	return delay + time.Duration(rand.Int64N(int64(delay)/5)), true
}

// Complete records attempts of claimed deliveries, and the new state of each delivery: delivered, due for a retry,
// or failed. If another sender has claimed a delivery since, its state does not change, but the attempt is
// recorded. An attempt that is reported repeatedly counts once. An attempt of a delivery that does not exist is
// ignored, also one that names another account than that of the delivery. settled is the number of deliveries whose
// state changed. Complete also pauses a webhook after an answer 410, or after a week of failures.
func (s *Service) Complete(ctx context.Context, attempts []Attempt) (settled int, err error) {
	of, owners := map[receiver][]Attempt{}, map[string]bool{}
	for _, a := range slices.SortedFunc(slices.Values(attempts), byEvent) {
		if a.Number >= 1 { // otherwise it was never claimed
			r := receiver{a.WebhookID, a.Account}
			of[r] = append(of[r], a)
			owners[a.Account] = true
		}
	}
	for r, all := range of {
		of[r] = slices.CompactFunc(all, func(a, b Attempt) bool { return byEvent(a, b) == 0 })
	}
	err = s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		settled = 0
		// A transaction that locks an account and its deliveries locks the account first. The account may be
		// deleted already.
		if err := tx.LockExisting(slices.Sorted(maps.Keys(owners))...); err != nil {
			return err
		}
		for _, r := range slices.SortedFunc(maps.Keys(of), byWebhook) {
			done, err := s.settle(tx, r.webhook, of[r])
			if err != nil {
				return err
			}
			settled += done
			if err := s.noteWebhook(tx, r.webhook, of[r]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("settling deliveries: %w", err)
	}
	return settled, nil
}

// A receiver is a webhook of an account, as an attempt names both.
type receiver struct{ webhook, account string }

func byWebhook(a, b receiver) int {
	return cmp.Or(strings.Compare(a.webhook, b.webhook), strings.Compare(a.account, b.account))
}

// byEvent compares attempts by event and number: all transactions lock deliveries in the order of their events.
func byEvent(a, b Attempt) int {
	return cmp.Or(strings.Compare(a.EventID, b.EventID), cmp.Compare(a.Number, b.Number))
}

// awaitingResult is SQL for pending deliveries without a recorded result of the newest attempt. A client that did
// not receive an answer reports the same attempt repeatedly, possibly after a replay.
const awaitingResult = `outcome = 'pending' AND NOT EXISTS (SELECT 1 FROM delivery_attempts a
	WHERE a.event = deliveries.event AND a.webhook = deliveries.webhook
		AND a.attempt = deliveries.attempt)`

// settle records attempts of one receiver, and deletes the events of erasures without another pending delivery. done
// is the number of deliveries whose state changed.
func (s *Service) settle(tx *accounts.Change, webhook string, all []Attempt) (done int, err error) {
	settled, err := s.recordDelivered(tx, webhook, all)
	if err != nil {
		return 0, err
	}
	ended := slices.Sorted(maps.Keys(settled))
	done = len(settled)
	there := make([]Attempt, 0, len(all))
	for _, a := range all {
		if !settled[a.EventID] || !a.Delivered() {
			changed, last, err := s.recordFailure(tx, a)
			if errors.Is(err, sql.ErrNoRows) {
				continue // erased, deleted with its webhook, or never claimed
			}
			if err != nil {
				return 0, err
			}
			if changed {
				done++
			}
			if last {
				ended = append(ended, a.EventID)
			}
		}
		there = append(there, a)
	}
	if err := insertAttempts(tx, there); err != nil || len(ended) == 0 {
		return done, err
	}
	_, err = deleteEvents(tx, `erasure = 1 AND id IN (`+sqldb.Placeholders(1, len(ended))+`)
		AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = events.id AND due IS NOT NULL)`,
		sqldb.Args(ended)...)
	return done, err
}

// recordDelivered sets the outcome of the deliveries with a delivered attempt, unless another sender has claimed
// them since, with one statement for each number of an attempt. A delivery that is to be repeated is due at once
// instead. It returns the events of these deliveries.
func (s *Service) recordDelivered(tx *accounts.Change, webhook string, all []Attempt) (map[string]bool, error) {
	events := map[int][]string{} // by the number of the attempt
	for _, a := range all {
		if a.Delivered() {
			events[a.Number] = append(events[a.Number], a.EventID)
		}
	}
	settled := map[string]bool{}
	for _, number := range slices.Sorted(maps.Keys(events)) {
		delivered, err := sqldb.Select(tx, sqldb.ScanOne[string], recordSome(len(events[number])),
			append([]any{webhook, number, sqldb.Micros(s.now()), all[0].Account}, sqldb.Args(events[number])...)...)
		if err != nil {
			return nil, err
		}
		for _, event := range delivered {
			settled[event] = true
		}
	}
	return settled, nil
}

// recordSome is the statement of recordDelivered for a number of events. The || in its condition prevents SQLite from
// using an index of the account, which would scan all rows of the account.
func recordSome(events int) string {
	return `UPDATE deliveries SET
		due = CASE WHEN repeats > 0 THEN CAST(?3 AS BIGINT) END,
		outcome = CASE WHEN repeats > 0 THEN 'pending' ELSE 'delivered' END,
		repeats = CASE WHEN repeats > 0 THEN repeats - 1 ELSE 0 END
		WHERE webhook = ?1 AND attempt = ?2 AND account || '' = ?4 AND ` + awaitingResult + `
		AND event IN (` + sqldb.Placeholders(5, events) + `) RETURNING event`
}

// recordFailure sets the next attempt of a delivery whose attempt has failed, or its outcome failed after the last
// attempt. If the attempt was delivered, or another sender has claimed the delivery since, the state does not
// change. changed reports whether the state changed, last whether the delivery has failed. Error: sql.ErrNoRows
// if the delivery does not exist, or was never claimed with this number.
func (s *Service) recordFailure(tx *accounts.Change, a Attempt) (changed, last bool, err error) {
	// The UPDATE locks the row until the attempt is inserted, so that a deletion of the delivery also deletes the
	// attempt.
	var failures int
	var stream bool
	err = tx.QueryRow(`UPDATE deliveries SET attempt = attempt
		WHERE event = ?1 AND webhook = ?2 AND attempt >= ?3 AND account = ?4 RETURNING failures,
		EXISTS (SELECT 1 FROM webhooks WHERE id = deliveries.webhook AND kind = 'stream')`,
		a.EventID, a.WebhookID, a.Number, a.Account).Scan(&failures, &stream)
	if err != nil || a.Delivered() {
		return false, false, err
	}
	var due any
	outcome := "failed"
	failures++
	if delay, again := retryDelay(stream, failures); again {
		outcome, due = "pending", sqldb.Micros(s.now().Add(delay))
	}
	n, err := tx.Exec(`UPDATE deliveries SET due = ?4, failures = ?5, outcome = ?6
		WHERE event = ?1 AND webhook = ?2 AND attempt = ?3 AND `+awaitingResult,
		a.EventID, a.WebhookID, a.Number, due, failures, outcome)
	return n > 0, n > 0 && due == nil, err
}

// insertAttempts inserts attempts of one account, except those that exist, and calls Change.CountKept.
func insertAttempts(tx *accounts.Change, all []Attempt) error {
	if len(all) == 0 {
		return nil
	}
	const columns = 9
	var values []string
	var args []any
	for i, a := range all {
		values = append(values, "("+sqldb.Placeholders(1+i*columns, columns)+")")
		args = append(args, a.EventID, a.WebhookID, a.Number, a.Account, sqldb.Micros(a.Began),
			a.Took.Microseconds(), a.Status, cutText(a.Error, maxAttemptText),
			cutText(a.Answer, MaxAnswer))
	}
	written, err := sqldb.Select(tx, sqldb.ScanOne[int64], `INSERT INTO delivery_attempts (event, webhook, attempt,
		account, began, took, status, error, answer) VALUES `+strings.Join(values, ", ")+`
		ON CONFLICT DO NOTHING RETURNING `+accounts.AttemptCost, args...)
	for _, bytes := range written {
		tx.CountKept(all[0].Account, bytes)
	}
	return err
}

// noteWebhook records the time of a webhook's last success or failure, and pauses the webhook after an answer 410
// or a week of failures. A stream is never paused.
func (s *Service) noteWebhook(tx *accounts.Change, id string, all []Attempt) error {
	account := all[0].Account
	last := slices.MaxFunc(all, func(a, b Attempt) int { return a.end().Compare(b.end()) })
	answeredGone := slices.ContainsFunc(all, func(a Attempt) bool { return a.Status == statusGone })
	if last.Delivered() {
		_, err := tx.Exec(`UPDATE webhooks SET last_success = ?2, failing_since = NULL
			WHERE id = ?1 AND account = ?3`, id, sqldb.Micros(last.end()), account)
		if err != nil || !answeredGone {
			return err
		}
	} else {
		_, err := tx.Exec(`UPDATE webhooks SET last_failure = ?2,
			failing_since = COALESCE(failing_since, ?2) WHERE id = ?1 AND account = ?3`,
			id, sqldb.Micros(last.end()), account)
		if err != nil {
			return err
		}
	}
	now := s.now()
	reason, where := "no attempt has succeeded for a week", `failing_since <= CAST(?4 AS BIGINT)`
	if answeredGone {
		reason, where = "the receiver answered 410 Gone", `CAST(?4 AS BIGINT) IS NOT NULL`
	}
	_, err := tx.Exec(`UPDATE webhooks SET paused = ?2, pause_reason = ?3
		WHERE id = ?1 AND account = ?5 AND kind = 'webhook' AND paused IS NULL AND `+where,
		id, sqldb.Micros(now), reason, sqldb.Micros(now.Add(-pauseAfter)), account)
	return err
}

// cutText returns at most the first most bytes of text in a form that the database can store: invalid UTF-8 and NUL
// are replaced.
func cutText(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	return strings.ReplaceAll(text, "\x00", string(utf8.RuneError))
}
