package webhooks

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// This file creates webhooks together with the policy that subscribes them.

// Add creates a webhook as Create does, and a policy of the same name for it, in one transaction. Errors: those of
// Create.
func (s *Service) Add(
	ctx context.Context, account string, c WebhookChange, test Test,
) (Webhook, error) {
	return s.create(ctx, account, c, test, true)
}

// subscribe inserts a policy for one webhook. The account must be locked.
func subscribe(tx *accounts.Change, w Webhook) error {
	p := Policy{
		ID: text.NewHexID(), Account: w.Account, Name: w.Name, Enabled: true,
		Webhooks: []string{w.ID}, Created: w.Created, Modified: w.Created,
	}
	return p.insert(tx)
}

// Ensure creates the webhook of the server's configuration with its policy, both with this name. If the webhook
// exists, Ensure updates its URL, secret, events and signing key, and made is false. key is a signing key as in
// Webhook.SigningKeys; "" means a random key for a new webhook, and the present key for an existing one. After a
// change of the key the previous key signs too for a day. A change of the URL ends a pause. Ensure sends no test
// event, because the receiver may start later. Errors: Invalid, LimitReached, AccountUnknown.
//
// The id of the webhook is a hash of the account and the name, and Ensure locks the account: concurrent nodes
// create one webhook. A client's webhook of the same name has another id and is not changed.
func (s *Service) Ensure(
	ctx context.Context, account, name string, c WebhookChange, key string,
) (w Webhook, made bool, err error) {
	if c.Secret == nil {
		c.Secret = new(string)
	}
	id := text.Hash("webhook\x00" + account + "\x00" + name)[:32]
	err = s.accounts.Change(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		there := func() (Webhook, error) {
			return scanWebhook(tx.QueryRow(selectWebhook+` WHERE id = ?1`, id), s.now())
		}
		w, err = there()
		if made = errors.Is(err, sql.ErrNoRows); made {
			c.Name = &name
			if w, err = s.newWebhook(ctx, account, c, nil); err == nil {
				w.ID, w.SigningKeys[0] = id, cmp.Or(key, w.SigningKeys[0])
				err = w.insert(tx)
			}
		} else if err == nil {
			err = s.configureWebhook(tx, w, c, cmp.Or(key, w.SigningKeys[0]))
		}
		if err != nil {
			return err
		}
		if w, err = there(); err != nil {
			return err
		}
		subscribed, err := sqldb.Exists(tx, `notification_targets WHERE webhook = ?1`, id)
		if err == nil && !subscribed {
			err = subscribe(tx, w)
		}
		return err
	})
	if err != nil {
		return Webhook{}, false, fmt.Errorf("setting up the webhook %s: %w", name, err)
	}
	return w, made, nil
}

// configureWebhook updates an existing webhook for Ensure.
func (s *Service) configureWebhook(tx *accounts.Change, w Webhook, c WebhookChange, key string) error {
	if err := w.change(c); err != nil {
		return err
	}
	_, err := tx.Exec(`UPDATE webhooks SET url = ?2, secret = ?3, events = ?4, signing_key = ?5,
		previous_key = CASE WHEN signing_key = ?5 THEN previous_key ELSE signing_key END,
		previous_until = CASE WHEN signing_key = ?5 THEN previous_until ELSE CAST(?6 AS BIGINT) END,
		paused = CASE WHEN url = ?2 THEN paused END,
		pause_reason = CASE WHEN url = ?2 THEN pause_reason ELSE '' END,
		failing_since = CASE WHEN url = ?2 THEN failing_since END
		WHERE id = ?1`,
		w.ID, w.URL, w.Secret, joinEvents(w.Events), key, sqldb.Micros(s.now().Add(keyOverlap)))
	return err
}
