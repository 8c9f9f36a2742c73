package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/lookalikes"
	"calotype/internal/partials"
	"calotype/internal/render"
	"calotype/internal/sqldb"
	"calotype/internal/trace"
	"calotype/internal/uploadpolicy"
	"calotype/internal/webhooks"
)

// redeem uses the ticket, and sets u.variants in the same transaction, because after its commit no step may fail.
// If another request with the same Idempotency-Key and the same bytes was first, redeem returns that image.
func (u *Upload) redeem(
	ctx context.Context, o *Original, filename string,
) (img Image, err error) {
	began := time.Now()
	for range redeemAttempts {
		if img, err = u.commit(ctx, o, filename); !errors.Is(err, errLinkChanged) {
			break
		}
	}
	u.s.config.Timer.Since(render.Uploads, StageCommit, began)
	trace.Record(ctx, StageCommit, began, err)
	switch {
	case errors.Is(err, errRepeated), errors.Is(err, errLinkChanged), err == nil && img.Key == "":
		return u.whyNotRedeemed(ctx, o.ReceivedSHA256())
	case err != nil:
		return img, fmt.Errorf("redeeming a ticket: %w", err)
	case !u.draft.isLink(), u.draft.Ticket.usedUp():
		u.s.bodies.End(u.draft.Key)
	}
	return img, nil
}

// redeemAttempts bounds the transactions of one upload to a link whose creator is changed concurrently.
const redeemAttempts = 3

// commit uses the ticket in one transaction. It returns the image, or none if the ticket is not valid.
func (u *Upload) commit(ctx context.Context, o *Original, filename string) (img Image, err error) {
	err = u.s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		var c accounts.Charge
		if u.draft.isLink() {
			img, c, err = u.useLink(tx, o, filename)
		} else {
			img, c, err = redeemTicket(tx, imageOfUpload(u.draft, o, filename, u.s.now()), u.idempotencyHash, u.began)
		}
		if err != nil || img.Key == "" {
			return err
		}
		names, err := variantNames(tx, img.Account)
		if err != nil {
			return err
		}
		u.variants = append([]string{}, names...)
		uploaded := newEvent(webhooks.UploadSucceeded, img)
		uploaded.Facts.Variants = names
		if img.Link != "" {
			uploaded.Facts.DraftID = u.draft.ID
		}
		uploaded.Repeat = u.draft.ticketPolicy().Test == uploadpolicy.TestWebhookTwice
		if err := u.s.Webhooks.Record(tx, uploaded); err != nil {
			return err
		}
		tx.Charge(img.Account, c)
		u.s.uploaded(tx, img)
		tx.Check(func() error { return lookalikes.Refuse(tx, img.Account, img.Original.picture()) })
		return u.endPartials(tx, img)
	})
	return img, err
}

// endPartials ends the resumable uploads of the draft, except those of a link that is not used up. If one of them has
// the bytes of img, it ends, and its row names img, so that a client that lost the answer finds it there. Error:
// partials.ErrEnded if that one has ended.
func (u *Upload) endPartials(tx *accounts.Change, img Image) error {
	e := partials.Ending{Draft: u.draft.Key, Account: img.Account, Accepted: u.partial, Result: img.Key}
	if u.partial != "" {
		e.Length = u.body.Size()
	}
	if !u.draft.isLink() || u.draft.Ticket.usedUp() {
		used := errs.AsError(errUsed())
		e.Kind, e.Message = used.Kind, used.Msg
	} else if u.partial == "" {
		return nil
	}
	return u.s.Partials.EndAll(tx, e)
}

// endOtherPartials ends the resumable uploads of a draft whose ticket is refused too often, except the refused one.
func (u *Upload) endOtherPartials(tx *accounts.Change) error {
	dead := errs.AsError(refusedTooOften())
	return u.s.Partials.EndAll(tx, partials.Ending{Draft: u.draft.Key, Account: u.draft.Account, Except: u.partial,
		Kind: dead.Kind, Message: dead.Msg})
}

