package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// AccountTables are the tables of this package with a column account, in the order in which the deletion of an
// account deletes their rows. Deliveries come before attempts, because a writer of an attempt has locked its
// delivery.
var AccountTables = []string{"events", "deliveries", "delivery_attempts", "notification_targets",
	"notification_policies", "webhooks"}

// A stream without claims is deleted after streamLife, or after streamIdle if it has more than streamBacklog
// pending deliveries.
const (
	streamLife    = 7 * 24 * time.Hour
	streamIdle    = time.Hour
	streamBacklog = 10_000
)

// Delete deletes a webhook or a stream, with its deliveries. Error: WebhookNotFound.
func (s *Service) Delete(ctx context.Context, account, id string) error {
	return s.delete(ctx, account, id, false, `1 = 1`)
}

// Remove deletes a webhook or a stream as Delete does, and the policies without another webhook. Error:
// WebhookNotFound.
func (s *Service) Remove(ctx context.Context, account, id string) error {
	return s.delete(ctx, account, id, true, `1 = 1`)
}

// delete deletes a webhook or stream that meets a condition, and then its deliveries. If policies is true, it also
// deletes the policies without another webhook. Error: WebhookNotFound.
func (s *Service) delete(
	ctx context.Context, account, id string, policies bool, condition string, args ...any,
) error {
	if !text.IsPlain(id) {
		return errNoWebhook
	}
	err := s.accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		// The lock prevents that a concurrent transaction adds the webhook to a policy.
		if err := tx.Lock(account); errors.Is(err, accounts.ErrNotFound) {
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
		tx.Scrub() // the deleted row has secrets
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

// forgetDeliveries deletes the deliveries of a deleted webhook, in several transactions, and the events
// without other deliveries.
func (s *Service) forgetDeliveries(ctx context.Context, account, webhook string) error {
	// Pending and ended deliveries are in two indexes.
	for _, which := range []string{`due IS NOT NULL`, `due IS NULL`} {
		_, err := s.accounts.ChangeInSteps(ctx, func(tx *accounts.Change) (int, error) {
			events, err := sqldb.Select(tx, sqldb.ScanOne[string], `SELECT event FROM deliveries
				WHERE webhook = ?1 AND `+which+` LIMIT 500`, webhook)
			if err != nil || len(events) == 0 {
				return 0, err
			}
			tx.Scrub() // the deleted attempts have answers of the receiver
			return len(events), forgetDeliveriesOf(tx, account, webhook, events)
		})
		if err != nil {
			return fmt.Errorf("deleting a webhook's deliveries: %w", err)
		}
	}
	return nil
}

// forgetDeliveriesOf deletes the deliveries of the given events to a webhook, with their attempts. It also deletes
// the events that no other delivery needs: of an erasure without another pending delivery, else without another
// delivery.
func forgetDeliveriesOf(tx *accounts.Change, account, webhook string, events []string) error {
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
	tx.CountKept(account, -accounts.DeliveryBytes*deliveries-attempts)
	return nil
}

// forgetOrphanedDeliveries deletes the remaining deliveries of deleted webhooks. They remain if a transaction wrote
// them concurrently with the deletion, or if the server was killed.
func (s *Service) forgetOrphanedDeliveries(ctx context.Context) error {
	accountOf, err := sqldb.SelectMap[string, string](s.db.Reader(ctx), `SELECT webhook, MIN(account)
		FROM deliveries WHERE NOT EXISTS (SELECT 1 FROM webhooks WHERE id = deliveries.webhook) GROUP BY webhook`)
	if err != nil {
		return fmt.Errorf("looking for deliveries to deleted webhooks: %w", err)
	}
	for webhook, account := range accountOf {
		if err := s.forgetDeliveries(ctx, account, webhook); err != nil {
			return err
		}
	}
	return nil
}

// EndStreams deletes the streams without claims: after streamLife, or after streamIdle if a stream has more than
// streamBacklog pending deliveries.
func (s *Service) EndStreams(ctx context.Context) error {
	idle, dead := sqldb.Micros(s.now().Add(-streamIdle)), sqldb.Micros(s.now().Add(-streamLife))
	accountOf, err := sqldb.SelectMap[string, string](s.db.Reader(ctx),
		`SELECT id, account FROM webhooks WHERE `+endedStream(1, 2), dead, idle)
	if err != nil {
		return fmt.Errorf("looking for streams without claims: %w", err)
	}
	for stream, account := range accountOf {
		err := s.delete(ctx, account, stream, false, endedStream(3, 4), dead, idle)
		if err != nil && errs.AsError(err).Kind != errs.WebhookNotFound { // it was claimed concurrently
			return err
		}
	}
	return nil
}

// endedStream returns SQL for the condition that a stream is deleted. dead and idle are the numbers of two
// parameters: the time before which the last claim must be in any case, and the time before which it must be if
// more than streamBacklog deliveries are pending.
func endedStream(dead, idle int) string {
	return fmt.Sprintf(`kind = 'stream' AND (seen < ?%d OR seen < ?%d AND (SELECT count(*) FROM
		(SELECT 1 FROM deliveries d WHERE d.webhook = webhooks.id AND d.due IS NOT NULL
		LIMIT %d) AS waiting) > %d)`, dead, idle, streamBacklog+1, streamBacklog)
}
