package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/text"
	"calotype/internal/webhooks"
)

type imageShow struct {
	StateFlags
	Image   string `arg:"" help:"Id, internal key as in the log, or delivery or upload URL."`
	Account string `help:"Account id; required for an id if there are several." env:"-"`
}

// Run prints the rows of an image or draft, and the webhook messages about it. Of a deleted image only
// the messages are left.
func (c *imageShow) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		account, id, err := c.find(ctx, core)
		if err != nil {
			return err
		}
		img, err := core.Image(ctx, account, id)
		found := err == nil
		if found {
			showImage(os.Stdout, img)
		} else if errs.AsError(err).Kind != errs.ImageNotFound {
			return err
		}
		sent, err := showDeliveries(ctx, os.Stdout, core, account, id)
		if err == nil && !found && !sent {
			err = fmt.Errorf("the account %s has no image or draft %s, and no webhook was sent about one: "+
				"it never was, or was deleted some days ago", account, visible(id))
		}
		return err
	})
}

// find returns the account and the id of the requested image.
func (c *imageShow) find(ctx context.Context, core *images.Service) (account, id string, err error) {
	if strings.Contains(c.Image, "://") {
		hash, id, err := imageOfURL(c.Image)
		if err != nil {
			return "", "", errors.New("the URL must be like https://host/hash/id/variant")
		}
		of, err := core.Accounts.ByHash(ctx, hash)
		return of.ID, id, err
	}
	if text.IsKey(c.Image) {
		img, err := core.ImageByKey(ctx, c.Image)
		if err == nil || errs.AsError(err).Kind != errs.ImageNotFound {
			return img.Account, img.ID, err
		}
	}
	of, err := accountOf(ctx, core, cmp.Or(c.Account, c.AccountID))
	return of.ID, c.Image, err
}

// showImage prints an image or draft, one property a line.
func showImage(w io.Writer, img images.Image) {
	line := func(name, format string, args ...any) {
		showLine(w, "%-10s %s", name, fmt.Sprintf(format, args...))
	}
	line("account", "%s", img.Account)
	line("id", "%s", img.ID)
	line("key", "%s", img.Key)
	line("created", "%s", cfapi.FormatTime(img.Created))
	if t := img.Ticket; t != nil {
		state := "waits for its upload"
		if t.Expires.Before(time.Now()) {
			state = "was not uploaded in time"
		}
		line("draft", "%s, expires %s", state, cfapi.FormatTime(t.Expires))
		line("refusals", "%d", t.Refusals)
		if t.LastMessage != "" {
			line("last", "%s: %s", t.LastKind, t.LastMessage)
		}
	}
	if o := img.Original; o != nil {
		line("uploaded", "%s", cfapi.FormatTime(img.Uploaded))
		line("original", "%s, %d x %d pixels, frames: %d, %d bytes", o.Header.Format, o.Width,
			o.Height, max(o.Header.Frames, 1), o.Size)
		line("sha256", "%s", o.SHA256)
		line("blob", "%s", o.Blob)
	}
	line("private", "%v", img.RequireSignedURLs)
	if img.Filename != nil {
		line("filename", "%s", *img.Filename)
	}
	if img.Creator != nil {
		line("creator", "%s", *img.Creator)
	}
	if len(img.Meta) > 0 {
		line("metadata", "%s", img.Meta)
	}
}

// shownAttempts limits the printed attempts.
const shownAttempts = 100

// showDeliveries prints the webhook messages about an image, newest first, and the pending deliveries.
func showDeliveries(ctx context.Context, w io.Writer, core *images.Service, account, id string,
) (any bool, err error) {
	waiting, err := core.Webhooks.Unattempted(ctx, account, id)
	if err != nil {
		return false, err
	}
	entries, total, err := core.Webhooks.History(ctx, account,
		webhooks.HistoryQuery{ImageID: id, Most: shownAttempts})
	if err != nil {
		return false, err
	}
	if len(waiting)+len(entries) > 0 {
		showLine(w, "webhooks:")
	}
	for _, h := range waiting {
		showLine(w, "  %s %s to %q waits; next %s", h.Delivery.Event.At.Format(time.RFC3339),
			h.Delivery.Event.Type, h.Delivery.Webhook.Name, h.Next.Format(time.RFC3339))
	}
	for _, e := range entries {
		showLine(w, "  %s", historyLine(e))
	}
	if total > len(entries) {
		showLine(w, "  %d more are older", total-len(entries))
	}
	return len(waiting)+len(entries) > 0, nil
}
