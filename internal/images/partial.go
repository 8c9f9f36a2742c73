package images

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/bodylimit"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/partials"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// NewPartial has the fields of a resumable upload that is created.
type NewPartial struct {
	Ticket, IdempotencyKey, Filename string
	Metadata                         string // for the client, as it declares it; "" for none
	Length                           int64  // bytes; -1 if unknown
}

// A Partial is the state of a resumable upload.
type Partial struct {
	Draft     Image
	Offset    int64          // bytes that are stored durably; Length only if the image is accepted
	Length    int64          // -1 if unknown
	Metadata  string         // that the creation declared
	Expires   time.Time      // of an accepted or refused one: the time until which its state can be read
	MinAppend int64          // the least number of bytes of a request, except the last one
	Image     *UploadedImage // nil unless accepted
	Refused   error          // nil unless the content was refused
}

// An AppendRequest has the fields of a request that appends to a Partial.
type AppendRequest = partials.AppendRequest

// An OffsetError in an error of the kind OffsetMismatch has the right offset.
type OffsetError = partials.OffsetError

// An Append adds the body of a request to a Partial. Write the bytes to it, then call Finish if the body has come
// whole, else Interrupt. OnStored, and the errors of Write, are in package partials.
type Append struct {
	*partials.Append
	s     *Service
	draft Image
}

// CreatePartial creates a resumable upload for a ticket, and returns the secret of its URL. The ticket must be valid
// now only. Errors: TicketUnknown; in a DraftError TicketUsed, TicketInvalid, TicketBusy if the ticket has too many
// open ones, AccountSuspended, TooLarge, Unsupported without a byte, Busy, NoSpace.
func (s *Service) CreatePartial(ctx context.Context, n NewPartial) (Partial, string, error) {
	u := &Upload{s: s, began: sqldb.FromMicros(sqldb.Micros(s.now()))}
	p, secret, err := u.createPartial(ctx, n)
	if err != nil && u.draft.Key != "" {
		err = &DraftError{u.draft, err}
	}
	return p, secret, err
}

func (u *Upload) createPartial(ctx context.Context, n NewPartial) (Partial, string, error) {
	s := u.s
	err := u.loadTicket(ctx, n.Ticket)
	switch {
	case err != nil:
		return Partial{}, "", err
	case n.Length == 0:
		return Partial{}, "", errs.Errorf(errs.Unsupported, "The file is empty: it has no bytes")
	case n.Length > s.maxBytes(u.draft.ticketPolicy()):
		return Partial{}, "", s.tooLarge(u.draft.ticketPolicy(), n.Length)
	}
	if err := s.disk.CheckSpace(); err != nil {
		return Partial{}, "", err
	}
	row := partials.Partial{Key: text.NewKey(), Image: u.draft.Key, Account: u.draft.Account,
		Filename: fields.CleanFilename(n.Filename), Metadata: n.Metadata, Length: max(n.Length, -1),
		Created: u.began, Expires: u.began.Add(partials.Lifetime)}
	if n.IdempotencyKey != "" {
		row.Idempotency = text.Hash(n.IdempotencyKey)
	}
	secret := rand.Text()
	err = s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		// The row is locked: a concurrent end of the ticket sees the Partial, or this UPDATE changes no row.
		valid, err := tx.Exec(`UPDATE images SET draft = draft WHERE key = ?1 AND draft = 1 AND expires >= ?2
			AND refusals < ?3 AND used < uses`, row.Image, sqldb.Micros(u.began), maxRefusals)
		if err == nil && valid == 0 {
			err = bodylimit.ErrTicketEnded
		}
		if err != nil {
			return err
		}
		return s.Partials.Create(tx, row, secret, u.draft.openPartials())
	})
	if errors.Is(err, bodylimit.ErrTicketEnded) {
		if err = u.loadTicket(ctx, n.Ticket); err == nil {
			err = errUsed() // a repeat has nothing to resume
		}
	}
	if err != nil {
		return Partial{}, "", fmt.Errorf("creating a resumable upload: %w", err)
	}
	return s.openPartial(u.draft, row), secret, nil
}

// Partial returns the state of a resumable upload. It ends an append that runs on this node first, and stores its
// bytes. Errors: TicketUnknown; PartialBusy; in a DraftError TicketUsed, TicketInvalid, AccountSuspended.
func (s *Service) Partial(ctx context.Context, secret string) (Partial, error) {
	row, err := s.Partials.BySecret(ctx, secret)
	if err == nil && row.Ended.IsZero() {
		if err = s.Partials.Supersede(ctx, row.Key); err == nil {
			row, err = s.Partials.ByKey(ctx, row.Key)
		}
	}
	if err == nil && row.Ended.IsZero() {
		err = s.Partials.CheckLease(row)
	}
	if err != nil {
		return Partial{}, err
	}
	return s.stateOf(ctx, row)
}

