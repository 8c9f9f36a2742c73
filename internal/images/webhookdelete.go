package images

import (
	"context"
	"errors"
	"fmt"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// When a stream ends that nobody asks for: in any case, and when more events wait than streamBacklog.
const (
	streamLife    = 7 * 24 * time.Hour
	streamIdle    = time.Hour
	streamBacklog = 10_000
)

// DeleteWebhook deletes a webhook or a stream, with what it was still to be told: WebhookNotFound.
func (s *Service) DeleteWebhook(ctx context.Context, account, id string) error {
	if !plainText(id) {
		return errNoWebhook
	}
	return s.deleteWebhook(ctx, account, id, false, `1 = 1`)
}

// RemoveWebhook deletes a webhook or stream like DeleteWebhook, and the policies that have no other
// target: WebhookNotFound.
func (s *Service) RemoveWebhook(ctx context.Context, account, id string) error {
	if !plainText(id) {
		return errNoWebhook
	}
	return s.deleteWebhook(ctx, account, id, true, `1 = 1`)
}

// deleteWebhook deletes a webhook or stream that fulfils a condition: WebhookNotFound. policies says
// that it deletes those policies too that have no other target.
func (s *Service) deleteWebhook(
	ctx context.Context, account, id string, policies bool, condition string, args ...any,
) error {
	err := s.changeInReserve(ctx, func(tx *Change) error {
		// So that no policy is being written that names it.
		if err := tx.Lock(account); errors.Is(err, errNoAccount) {
			return errNoWebhook
		} else if err != nil {
			return err
		}
		gone, err := tx.Exec(`DELETE FROM webhooks WHERE account = ?1 AND id = ?2 AND `+condition,
			append([]any{account, id}, args...)...)
		if err == nil && gone == 0 {
			err = errNoWebhook
		}
		if err == nil && policies {
			_, err = tx.Exec(`DELETE FROM notification_policies WHERE account = ?1
				AND id IN (SELECT policy FROM notification_targets WHERE webhook = ?2)
				AND NOT EXISTS (SELECT 1 FROM notification_targets t
					WHERE t.policy = notification_policies.id AND t.webhook <> ?2)`, account, id)
		}
		if err == nil {
			_, err = tx.Exec(`DELETE FROM notification_targets WHERE webhook = ?1`, id)
		}
		s.scrubAfter(tx) // of its secrets
		return err
	})
	if err == nil {
		err = s.forgetDeliveries(ctx, account, id)
	}
	if err != nil {
		return fmt.Errorf("deleting a webhook: %w", err)
	}
	return nil
}

// forgetDeliveries deletes what a deleted webhook was told or to be told, some at a time, and the
// events that were for no other.
func (s *Service) forgetDeliveries(ctx context.Context, account, webhook string) error {
	const some = 500
	// Those that wait and those that have ended are in two indexes.
	for _, which := range []string{`due IS NOT NULL`, `due IS NULL`} {
		for {
			rows, err := s.DB.Query(ctx, `SELECT event FROM deliveries
				WHERE webhook = ?1 AND `+which+` LIMIT ?2`, webhook, some)
			if err != nil {
				return fmt.Errorf("reading what a webhook was told: %w", err)
			}
			events, err := sqldb.Collect(rows, sqldb.ScanText)
			if err != nil {
				return fmt.Errorf("reading what a webhook was told: %w", err)
			}
			err = s.changeInReserve(ctx, func(tx *Change) error {
				return forgetDeliveriesOf(tx, account, webhook, events)
			})
			if err != nil {
				return fmt.Errorf("deleting what a webhook was told: %w", err)
			}
			if len(events) < some {
				break
			}
		}
	}
	return nil
}

// forgetDeliveriesOf deletes the deliveries of some events to a webhook. Events of erasures go as
// soon as nobody else is still to be told, others when nobody else was or is to be.
func forgetDeliveriesOf(tx *Change, account, webhook string, events []string) error {
	if len(events) == 0 {
		return nil
	}
	if err := tx.LockExisting(account); err != nil {
		return err
	}
	args := append([]any{webhook}, sqldb.Args(events)...)
	which := ` IN (` + sqldb.Placeholders(2, len(events)) + `)`
	_, err := deleteEvents(tx, `id`+which+` AND NOT EXISTS (SELECT 1 FROM deliveries
		WHERE event = events.id AND webhook <> ?1 AND (events.erasure = 0 OR due IS NOT NULL))`,
		args...)
	if err != nil {
		return err
	}
	deliveries, err := tx.Exec(`DELETE FROM deliveries WHERE webhook = ?1 AND event`+which, args...)
	if err != nil {
		return err
	}
	attempts, err := deleteAttempts(tx, `webhook = ?1 AND event`+which, args...)
	if err != nil {
		return err
	}
	tx.Keep(account, -deliveryBytes*deliveries-attempts)
	return nil
}

// forgetOrphanedDeliveries deletes what is left of webhooks that are deleted: something was written
// for them in that moment, or the server was killed.
func (s *Service) forgetOrphanedDeliveries(ctx context.Context) error {
	rows, err := s.DB.Query(ctx, `SELECT webhook, MIN(account) FROM deliveries WHERE NOT EXISTS
		(SELECT 1 FROM webhooks WHERE id = deliveries.webhook) GROUP BY webhook`)
	if err != nil {
		return fmt.Errorf("looking for deliveries to deleted webhooks: %w", err)
	}
	orphans, err := sqldb.Collect(rows, scanPair)
	if err != nil {
		return fmt.Errorf("looking for deliveries to deleted webhooks: %w", err)
	}
	for _, o := range orphans {
		if err := s.forgetDeliveries(ctx, o[1], o[0]); err != nil {
			return err
		}
	}
	return nil
}

// endStreams deletes streams that nobody asks for: after a week, or after an hour when more events
// wait than are kept for one.
func (s *Service) endStreams(ctx context.Context) error {
	idle, dead := sqldb.Micros(s.Now().Add(-streamIdle)), sqldb.Micros(s.Now().Add(-streamLife))
	rows, err := s.DB.Query(ctx, `SELECT id, account FROM webhooks WHERE `+endedStream(1, 2),
		dead, idle)
	if err != nil {
		return fmt.Errorf("looking for streams that nobody asks for: %w", err)
	}
	streams, err := sqldb.Collect(rows, scanPair)
	if err != nil {
		return fmt.Errorf("looking for streams that nobody asks for: %w", err)
	}
	for _, w := range streams {
		err := s.deleteWebhook(ctx, w[1], w[0], false, endedStream(3, 4), dead, idle)
		if err != nil && errs.AsError(err).Kind != errs.WebhookNotFound { // it was asked for meanwhile
			return err
		}
	}
	return nil
}

// endedStream is the condition of a stream that ends: asked for last before one moment, or before
// another while more than streamBacklog events wait. Its parameters are the numbers of the two.
func endedStream(dead, idle int) string {
	return fmt.Sprintf(`kind = 'stream' AND (seen < ?%d OR seen < ?%d AND (SELECT count(*) FROM
		(SELECT 1 FROM deliveries d WHERE d.webhook = webhooks.id AND d.due IS NOT NULL
		LIMIT %d) AS waiting) > %d)`, dead, idle, streamBacklog+1, streamBacklog)
}

// scanPair scans a row of two texts.
func scanPair(r sqldb.Row) (pair [2]string, err error) {
	err = r.Scan(&pair[0], &pair[1])
	return pair, err
}
