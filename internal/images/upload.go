package images

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/limit"
	"calotype/internal/render"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

const (
	repeatTime = time.Hour       // for which a lost answer may be asked for again
	finishTime = 5 * time.Minute // for what follows a complete body
	settleTime = 30 * time.Second
)

// UploadRequest is what a client says before its body is read.
type UploadRequest struct {
	Ticket         string
	IdempotencyKey string // "" when none was sent
	Size           int64  // declared bytes of the body; negative when not known
}

// An Upload is a body on its way to become the original of a draft. Write the bytes to it, then
// Finish; Close it in any case. It is not safe for concurrent use.
type Upload struct {
	s        *Service
	draft    Image
	began    time.Time // what counts for the ticket's expiry
	claimer  string    // SHA-256 of the Idempotency-Key, hex; "" for none
	repeat   bool      // the ticket was used by this claimer: only compare
	body     *limit.Lease
	admitted *admittedBody // nil without a ticket
	file     *spoolFile
	spooled  time.Time // since when, by the machine's clock
	sum      hash.Hash
	size     int64
	closed   bool
}

// A DraftError is why a ticket takes no body, and of which draft, or image by now, the ticket is. It
// reads as its reason.
type DraftError struct {
	Draft  Image
	Reason error
}

func (e *DraftError) Error() string { return e.Reason.Error() }

func (e *DraftError) Unwrap() error { return e.Reason }

