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

	"calotype/internal/images"
	"calotype/internal/notify"
	"calotype/internal/outbound"
)

const (
	// bootstrapWebhook is the name of the webhook that -webhook-url configures.
	bootstrapWebhook = "env"
	// webhookSecretFile holds the signing secret that was made for it, where no terminal is.
	webhookSecretFile = "webhook-signing-secret"
)

// checkWebhook refuses flags about a webhook that could not work.
func (c *serveCommand) checkWebhook() error {
	if c.WebhookURL == "" {
		if c.WebhookSecret != "" || c.WebhookSigningSecret != "" {
			return errors.New("-webhook-secret and -webhook-signing-secret are of the webhook that " +
				"-webhook-url names, which is not given")
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

// ensureWebhook makes the webhook of -webhook-url, or brings it up to date.
func (c *serveCommand) ensureWebhook(ctx context.Context, core *images.Service,
	account images.Account, log *slog.Logger) error {
	if c.WebhookURL == "" {
		return nil
	}
	key, _ := notify.SigningKey(c.WebhookSigningSecret)
	w, made, err := core.EnsureWebhook(ctx, account.ID, bootstrapWebhook,
		images.WebhookChange{URL: &c.WebhookURL, Secret: &c.WebhookSecret}, key)
	if err != nil {
		return fmt.Errorf("-webhook-url: %w", err)
	}
	log.Info("a webhook is told of uploads", "webhook", w.ID, "account", account.ID, "new", made)
	path := filepath.Join(c.Data, webhookSecretFile)
	secret := notify.SigningSecret(w.SigningKeys[0])
	switch {
	case key != "":
		// One that was made before signs no more, or not for long.
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

// keepWebhookSecret writes the secret to a file that nobody else may read, unless it is there. On
// several nodes each has it.
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
		return fmt.Errorf("keeping the webhook's signing secret: %w", err)
	}
	log.Info("the signing secret of the webhook was written to a file", "path", path)
	return nil
}
