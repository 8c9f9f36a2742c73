package images

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/bodylimit"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/limit"
	"calotype/internal/text"
)

// repeatTime is the time for which a request may be repeated with its Idempotency-Key.
const repeatTime = time.Hour

// An UploadRequest has the fields of a request that are known before its body is read.
type UploadRequest struct {
	Ticket         string
	IdempotencyKey string // "" if the request has none
	Size           int64  // declared size of the body in bytes; negative if unknown
}

// An Upload is a Body for the draft of a ticket. Write the bytes to it, then Finish; Close it in any case. It is
// not safe for concurrent use.
type Upload struct {
	s               *Service
	draft           Image // the image itself if its only use is repeated
	account         accounts.Account
	began           time.Time       // compared with the ticket's expiry
	idempotencyHash string          // SHA-256 of the Idempotency-Key, hex; "" for none
	repeat          bool            // the ticket was used by a request with this key: the body is only compared
	repeated        Image           // the image of that request
	admitted        *bodylimit.Body // by the ticket
	closed          bool
	body            *Body
	partial         string   // key of the Partial that has the bytes; "" for none
	variants        []string // the names of the account's variants, once the ticket is redeemed
}

// A DraftError is the reason why a ticket accepts no body, with its draft, or with the image that the draft has
// become. Its message is the message of the reason.
type DraftError struct {
	Draft  Image
	Reason error
}

func (e *DraftError) Error() string { return e.Reason.Error() }

func (e *DraftError) Unwrap() error { return e.Reason }

// BeginUpload looks up the draft of a ticket and admits a body for it, before a byte is read. Errors: TicketUnknown;
// in a DraftError TicketUsed, TicketInvalid, TicketBusy, AccountSuspended, Busy, NoSpace, Aborted.
func (s *Service) BeginUpload(ctx context.Context, r UploadRequest) (*Upload, error) {
	u := &Upload{s: s, began: s.now()}
	if r.IdempotencyKey != "" {
		u.idempotencyHash = text.Hash(r.IdempotencyKey)
	}
	err := u.enter(ctx, func() error { return u.loadTicket(ctx, r.Ticket) })
	if err == nil {
		err = u.receive(nil, r.Size)
	}
	if err != nil {
		u.Close()
		if u.draft.Key != "" {
			err = &DraftError{u.draft, err}
		}
		return nil, err
	}
	return u, nil
}

// enter loads the draft and waits until the body is admitted.
func (u *Upload) enter(ctx context.Context, load func() error) error {
	refused := u.s.bodies.Refused()
	if err := load(); err != nil {
		return err
	}
	for u.admitted == nil {
		admitted, stale, err := u.s.bodies.Admit(ctx, u.draft.Account, u.draft.Key, refused)
		if err != nil && !errors.Is(err, bodylimit.ErrTicketEnded) {
			return err
		}
		u.admitted = admitted
		if stale || err != nil {
			// After the end of its ticket only a repeat of the winner's request is admitted.
			if err := load(); err != nil {
				return err
			}
		}
	}
	if !u.repeat {
		u.admitted.Learn(u.draft.Ticket.refusals())
	}
	return nil
}

// receive sets the Body, whose declared size in bytes is size, negative if not known. slot is that of Service.receive.
func (u *Upload) receive(slot *limit.Lease, size int64) (err error) {
	if u.body, err = u.s.receive(slot, size, !u.repeat, u.draft.Account, u.draft.Key); err == nil {
		u.body.policy = u.draft.ticketPolicy()
		u.body.privacy = cmp.Or(u.body.policy.StripOriginal, u.account.Settings.StripOriginals)
	}
	return err
}

// MaxBytes returns the largest size of the file, in bytes.
func (u *Upload) MaxBytes() int64 { return u.body.MaxBytes() }

// TooLarge returns the refusal of a file that is larger than MaxBytes: TooLarge or PolicyRefused.
func (u *Upload) TooLarge() error { return u.body.TooLarge() }

// Draft returns the draft of the upload.
func (u *Upload) Draft() Image { return u.draft }

// loadTicket reads the draft of a ticket with its account. The error is the reason why the ticket accepts no upload.
func (u *Upload) loadTicket(ctx context.Context, ticket string) error {
	if ticket == "" {
		return errs.Errorf(errs.TicketUnknown, "Upload URL not found: its ?ticket=... is missing; use "+
			"uploadURL whole, as it was given")
	}
	img, err := ScanImage(u.s.db.QueryRow(ctx, SelectImage+` WHERE ticket = ?1`, text.Hash(ticket)))
	if errors.Is(err, sql.ErrNoRows) {
		return errs.Errorf(errs.TicketUnknown, "Upload URL not found: it is unknown or was cancelled")
	}
	if err != nil {
		return fmt.Errorf("finding a draft by its ticket: %w", err)
	}
	return u.loadAccount(ctx, img)
}

// loadDraft is loadTicket by the key of the draft.
func (u *Upload) loadDraft(ctx context.Context, key string) error {
	img, err := u.s.imageOfKey(ctx, key)
	if errors.Is(err, sql.ErrNoRows) {
		return errCancelled()
	}
	if err != nil {
		return fmt.Errorf("finding a draft by its key: %w", err)
	}
	return u.loadAccount(ctx, img)
}