// BeginUpload finds the draft of a ticket and admits a body for it, before a byte is read.
// TicketUnknown; in a DraftError TicketUsed, TicketInvalid, TicketBusy, AccountSuspended, Busy,
// NoSpace, Aborted.
func (s *Service) BeginUpload(ctx context.Context, r UploadRequest) (*Upload, error) {
	u := &Upload{s: s, began: s.now(), sum: sha256.New()}
	if r.IdempotencyKey != "" {
		u.claimer = text.Hash(r.IdempotencyKey)
	}
	if r.Ticket == "" {
		return nil, errs.Errorf(errs.TicketUnknown, "Upload URL not found: its ?ticket=... is missing; use "+
			"uploadURL whole, as it was given")
	}
	err := u.enter(ctx, r.Ticket)
	if err == nil {
		err = u.admit(r.Size, u.draft.Account, u.draft.Key)
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

// enter finds the draft of a ticket and waits until the body is admitted.
func (u *Upload) enter(ctx context.Context, ticket string) error {
	refusals := u.s.bodies.refusals()
	if err := u.find(ctx, ticket); err != nil {
		return err
	}
	for u.admitted == nil {
		admitted, stale, err := u.s.bodies.admit(ctx, u.draft, refusals)
		if err != nil && !errors.Is(err, errTicketEnded) {
			return err
		}
		u.admitted = admitted
		if stale || err != nil {
			// After the end of its ticket only a repeat of the winner's request is admitted.
			if err := u.find(ctx, ticket); err != nil {
				return err
			}
		}
	}
	if !u.repeat {
		u.admitted.learn(*u.draft.Ticket)
	}
	return nil
}

// Draft returns the draft that the upload is for.
func (u *Upload) Draft() Image { return u.draft }

// BeginImage admits a body for a new image of an account, before a byte is read: Busy, NoSpace.
// Write the bytes to it, then Create. size is the declared one, negative when not known.
func (s *Service) BeginImage(account string, size int64) (*Upload, error) {
	u := &Upload{s: s, began: s.now(), sum: sha256.New()}
	u.draft.Account = account
	if err := u.admit(size, account); err != nil {
		u.Close()
		return nil, err
	}
	return u, nil
}

// BeginImport is BeginImage for an import that began at a moment, from which erasures count.
func (s *Service) BeginImport(account string, size int64, began time.Time) (*Upload, error) {
	u, err := s.BeginImage(account, size)
	if err == nil {
		u.began = began
	}
	return u, err
}

// admit admits a body of size bytes, and refuses early a body that would not fit. keys are the keys of
// its bytes in the spool. The bytes of a repeat are compared and not stored.
func (u *Upload) admit(size int64, keys ...string) (err error) {
	u.spooled = time.Now()
	if u.body, err = u.s.shares.bodies.TryAcquire(1, u.draft.Account); err != nil {
		return spoolFull(err)
	}
	if u.repeat {
		return nil
	}
	expected := u.s.config.MaxUploadBytes
	if size >= 0 && size <= expected { // a larger one may have a file that is not
		expected = size
		if err := u.s.admits(u.s.spool, size, keys...); err != nil {
			return err
		}
	}
	u.file = u.s.spoolFile(u.s.spool, expected, keys...)
	return nil
}

// find reads the draft of a ticket and says why it takes no upload.
func (u *Upload) find(ctx context.Context, ticket string) error {
	img, err := scanImage(u.s.db.QueryRow(ctx, selectImage+` WHERE ticket = ?1`, text.Hash(ticket)))
	if errors.Is(err, sql.ErrNoRows) {
		return errs.Errorf(errs.TicketUnknown, "Upload URL not found: it is unknown or was cancelled")
	}
	if err != nil {
		return fmt.Errorf("finding a draft by its ticket: %w", err)
	}
	u.draft = img
	account, err := u.s.Accounts.ByID(ctx, img.Account)
	if err == nil {
		err = account.CheckActive()
	}
	if err != nil {
		return err
	}
	err = u.state(img)
	if errs.AsError(err).Kind == errs.TicketUsed {
		if u.repeat, err = u.mayRepeat(ctx, img); err == nil && !u.repeat {
			err = u.state(img)
		}
	}
	return err
}

// state says why the ticket of img takes no upload, nil if it does.
func (u *Upload) state(img Image) error {
	switch {
	case !img.Draft:
		return errs.Errorf(errs.TicketUsed, "Upload URL already used")
	case img.Ticket.Refusals >= maxRefusals:
		return refusedTooOften()
	case u.began.After(img.Ticket.Expires):
		return errs.Errorf(errs.TicketInvalid, "Upload URL expired at %s",
			img.Ticket.Expires.Format(time.RFC3339))
	}
	return nil
}

func refusedTooOften() error {
	return errs.Errorf(errs.TicketInvalid, "Upload URL is dead: it was refused %d times", maxRefusals)
}

// mayRepeat reports whether the ticket was used within the hour by the same Idempotency-Key: then
// the answer may have been lost on its way.
func (u *Upload) mayRepeat(ctx context.Context, img Image) (bool, error) {
	if u.claimer == "" || u.began.Sub(img.Uploaded) > repeatTime {
		return false, nil
	}
	var claimer sql.NullString
	err := u.s.db.QueryRow(ctx, `SELECT claimed_by FROM images WHERE key = ?1`, img.Key).
		Scan(&claimer)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("reading who used a ticket: %w", err)
	}
	return claimer.String == u.claimer, nil
}

// Write takes the next bytes of the body. TooLarge when there are more than allowed; TicketUnknown
// when the draft was deleted, so that no bytes are kept that cannot become an image; Busy when the
// spool or the share of it is full, NoSpace.
func (u *Upload) Write(p []byte) (n int, err error) {
	select {
	case <-u.admitted.deleted():
		return 0, errCancelled()
	default:
	}
	if u.size+int64(len(p)) > u.s.config.MaxUploadBytes {
		// A repeat is known by its beginning, which is longer than each body that is allowed.
		u.sum.Write(p[:u.s.config.MaxUploadBytes-u.size+1])
		return 0, u.tooLarge()
	}
	n = len(p)
	if !u.repeat {
		n, err = u.file.Write(p)
	}
	u.sum.Write(p[:n])
	u.size += int64(n)
	return n, err
}

func (u *Upload) tooLarge() error {
	return FileTooLarge(u.s.config.MaxUploadBytes)
}

// FileTooLarge refuses a file that is larger than limit, in bytes.
func FileTooLarge(limit int64) error {
	const mib = 1 << 20
	if limit%mib == 0 {
		return errs.Errorf(errs.TooLarge, "The file is larger than the %d MiB (%d bytes) allowed", limit/mib, limit)
	}
	return errs.Errorf(errs.TooLarge, "The file is larger than the %d bytes allowed", limit)
}

// Size returns how many bytes were written so far.
func (u *Upload) Size() int64 { return u.size }

// Close gives back all that the upload holds, once. What fails in it takes nothing back from the
// answer.
func (u *Upload) Close() {
	if u.closed {
		return
	}
	u.closed = true
	if u.file != nil {
		if err := u.file.Close(); err != nil {
			u.s.log.Warn("closing a spool file", "err", err)
		}
	}
	u.body.Release()
	u.admitted.release()
}

// Finish turns the draft into an image: a worker decodes the complete body, the original is stored, and
// only then the ticket is claimed. A client that disconnects does not cancel it. Errors: Unsupported,
// Undecodable, OverLimits (which count as refusals); TicketUnknown, TicketUsed, TicketInvalid;
// LimitReached, AccountSuspended; Busy.
func (u *Upload) Finish(ctx context.Context, filename string) (Image, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	u.s.config.Timer.Since(render.Uploads, StageSpool, u.spooled)
	sum := hex.EncodeToString(u.sum.Sum(nil))
	if u.repeat {
		return u.again(u.draft, sum)
	}
	if err := u.admitted.beginDecoding(ctx, sum); errors.Is(err, errTicketEnded) {
		return u.lost(ctx, sum)
	} else if err != nil {
		return Image{}, err
	}
	defer u.admitted.endDecoding(sum)
	original, err := u.store(ctx, sum)
	if err != nil {
		return Image{}, u.Refuse(ctx, err)
	}
	img, err := u.claim(ctx, original, cleanFilename(filename))
	return u.settle(ctx, img, original, err)
}

// Create makes an image out of the complete body, under the rules of drafts but without a ticket:
// Invalid, InvalidID, Exists; Unsupported, Undecodable, OverLimits; LimitReached,
// AccountSuspended; Busy.
func (u *Upload) Create(ctx context.Context, filename string, d NewDraft) (Image, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	u.s.config.Timer.Since(render.Uploads, StageSpool, u.spooled)
	var err error
	if u.draft, err = u.s.newDraft(u.draft.Account, d); err != nil {
		return Image{}, err
	}
	account, err := u.s.Accounts.ByID(ctx, u.draft.Account)
	if err == nil {
		// What counts is asked at the end; this and the next spare the work for what cannot succeed.
		err = account.WouldRefuse(accounts.Charge{Images: 1, Bytes: u.size, KeptTimes: accounts.KeptAtDeletion})
	}
	if err == nil && d.Creator != nil {
		query, args := erasedSince(u.draft, u.began)
		err = refuseErased(u.s.db.QueryRow(ctx, query, args...))
	}
	if err != nil {
		return Image{}, err
	}
	original, err := u.store(ctx, hex.EncodeToString(u.sum.Sum(nil)))
	if err != nil {
		return Image{}, err
	}
	img := u.claimed(original, cleanFilename(filename))
	began := time.Now()
	err = u.s.Accounts.Change(ctx, func(tx *accounts.Change) error { return u.insertClaimed(tx, img) })
	u.s.config.Timer.Since(render.Uploads, StageCommit, began)
	return u.settle(ctx, img, original, err)
}

// insertClaimed inserts what u is for as an image at once.
func (u *Upload) insertClaimed(tx *accounts.Change, img Image) error {
	if err := checkNotErased(tx, u.draft, u.began); err != nil {
		return err
	}
	if err := u.s.insertDraft(tx, u.draft, ""); err != nil {
		return err
	}
	c, claimed, err := u.claimRow(tx, img)
	if err == nil && !claimed {
		err = errors.New("a draft made in this transaction could not be claimed in it")
	}
	if err == nil {
		err = insertMeta(tx, img.Key)
	}
	if err != nil {
		return err
	}
	c.KeptTimes = accounts.KeptAtDeletion
	tx.Charge(img.Account, c)
	tx.Check(func() error { return checkURLs(tx, img.Account, img.ID) })
	return nil
}

// store examines the complete body and stores it as an original of no row yet.
func (u *Upload) store(ctx context.Context, sum string) (*Original, error) {
	original, err := u.examine(ctx)
	if err != nil {
		return nil, err
	}
	original.SHA256, original.Blob = sum, blobKey(u.s.now())
	began := time.Now()
	err = u.s.blobs.Put(ctx, original.Blob, u.file.file, u.size)
	u.s.config.Timer.Since(render.Uploads, StageStore, began)
	if err != nil {
		return nil, fmt.Errorf("storing an original: %w", err)
	}
	return original, nil
}

// settle looks after the stored original: it stays if a row names it, or may do so.
func (u *Upload) settle(ctx context.Context, img Image, o *Original, err error) (Image, error) {
	// The time for finishing may be over; what is stored must be settled all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if errors.Is(err, sqldb.ErrCommitUnknown) {
		now, reading := u.s.imageOfKey(ctx, img.Key)
		if reading == nil && now.Original != nil && now.Original.Blob == o.Blob {
			return now, nil // it took place
		}
		return Image{}, err // the sweep will know
	}
	if err != nil || img.Original.Blob != o.Blob {
		if deleting := u.s.blobs.Delete(ctx, o.Blob); deleting != nil {
			u.s.log.Warn("an original without a row is left to the sweep", "blob", o.Blob, "err", deleting)
		}
	}
	if err != nil {
		return Image{}, err
	}
	return img, nil
}

