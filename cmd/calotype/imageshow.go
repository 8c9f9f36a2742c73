package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"calotype/internal/apiclient"
	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/manage"
	"calotype/internal/terminal"
	"calotype/internal/text"
	"calotype/internal/webhooks"
)

type imageShow struct {
	Target
	terminal.Output
	Image string `arg:"" help:"Id, internal key as in the log, or delivery or upload URL."`
}

// Help returns the text of --help below the usage.
func (imageShow) Help() string {
	return `Beside a data folder it also shows the internal key, the blob, and the webhook messages about the image.
Of a deleted image only these are left.

  calotype image show 83eb7b2-5392-4565-b69e-aff66acddd00 --json`
}

// A shownImage is the JSON of show. What a data folder has in addition is absent for a server.
type shownImage struct {
	*manage.Image        // nil of a deleted image
	Account       string `json:"account,omitempty"`
	Key           string `json:"key,omitempty"`
	Blob          string `json:"blob,omitempty"`

	Webhooks []attemptItem `json:"webhooks,omitempty"` // the newest first
}

// Run prints an image or draft.
func (c *imageShow) Run(ctx context.Context) error {
	from, err := c.source()
	if err != nil {
		return err
	}
	if from.remote == nil {
		return c.showLocal(ctx)
	}
	id := c.Image
	if strings.Contains(id, "://") {
		if _, id, err = imageOfURL(id); err != nil {
			return errImageURL
		}
	}
	return c.withClient(ctx, false, func(client *apiclient.Client) error {
		img, err := manage.Show(ctx, client, id)
		if err != nil {
			return err
		}
		return c.Print(os.Stdout, img, img.Print)
	})
}

var errImageURL = usagef("the URL must be like https://host/hash/id/variant")

// showLocal prints the rows of an image or draft, and the webhook messages about it. Of a deleted image only
// the messages are left.
func (c *imageShow) showLocal(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		account, id, err := c.find(ctx, core)
		if err != nil {
			return err
		}
		img, err := core.Image(ctx, account, id)
		found := err == nil
		if !found && errs.AsError(err).Kind != errs.ImageNotFound {
			return err
		}
		sent, err := readDeliveries(ctx, core, account, id)
		if err != nil {
			return err
		}
		if !found && len(sent.waiting)+len(sent.entries) == 0 {
			return fmt.Errorf("the account %s has no image or draft %s, and no webhook was sent about one: "+
				"it never was, or was deleted some days ago", account, terminal.Visible(id))
		}
		shown := shownImage{Account: account, Webhooks: sent.items()}
		if found {
			if shown.Image, err = c.json(img); err != nil {
				return err
			}
			shown.Key = img.Key
			if img.Original != nil {
				shown.Blob = img.Original.Blob
			}
		}
		return c.Print(os.Stdout, shown, func(w io.Writer) {
			if found {
				showImage(w, img)
			}
			sent.show(w)
		})
	})
}

// json returns an image as the API would return it, in the JSON of commands, without delivery URLs: the rows do not
// have the address of a server.
func (c *imageShow) json(img images.Image) (*manage.Image, error) {
	text, err := json.Marshal(cfapi.OwnerImage(img, nil))
	if err != nil {
		return nil, fmt.Errorf("encoding the image: %w", err)
	}
	var wire apiclient.Image
	if err := json.Unmarshal(text, &wire); err != nil {
		return nil, fmt.Errorf("encoding the image: %w", err)
	}
	return new(manage.NewImage(wire, time.Now())), nil
}

// find returns the account and the id of the requested image.
func (c *imageShow) find(ctx context.Context, core *images.Service) (account, id string, err error) {
	if strings.Contains(c.Image, "://") {
		hash, id, err := imageOfURL(c.Image)
		if err != nil {
			return "", "", errImageURL
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
	of, err := accountOf(ctx, core, c.AccountID)
	return of.ID, c.Image, err
}

// showImage prints an image or draft, one property a line.
func showImage(w io.Writer, img images.Image) {
	line := func(name, format string, args ...any) {
		terminal.ShowLine(w, "%-10s %s", name, fmt.Sprintf(format, args...))
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
		if received := o.ReceivedSHA256(); received != o.SHA256 {
			line("removed", "%s", strings.Join(o.Stripped, ", "))
			line("received", "%s", received)
		}
		line("phash", "%s", o.Phash)
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

// The deliveries are the webhook messages about an image: the pending ones, and the attempts, newest first.
type deliveries struct {
	waiting []webhooks.HistoryEntry
	entries []webhooks.HistoryEntry
	total   int // of entries
}

func readDeliveries(ctx context.Context, core *images.Service, account, id string) (d deliveries, err error) {
	if d.waiting, err = core.Webhooks.Unattempted(ctx, account, id); err != nil {
		return d, err
	}
	d.entries, d.total, err = core.Webhooks.History(ctx, account,
		webhooks.HistoryQuery{ImageID: id, Most: shownAttempts})
	return d, err
}

// show prints the messages for people.
func (d deliveries) show(w io.Writer) {
	if len(d.waiting)+len(d.entries) > 0 {
		terminal.ShowLine(w, "webhooks:")
	}
	for _, h := range d.waiting {
		terminal.ShowLine(w, "  %s %s to %q waits; next %s", h.Delivery.Event.At.Format(time.RFC3339),
			h.Delivery.Event.Type, h.Delivery.Webhook.Name, h.Next.Format(time.RFC3339))
	}
	for _, e := range d.entries {
		terminal.ShowLine(w, "  %s", historyLine(e))
	}
	if d.total > len(d.entries) {
		terminal.ShowLine(w, "  %d more are older", d.total-len(d.entries))
	}
}

// items returns the JSON of the messages: a pending one is an attempt 0.
func (d deliveries) items() (all []attemptItem) {
	for _, e := range slices.Concat(d.waiting, d.entries) {
		all = append(all, newAttemptItem(e))
	}
	return all
}