// imageOfUpload returns the image that a draft becomes by an upload at a time.
func imageOfUpload(draft Image, o *Original, filename string, at time.Time) Image {
	draft.Draft, draft.Ticket, draft.Uploaded = false, nil, sqldb.FromMicros(sqldb.Micros(at))
	draft.Filename, draft.Original = &filename, o
	return draft
}

// redeemTicket has the only statement that turns a draft into an image: it changes one row or none. The ticket must be
// valid at began. It returns the image of the row, since an edit may have changed the draft, or none, and the charge of
// an image instead of the draft's reservation.
func redeemTicket(
	tx *accounts.Change, img Image, idempotencyHash string, began time.Time,
) (redeemed Image, c accounts.Charge, err error) {
	var open bool
	var reserved int64
	o := img.Original
	hash, err := lookalikes.Column(o.Phash)
	if err != nil {
		return Image{}, c, err
	}
	redeemed, err = scanImageAnd(tx.QueryRow(`UPDATE images SET draft = 0, uploaded = ?2, filename = ?3,
		claimed_by = ?4, blob = ?5, format = ?6, stored_width = ?7, stored_height = ?8,
		max_pixels = ?9, scans = ?10, orientation = ?11, frames = ?12, alpha = ?13, size = ?14,
		sha256 = ?15, thumbhash = ?16, stripped = ?19, received_sha256 = ?20, phash = ?21
		WHERE key = ?1 AND draft = 1 AND expires >= ?17 AND refusals < ?18
		RETURNING `+imageColumns+`, open, reserved`,
		img.Key, sqldb.Micros(img.Uploaded), *img.Filename, sqldb.NullText(idempotencyHash),
		o.Blob, string(o.Header.Format),
		o.Header.Width, o.Header.Height, o.Header.MaxPixels, o.Header.Scans,
		o.Header.Orientation, o.Header.Frames, sqldb.BoolInt(o.Alpha), o.Size, o.SHA256,
		o.Thumbhash, sqldb.Micros(began), maxRefusals, o.strippedText(), sqldb.NullText(o.received),
		hash), &open, &reserved)
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
	return redeemed, c, insertMeta(tx, img.Key)
}

// cleanUpTime bounds cleanUp.
const cleanUpTime = 30 * time.Second

// cleanUp deletes the stored original o after a commit with the result img, err, unless a row names it or may
// name it. It returns the result of the upload.
func (s *Service) cleanUp(ctx context.Context, img Image, o *Original, err error) (Image, error) {
	// The time for finishing may be over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
	defer cancel()
	if errors.Is(err, sqldb.ErrCommitUnknown) {
		now, reading := s.imageOfKey(ctx, img.Key)
		if reading == nil && now.Original != nil && now.Original.Blob == o.Blob {
			return now, nil // the commit took place
		}
		return Image{}, err // the sweep deletes an orphan
	}
	if err != nil || img.Original.Blob != o.Blob {
		if deleting := s.blobs.Delete(ctx, o.Blob); deleting != nil {
			s.log.Warn("an original without a row is left to the sweep", "blob", o.Blob, "err", deleting)
		}
	}
	if err != nil {
		return Image{}, err
	}
	return img, nil
}

// whyNotRedeemed returns the reason why redeemTicket changed no row, or would change none; or the image if this
// request repeats the winner's.
func (u *Upload) whyNotRedeemed(ctx context.Context, sum string) (Image, error) {
	img, err := u.s.imageOfKey(ctx, u.draft.Key)
	if errors.Is(err, sql.ErrNoRows) {
		return Image{}, errCancelled()
	}
	if err != nil {
		return Image{}, fmt.Errorf("reading why a ticket was not redeemed: %w", err)
	}
	err = u.checkRepeat(ctx, img)
	switch {
	case err != nil:
		return Image{}, err
	case u.repeat:
		return u.replay(u.repeated, sum)
	case img.isLink():
		return Image{}, errs.AtCapacity("The one-time URL was changed during the upload", errLinkChanged)
	}
	return Image{}, errors.New("a valid ticket was not redeemed")
}

func errCancelled() error {
	return errs.Errorf(errs.TicketUnknown, "Upload URL not found: it was cancelled or replaced")
}
