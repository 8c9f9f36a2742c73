package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/notify"
	"calotype/internal/outbound"
	"calotype/internal/webhooks"
)

const (
	// bootstrapWebhook is the name of the webhook that -webhook-url configures.
	bootstrapWebhook = "env"
	// webhookSecretFile holds its generated signing secret if there is no terminal.
	webhookSecretFile = "webhook-signing-secret"
)

// checkWebhook refuses flags of a webhook that could not work.
func (c *serveCommand) checkWebhook() error {
	if c.WebhookURL == "" {
		if c.WebhookSecret != "" || c.WebhookSigningSecret != "" {
			return errors.New("-webhook-secret and -webhook-signing-secret need the flag " +
				"-webhook-url")
		}
		return nil
	}
	if _, ok := notify.SigningKey(c.WebhookSigningSecret); !ok && c.WebhookSigningSecret != "" {
		return errors.New("-webhook-signing-secret is not valid: it should be " +
			notify.SigningSecretForm)
	}
	allow, err := outbound.ParseNetworks(c.OutboundAllow)
	if err != nil {
		return err
	}
	err = outbound.Check(outbound.Config{Allow: allow}, c.WebhookURL)
	if refused := new(outbound.Error); errors.As(err, &refused) {
		return fmt.Errorf("-webhook-url can never be reached: %s", refused.Reason)
	}
	return err
}

// ensureWebhook creates or updates the webhook of -webhook-url.
func (c *serveCommand) ensureWebhook(ctx context.Context, core *images.Service,
	account accounts.Account, log *slog.Logger) error {
	if c.WebhookURL == "" {
		return nil
	}
	key, _ := notify.SigningKey(c.WebhookSigningSecret)
	w, made, err := core.Webhooks.Ensure(ctx, account.ID, bootstrapWebhook,
		webhooks.WebhookChange{URL: &c.WebhookURL, Secret: &c.WebhookSecret}, key)
	if err != nil {
		return fmt.Errorf("-webhook-url: %w", err)
	}
	log.Info("webhook of -webhook-url", "webhook", w.ID, "account", account.ID, "new", made)
	path := filepath.Join(c.Data, webhookSecretFile)
	secret := notify.SigningSecret(w.SigningKeys[0])
	switch {
	case key != "":
		// An earlier, generated secret no longer signs, or only for a day.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the webhook's old signing secret: %w", err)
		}
	case !isTerminal(os.Stdout):
		return keepWebhookSecret(path, secret, log)
	case made:
		fmt.Printf("The webhook of -webhook-url is new\n  signing secret  %s  (shown once)\n", secret)
	}
	return nil
}

// keepWebhookSecret writes the secret to a file that only its owner can read, unless the file has it. Each
// node writes the file.
func keepWebhookSecret(path, secret string, log *slog.Logger) error {
	content := []byte(secret + "\n")
	there, err := os.ReadFile(path)
	if err == nil && bytes.Equal(there, content) {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("writing the webhook's signing secret: %w", err)
	}
	log.Info("the signing secret of the webhook was written to a file", "path", path)
	return nil
}