// PartialOutcome returns the state of a resumable upload, whose Offset may change concurrently. Unlike Partial it ends
// no append. Errors: TicketUnknown; in a DraftError TicketUsed, TicketInvalid, AccountSuspended.
func (s *Service) PartialOutcome(ctx context.Context, secret string) (Partial, error) {
	row, err := s.Partials.BySecret(ctx, secret)
	if err != nil {
		return Partial{}, err
	}
	return s.stateOf(ctx, row)
}

// stateOf returns the state of a row.
func (s *Service) stateOf(ctx context.Context, row partials.Partial) (Partial, error) {
	if !row.Ended.IsZero() && row.Result != "" {
		return s.acceptedPartial(ctx, row)
	}
	u, err := s.uploadOf(ctx, row)
	if row.Ended.IsZero() || u.draft.Key == "" {
		return s.openPartial(u.draft, row), err
	}
	refused := &errs.Error{Kind: row.Kind, Msg: row.Message}
	if !isRefusal(row.Kind) {
		return Partial{}, &DraftError{u.draft, refused}
	}
	p := s.openPartial(u.draft, row)
	p.Refused = refused
	return p, nil
}

// acceptedPartial returns the state of an accepted row. Error: TicketUnknown if the image was deleted since.
func (s *Service) acceptedPartial(ctx context.Context, row partials.Partial) (Partial, error) {
	img, err := s.imageOfKey(ctx, row.Result)
	if errors.Is(err, sql.ErrNoRows) {
		return Partial{}, errCancelled()
	}
	if err != nil {
		return Partial{}, fmt.Errorf("reading the image of a resumable upload: %w", err)
	}
	account, err := s.Accounts.ByID(ctx, img.Account)
	if err != nil {
		return Partial{}, err
	}
	urls, err := s.urlParts(ctx, account)
	if err != nil {
		return Partial{}, err
	}
	sign, err := s.signer(ctx, account.Hash, img)
	if err != nil {
		return Partial{}, err
	}
	p := s.openPartial(img, row)
	p.accept(UploadedImage{Image: img, URLParts: urls, Receipt: sign(img)}, row.Length)
	return p, nil
}

// accept makes p the state of an accepted upload of a length, which is not the size of an original without metadata.
func (p *Partial) accept(img UploadedImage, length int64) {
	p.Image, p.Offset, p.Length = &img, length, length
}

// openPartial returns the state of an open row.
func (s *Service) openPartial(draft Image, row partials.Partial) Partial {
	return Partial{Draft: draft, Offset: row.Received, Length: row.Length, Metadata: row.Metadata, Expires: row.Expires,
		MinAppend: partials.MinAppend(s.config.MaxUploadBytes)}
}

// uploadOf returns an Upload with the draft of a row, for its open ticket. Errors: TicketUnknown; in a DraftError
// TicketUsed, TicketInvalid, AccountSuspended.
func (s *Service) uploadOf(ctx context.Context, row partials.Partial) (*Upload, error) {
	u := &Upload{s: s, began: row.Created, idempotencyHash: row.Idempotency, partial: row.Key}
	err := u.loadDraft(ctx, row.Image)
	if err == nil && row.Ended.IsZero() && !row.Expires.After(s.now()) {
		err = errExpired(row)
	}
	if err != nil && u.draft.Key != "" {
		err = &DraftError{u.draft, err}
	}
	return u, err
}

// BeginAppend begins to append to a resumable upload. It ends an append that runs on this node first. Errors:
// TicketUnknown; the refusal of a refused upload; OffsetMismatch with an OffsetError; PartialBusy if a request at
// another node appends; in a DraftError TicketUsed, also if the upload is complete, TicketInvalid, AccountSuspended,
// Invalid, TooLarge, Busy, NoSpace.
func (s *Service) BeginAppend(ctx context.Context, secret string, r AppendRequest) (*Append, error) {
	row, err := s.Partials.BySecret(ctx, secret)
	if err != nil {
		return nil, err
	}
	u, err := s.uploadOf(ctx, row)
	if err == nil {
		err = u.endOf(row)
	}
	if err != nil {
		return nil, err
	}
	a, err := s.Partials.Begin(ctx, row, r, s.maxBytes(u.draft.ticketPolicy()))
	if errors.Is(err, partials.ErrEnded) {
		if row, err = s.Partials.ByKey(ctx, row.Key); err == nil {
			err = u.endOf(row)
		}
	}
	if err != nil {
		return nil, &DraftError{u.draft, err}
	}
	return &Append{a, s, u.draft}, nil
}

// endOf returns the reason why a row accepts no bytes, or nil.
func (u *Upload) endOf(row partials.Partial) error {
	switch {
	case row.Ended.IsZero():
		return nil
	case row.Result != "":
		return &DraftError{u.draft, errs.Errorf(errs.TicketUsed, "The upload is complete")}
	}
	return &DraftError{u.draft, &errs.Error{Kind: row.Kind, Msg: row.Message}}
}

// Draft returns the draft of the upload.
func (a *Append) Draft() Image { return a.draft }