// again answers a repeat of the winner's request with the winner's image.
func (u *Upload) again(img Image, sum string) (Image, error) {
	if img.Original == nil || img.Original.SHA256 != sum {
		return Image{}, errs.Errorf(errs.TicketUsed, "Upload URL already used, by another file")
	}
	u.s.counters.repeats.Add(1)
	return img, nil
}

// examine finds out what the body is.
func (u *Upload) examine(ctx context.Context) (*Original, error) {
	if u.size == 0 {
		return nil, errs.Errorf(errs.Unsupported, "The file is empty: it has no bytes")
	}
	ctx = render.WithAsker(ctx, render.Asker{
		Account: u.draft.Account, Client: clientaddr.Of(ctx),
	})
	file := u.file.file
	header, err := imagefile.ReadHeader(file, u.size)
	if err == nil {
		err = imagefile.DefaultLimits.Check(header)
	}
	var facts render.Facts
	if err == nil {
		facts, err = u.s.config.Render.Examine(ctx, file, header)
	}
	if errors.Is(err, render.ErrWorker) && !errors.Is(err, render.ErrTime) &&
		!errors.Is(err, render.ErrOutOfMemory) && !errors.Is(err, render.ErrBusy) {
		// Another process may have killed the worker. A second failure decides.
		facts, err = u.s.config.Render.Examine(ctx, file, header)
	}
	if err != nil {
		return nil, renderError("examining an upload", err)
	}
	return &Original{
		Header: header, Width: facts.Width, Height: facts.Height, Alpha: facts.Alpha,
		Size: u.size, Thumbhash: base64.StdEncoding.EncodeToString(facts.Thumbhash),
	}, nil
}

// blobKey returns a new key, which begins with the UTC day so that the sweep knows its age.
func blobKey(now time.Time) string { return now.UTC().Format(blobDay) + "/" + text.NewKey() }

const blobDay = "20060102"
