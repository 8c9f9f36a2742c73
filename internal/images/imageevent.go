package images

import (
	"time"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/sqldb"
	"calotype/internal/webhooks"
)

// The events of images and drafts, for package webhooks.

// newEvent returns an event about the present state of an image or draft.
func newEvent(kind webhooks.EventType, img Image) webhooks.Event {
	f := webhooks.Facts{
		ID: img.ID, Custom: img.Custom, Filename: img.Filename, Meta: img.Meta, Creator: img.Creator,
		RequireSigned: img.RequireSignedURLs,
		Created:       sqldb.Micros(img.Created), Uploaded: sqldb.Micros(img.Uploaded),
	}
	if t := img.Ticket; t != nil {
		f.Draft = &webhooks.DraftFacts{Expires: sqldb.Micros(t.Expires), Refusals: t.Refusals,
			Kind: t.LastKind.String(), Message: t.LastMessage, Policy: img.policy}
		if img.isLink() {
			f.Draft.Uses, f.Draft.Used = t.Uses, t.Used
		}
	}
	if o := img.Original; o != nil {
		f.Original = &webhooks.OriginalFacts{Format: o.Header.Format, Width: o.Width, Height: o.Height,
			Frames: o.Header.Frames, Size: o.Size, SHA256: o.SHA256, Thumbhash: o.Thumbhash, Phash: o.Phash,
			Stripped: o.Stripped, Received: o.received}
	}
	return webhooks.Event{Type: kind, Account: img.Account, Image: img.Key, Facts: f}
}

// failed returns the event of a failed upload.
func failed(draft Image, kind errs.Kind, message string, final bool) webhooks.Event {
	e := newEvent(webhooks.UploadFailed, draft)
	e.Facts.Failure = &webhooks.UploadFail{Kind: kind.String(), Message: message,
		Attempt: draft.Ticket.Refusals, Final: final}
	return e
}

// ImageOf returns the image of an event, with its internal Key, the public fields of its Original, and its
// Ticket if it was a draft. For an erasure only Key, Account and ID are set.
func ImageOf(e webhooks.Event) Image {
	f := e.Facts
	img := Image{
		Key: e.Image, Account: e.Account, ID: f.ID, Custom: f.Custom, Filename: f.Filename,
		Meta: f.Meta, Creator: f.Creator, RequireSignedURLs: f.RequireSigned,
		Created: sqldb.FromMicros(f.Created), Uploaded: sqldb.FromMicros(f.Uploaded), Draft: f.Draft != nil,
	}
	if d := f.Draft; d != nil {
		img.policy = d.Policy
		policy, _ := img.UploadPolicy() // this program has written it: it is valid
		img.Ticket = &Ticket{Expires: sqldb.FromMicros(d.Expires), Refusals: d.Refusals,
			Uses: max(d.Uses, 1), Used: d.Used, Policy: policy,
			LastKind: errs.KindNamed(d.Kind), LastMessage: d.Message}
	}
	if o := f.Original; o != nil {
		img.Original = &Original{Width: o.Width, Height: o.Height, Size: o.Size,
			SHA256: o.SHA256, Thumbhash: o.Thumbhash, Phash: o.Phash, Stripped: o.Stripped, received: o.Received,
			Header: imagefile.Header{Format: o.Format, Frames: o.Frames}}
	}
	return img
}

// deletions returns the events of deleted rows. Those of an erasure hold the id only.
func deletions(gone []deletedRow, erasure bool) (events []webhooks.Event) {
	for _, d := range gone {
		e := newEvent(webhooks.ImageDeleted, d.Image)
		if erasure {
			e.Erasure, e.Facts = true, webhooks.Facts{ID: d.ID}
		}
		events = append(events, e)
	}
	return events
}

// expirations returns the events of one-time URLs that have expired unused, or links that are not used up. If an
// upload was refused before and none was accepted, the failure is final now.
func expirations(drafts []Image) (events []webhooks.Event) {
	for _, img := range drafts {
		events = append(events, newEvent(webhooks.DraftExpired, img))
		if n := img.Ticket.Refusals; n > 0 && n < maxRefusals && img.Ticket.Used == 0 {
			events = append(events, failed(img, errs.TicketInvalid,
				"Upload URL expired at "+img.Ticket.Expires.Format(time.RFC3339), true))
		}
	}
	return events
}

// unreleased returns the drafts among deleted rows whose end has no event yet.
func unreleased(gone []deletedRow) (drafts []Image) {
	for _, d := range gone {
		if d.open {
			drafts = append(drafts, d.Image)
		}
	}
	return drafts
}
