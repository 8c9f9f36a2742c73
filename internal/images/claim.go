package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/render"
	"calotype/internal/sqldb"
	"calotype/internal/webhooks"
)

// claim uses the ticket. If another request with the same Idempotency-Key and the same bytes was first,
// it returns that image.
func (u *Upload) claim(ctx context.Context, o *Original, filename string) (img Image, err error) {
	var claimed bool
	began := time.Now()
	err = u.s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		won, c, err := claimRow(tx, claimedImage(u.draft, o, filename, u.s.now()), u.idempotencyHash, u.began)
		img, claimed = won, won.Key != ""
		if err != nil || !claimed {
			return err
		}
		if err := u.s.Webhooks.Record(tx, newEvent(webhooks.UploadSucceeded, img)); err != nil {
			return err
		}
		tx.Charge(img.Account, c)
		return nil
	})
	u.s.config.Timer.Since(render.Uploads, StageCommit, began)
	if err != nil {
		return img, fmt.Errorf("claiming a ticket: %w", err)
	}
	if !claimed {
		return u.explainLostClaim(ctx, o.SHA256)
	}
	u.s.bodies.end(u.draft.Key)
	return img, nil
}

// claimedImage returns the image that a draft becomes by an upload at a time.
func claimedImage(draft Image, o *Original, filename string, at time.Time) Image {
	draft.Draft, draft.Ticket, draft.Uploaded = false, nil, sqldb.FromMicros(sqldb.Micros(at))
	draft.Filename, draft.Original = &filename, o
	return draft
}

// claimRow has the only statement that uses a ticket: it changes one row or none. The ticket must be valid at
// began. It returns the image of the row, since an edit may have changed the draft, or none, and the charge of an
// image instead of the draft's reservation.
func claimRow(
	tx *accounts.Change, img Image, idempotencyHash string, began time.Time,
) (claimed Image, c accounts.Charge, err error) {
	var claimedBy any
	if idempotencyHash != "" {
		claimedBy = idempotencyHash
	}
	var open bool
	var reserved int64
	o := img.Original
	claimed, err = scanImageAnd(tx.QueryRow(`UPDATE images SET draft = 0, uploaded = ?2, filename = ?3,
		claimed_by = ?4, blob = ?5, format = ?6, stored_width = ?7, stored_height = ?8,
		max_pixels = ?9, scans = ?10, orientation = ?11, frames = ?12, alpha = ?13, size = ?14,
		sha256 = ?15, thumbhash = ?16
		WHERE key = ?1 AND draft = 1 AND expires >= ?17 AND refusals < ?18
		RETURNING `+imageColumns+`, open, reserved`,
		img.Key, sqldb.Micros(img.Uploaded), *img.Filename, claimedBy, o.Blob, string(o.Header.Format),
		o.Header.Width, o.Header.Height, o.Header.MaxPixels, o.Header.Scans,
		o.Header.Orientation, o.Header.Frames, sqldb.BoolInt(o.Alpha), o.Size, o.SHA256,
		o.Thumbhash, sqldb.Micros(began), maxRefusals), &open, &reserved)
	if errors.Is(err, sql.ErrNoRows) {
		return Image{}, c, nil
	}
	if err != nil {
		return Image{}, c, err
	}
	c = accounts.Charge{Images: 1, Bytes: o.Size}
	if open {
		c = accounts.Charge{Images: 1, Drafts: -1, Bytes: o.Size - reserved}
	}
	return claimed, c, insertMeta(tx, img.Key)
}

// explainLostClaim returns the reason why a claim changed no row, or would change none; or the image if this
// request repeats the winner's.
func (u *Upload) explainLostClaim(ctx context.Context, sum string) (Image, error) {
	img, err := u.s.imageOfKey(ctx, u.draft.Key)
	if errors.Is(err, sql.ErrNoRows) {
		return Image{}, errCancelled()
	}
	if err != nil {
		return Image{}, fmt.Errorf("reading why a claim was lost: %w", err)
	}
	if err = u.checkTicket(img); errs.AsError(err).Kind == errs.TicketUsed {
		repeat, err := u.mayRepeat(ctx, img)
		if err != nil {
			return Image{}, err
		}
		if repeat {
			return u.replay(img, sum)
		}
	}
	if err == nil {
		err = errors.New("a claim of a ticket that is alive changed no row")
	}
	return Image{}, err
}

func errCancelled() error {
	return errs.Errorf(errs.TicketUnknown, "Upload URL not found: it was cancelled or replaced")
}