// Write receives the next bytes. Errors: those of partials.Append, PolicyRefused.
func (a *Append) Write(p []byte) (int, error) {
	n, err := a.Append.Write(p)
	if errs.AsError(err).Kind == errs.TooLarge {
		err = a.s.tooLarge(a.draft.ticketPolicy(), 0)
	}
	return n, err
}

// Interrupt ends an append whose body has not come whole. It stores the bytes that have come, except the last byte of
// the upload. Errors: the refusal if more bytes came than allowed, which counts; Busy, NoSpace.
func (a *Append) Interrupt(ctx context.Context) error {
	defer a.Close()
	complete, err := a.Append.Interrupt()
	if complete {
		_, err = a.complete(ctx)
	}
	return err
}

// Finish ends an append whose body has come whole. If that is all of the upload, it becomes an image, as by
// Upload.Finish, and the state has it. Errors: those of Write and of Upload.Finish.
func (a *Append) Finish(ctx context.Context) (Partial, error) {
	defer a.Close()
	complete, err := a.End()
	switch {
	case errors.Is(err, partials.ErrEnded):
		return a.ended(ctx, err)
	case err != nil:
		return Partial{}, err
	case !complete:
		return a.s.openPartial(a.draft, a.Row()), nil
	}
	return a.complete(ctx)
}

// complete makes the complete upload an image, or refuses it.
func (a *Append) complete(ctx context.Context) (Partial, error) {
	row, length := a.Row(), a.Total()
	img, err := a.upload(ctx, row)
	ctx = context.WithoutCancel(ctx)
	switch kind := errs.AsError(err).Kind; {
	case err == nil:
		p := a.s.openPartial(a.draft, row)
		p.Expires = a.s.now().Add(partials.Retention)
		p.accept(img, length)
		return p, nil
	case errors.Is(err, partials.ErrEnded), kind == errs.TicketUsed:
		return a.ended(ctx, err)
	case errors.Is(err, partials.ErrPartMissing):
		if now, reading := a.s.Partials.ByKey(ctx, row.Key); reading == nil && now.Ended.IsZero() {
			a.s.log.Error("a part of a resumable upload is missing", "image", row.Image, "err", err)
			if err := a.s.Partials.DeleteOpen(ctx, row.Key); err != nil {
				return Partial{}, err
			}
		}
		return a.ended(ctx, partials.ErrEnded)
	case isRefusal(kind):
		if ending := a.s.Partials.Refuse(ctx, row, kind, errs.AsError(err).Msg); ending != nil {
			a.s.log.Error("a refused resumable upload was not ended", "image", row.Image, "err", ending)
		}
	}
	return Partial{}, err
}

// ended returns the state of an upload that a concurrent request has ended, or err.
func (a *Append) ended(ctx context.Context, err error) (Partial, error) {
	row, reading := a.s.Partials.ByKey(ctx, a.Row().Key)
	if reading == nil && row.Result != "" {
		return a.s.acceptedPartial(ctx, row)
	}
	if errors.Is(err, partials.ErrEnded) {
		switch {
		case reading != nil:
			err = reading
		case row.Ended.IsZero() && row.Expires.After(a.s.now()):
			err = partials.Busy(nil) // the lease was lost
		case row.Ended.IsZero():
			err = &DraftError{a.draft, errExpired(row)}
		default:
			err = &DraftError{a.draft, &errs.Error{Kind: row.Kind, Msg: row.Message}}
		}
	}
	return Partial{}, err
}

// errExpired refuses an upload whose time is over.
func errExpired(row partials.Partial) error {
	return errs.Errorf(errs.TicketInvalid, "The upload expired at %s", row.Expires.Format(time.RFC3339))
}

// upload sends the bytes through an Upload, whose commit ends the Partial.
func (a *Append) upload(ctx context.Context, row partials.Partial) (UploadedImage, error) {
	u, err := a.s.uploadOf(ctx, row)
	if err != nil {
		return UploadedImage{}, err
	}
	defer u.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTime)
	defer cancel()
	if err := u.enter(ctx, func() error { return u.loadDraft(ctx, row.Image) }); err != nil {
		return UploadedImage{}, err
	}
	if err := u.receive(a.Slot(), a.Total()); err != nil {
		return UploadedImage{}, err
	}
	if err := a.Copy(ctx, u); err != nil {
		return UploadedImage{}, u.Refuse(ctx, err)
	}
	img, err := u.Finish(ctx, row.Filename)
	if err == nil && u.repeat && u.draft.isLink() {
		err = a.s.Accounts.Change(ctx, func(tx *accounts.Change) error { return u.endPartials(tx, img.Image) })
	}
	return img, err
}

// DeletePartial deletes a resumable upload and its bytes; an image that it has become stays. Errors: TicketUnknown,
// PartialBusy.
func (s *Service) DeletePartial(ctx context.Context, secret string) error {
	row, err := s.Partials.BySecret(ctx, secret)
	if err == nil {
		err = s.Partials.Supersede(ctx, row.Key)
	}
	if err != nil {
		return err
	}
	return s.Partials.Delete(ctx, row.Key)
}
