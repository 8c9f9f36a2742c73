package images

import (
	"context"
	"errors"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/fields"
	"calotype/internal/lookalikes"
	"calotype/internal/render"
	"calotype/internal/trace"
)

// An UploadedImage is an image with the account's parts of its delivery URLs.
type UploadedImage struct {
	Image
	URLParts
	Receipt string // of an upload by a one-time URL: package receipts; "" of any other upload
}

// Create makes an image of the complete body, under the rules of drafts but without a ticket. Errors:
// Invalid, InvalidID, Exists; Unsupported, Undecodable, OverLimits, Blocked; LimitReached, AccountSuspended;
// Busy.
func (b *Body) Create(ctx context.Context, filename string, d NewDraft) (UploadedImage, error) {
	ctx, cancel := b.complete(ctx)
	defer cancel()
	draft, err := b.s.newDraft(ctx, b.account, d)
	if err != nil {
		return UploadedImage{}, err
	}
	account, err := b.s.Accounts.ByID(ctx, b.account)
	if err == nil {
		// The commit decides; this check and the next spare the work for what cannot succeed.
		err = account.WouldRefuse(accounts.Charge{Images: 1, Bytes: b.size, KeptTimes: accounts.KeptAtDeletion})
	}
	if err == nil && d.Creator != nil {
		err = refuseErased(b.s.db.Reader(ctx), draft, b.began)
	}
	var urls URLParts
	if err == nil {
		urls, err = b.s.urlParts(ctx, account) // before the commit: no step after it may fail
	}
	if err != nil {
		return UploadedImage{}, err
	}
	b.privacy = account.Settings.StripOriginals
	img, err := b.insert(ctx, draft, fields.CleanFilename(filename), time.Time{}, b.began)
	return UploadedImage{Image: img, URLParts: urls}, err
}

// insert stores the original and inserts its image, which draft describes. uploaded is the time of its upload,
// zero for now. An erasure since began refuses the image.
func (b *Body) insert(
	ctx context.Context, draft Image, filename string, uploaded, began time.Time,
) (Image, error) {
	original, err := b.store(ctx)
	if err != nil {
		return Image{}, err
	}
	if uploaded.IsZero() {
		uploaded = b.s.now()
	}
	img := imageOfUpload(draft, original, filename, uploaded)
	start := time.Now()
	err = b.s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		return b.s.insertUploaded(tx, draft, img, began)
	})
	b.s.config.Timer.Since(render.Uploads, StageCommit, start)
	trace.Record(ctx, StageCommit, start, err)
	return b.s.cleanUp(ctx, img, original, err)
}

// insertUploaded inserts a draft as the image img. An erasure since began refuses it.
func (s *Service) insertUploaded(tx *accounts.Change, draft, img Image, began time.Time) error {
	if err := checkNotErased(tx, draft, began); err != nil {
		return err
	}
	if err := s.insertDraft(tx, draft, ""); err != nil {
		return err
	}
	redeemed, c, err := redeemTicket(tx, img, "", began)
	if err == nil && redeemed.Key == "" {
		err = errors.New("a draft made in this transaction could not be redeemed in it")
	}
	if err != nil {
		return err
	}
	c.KeptTimes = accounts.KeptAtDeletion
	tx.Charge(img.Account, c)
	tx.Check(func() error { return checkURLs(tx, img.Account, img.ID) })
	s.uploaded(tx, redeemed)
	tx.Check(func() error { return lookalikes.Refuse(tx, img.Account, img.Original.picture()) })
	return nil
}

// uploaded passes the image of an upload to Config.Uploaded after the commit.
func (s *Service) uploaded(tx *accounts.Change, img Image) {
	if s.config.Uploaded != nil {
		tx.AfterCommit(func(context.Context) { s.config.Uploaded(img) })
	}
}