// loadAccount sets the draft and its account, and checks its ticket.
func (u *Upload) loadAccount(ctx context.Context, img Image) (err error) {
	u.draft = img
	if u.account, err = u.s.Accounts.ByID(ctx, img.Account); err == nil {
		err = u.account.CheckActive()
	}
	if err != nil {
		return err
	}
	return u.checkRepeat(ctx, img)
}

// checkRepeat returns nil if the ticket of img accepts an upload, or if a request with the same Idempotency-Key has
// made an image: then it sets repeat and repeated. Otherwise it returns the error of checkTicket.
func (u *Upload) checkRepeat(ctx context.Context, img Image) (err error) {
	refused := u.checkTicket(img)
	if img.isLink() {
		u.repeated, u.repeat, err = u.repeatOfUse(ctx)
	} else if errs.AsError(refused).Kind == errs.TicketUsed {
		u.repeated = img
		u.repeat, err = u.mayRepeat(ctx, img)
	}
	if err == nil && !u.repeat {
		err = refused
	}
	return err
}

// mayRepeat reports whether the ticket was used within the hour by a request with the same Idempotency-Key:
// the client may not have received the answer.
func (u *Upload) mayRepeat(ctx context.Context, img Image) (bool, error) {
	if u.idempotencyHash == "" || u.began.Sub(img.Uploaded) > repeatTime {
		return false, nil
	}
	var usedBy sql.NullString
	err := u.s.db.QueryRow(ctx, `SELECT claimed_by FROM images WHERE key = ?1`, img.Key).
		Scan(&usedBy)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("reading who used a ticket: %w", err)
	}
	return usedBy.String == u.idempotencyHash, nil
}

// Write receives the next bytes of the body. Errors: those of Body.Write; TicketUnknown if the draft was
// deleted, so that no bytes are stored that cannot become an image.
func (u *Upload) Write(p []byte) (n int, err error) {
	select {
	case <-u.admitted.Deleted():
		return 0, errCancelled()
	default:
		return u.body.Write(p)
	}
}

// Close closes the Body and has the ticket admit the next one. Only the first call has an effect.
func (u *Upload) Close() {
	if u.closed {
		return
	}
	u.closed = true
	if u.body != nil {
		u.body.Close()
	}
	u.admitted.Release()
}

// Finish turns the draft into an image: a worker decodes the complete body, the original is stored, and
// only then the ticket is redeemed. A client that disconnects does not cancel it. Errors: Unsupported,
// Undecodable, OverLimits, PolicyRefused, Blocked (which count as refusals); TicketUnknown, TicketUsed, TicketInvalid;
// LimitReached, AccountSuspended; Busy.
func (u *Upload) Finish(ctx context.Context, filename string) (UploadedImage, error) {
	ctx, cancel := u.body.complete(ctx)
	defer cancel()
	sign, err := u.s.signer(ctx, u.account.Hash, u.draft) // before the commit: no step after it may fail
	if err != nil {
		return UploadedImage{}, err
	}
	img, err := u.finish(ctx, fields.CleanFilename(filename))
	if err != nil {
		return UploadedImage{}, err
	}
	if u.variants == nil { // a repeat: nothing was redeemed
		u.variants, err = variantNames(u.s.db.Reader(ctx), u.account.ID)
	}
	urls := URLParts{Hash: u.account.Hash, Variants: u.variants}
	return UploadedImage{Image: img, URLParts: urls, Receipt: sign(img)}, err
}

func (u *Upload) finish(ctx context.Context, filename string) (Image, error) {
	sum := u.body.sha256()
	if u.repeat {
		return u.replay(u.repeated, sum)
	}
	if err := u.admitted.BeginDecoding(ctx, sum); errors.Is(err, bodylimit.ErrTicketEnded) {
		return u.whyNotRedeemed(ctx, sum)
	} else if err != nil {
		return Image{}, err
	}
	defer u.admitted.EndDecoding(sum)
	original, err := u.store(ctx)
	if err != nil {
		return Image{}, u.Refuse(ctx, err)
	}
	img, err := u.redeem(ctx, original, filename)
	img, err = u.s.cleanUp(ctx, img, original, err)
	if errs.AsError(err).Kind == errs.Blocked {
		err = u.Refuse(ctx, err) // an entry that was added during the upload
	}
	return img, err
}

// replay returns the winner's image to a repeat of the winner's request, whose body has this SHA-256.
func (u *Upload) replay(img Image, sum string) (Image, error) {
	if img.Link != "" && img.Original.ReceivedSHA256() != sum {
		return Image{}, errs.Errorf(errs.TicketUsed, "The Idempotency-Key was used for another file: send a new key "+
			"with each new file")
	}
	if img.Original == nil || img.Original.ReceivedSHA256() != sum {
		return Image{}, errs.Errorf(errs.TicketUsed, "Upload URL already used, by another file")
	}
	u.s.counters.repeats.Add(1)
	return img, nil
}
