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
)

// claim uses the ticket. If another request with the same Idempotency-Key and the same bytes was first,
// it returns that image.
func (u *Upload) claim(ctx context.Context, o *Original, filename string) (Image, error) {
	img := u.claimed(o, filename)
	var claimed bool
	began := time.Now()
	err := u.s.Accounts.Change(ctx, func(tx *accounts.Change) (err error) {
		img = u.claimed(o, filename)
		var c accounts.Charge
		if c, claimed, err = u.claimRow(tx, img); err != nil || !claimed {
			return err
		}
		// An edit may have changed the draft since the upload began.
		if img, err = scanImage(tx.QueryRow(selectImage+` WHERE key = ?1`, img.Key)); err != nil {
			return err
		}
		if err := insertMeta(tx, img.Key); err != nil {
			return err
		}
		if err := u.s.record(tx, img.Account, Event{Type: UploadSucceeded, Image: img}); err != nil {
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
		return u.lost(ctx, o.SHA256)
	}
	u.s.bodies.end(u.draft.Key)
	return img, nil
}

// claimed returns the image that the draft becomes.
func (u *Upload) claimed(o *Original, filename string) Image {
	img := u.draft
	img.Draft, img.Ticket, img.Uploaded = false, nil, sqldb.FromMicros(sqldb.Micros(u.s.now()))
	img.Filename, img.Original = &filename, o
	return img
}

// claimRow is the only statement that uses a ticket: it changes one row or none. Then the account
// is charged for an image instead of the draft's reservation.
func (u *Upload) claimRow(tx *accounts.Change, img Image) (c accounts.Charge, claimed bool, err error) {
	var claimer any
	if u.claimer != "" {
		claimer = u.claimer
	}
	var open bool
	var reserved int64
	o := img.Original
	err = tx.QueryRow(`UPDATE images SET draft = 0, uploaded = ?2, filename = ?3,
		claimed_by = ?4, blob = ?5, format = ?6, stored_width = ?7, stored_height = ?8,
		max_pixels = ?9, scans = ?10, orientation = ?11, frames = ?12, alpha = ?13, size = ?14,
		sha256 = ?15, thumbhash = ?16
		WHERE key = ?1 AND draft = 1 AND expires >= ?17 AND refusals < ?18
		RETURNING open, reserved`,
		img.Key, sqldb.Micros(img.Uploaded), *img.Filename, claimer, o.Blob, string(o.Header.Format),
		o.Header.Width, o.Header.Height, o.Header.MaxPixels, o.Header.Scans,
		o.Header.Orientation, o.Header.Frames, sqldb.BoolInt(o.Alpha), o.Size, o.SHA256,
		o.Thumbhash, sqldb.Micros(u.began), maxRefusals).Scan(&open, &reserved)
	if errors.Is(err, sql.ErrNoRows) {
		return c, false, nil
	}
	if err != nil {
		return c, false, err
	}
	c = accounts.Charge{Images: 1, Bytes: o.Size}
	if open {
		c = accounts.Charge{Images: 1, Drafts: -1, Bytes: o.Size - reserved}
	}
	return c, true, nil
}

// lost says why a claim changed no row, or would change none.
func (u *Upload) lost(ctx context.Context, sum string) (Image, error) {
	img, err := u.s.imageOfKey(ctx, u.draft.Key)
	if errors.Is(err, sql.ErrNoRows) {
		return Image{}, errCancelled()
	}
	if err != nil {
		return Image{}, fmt.Errorf("reading why a claim was lost: %w", err)
	}
	if err = u.state(img); errs.AsError(err).Kind == errs.TicketUsed {
		repeat, err := u.mayRepeat(ctx, img)
		if err != nil {
			return Image{}, err
		}
		if repeat {
			return u.again(img, sum)
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
