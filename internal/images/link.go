package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// A link is a draft whose ticket may be used several times. It stays a draft: each accepted upload inserts an image
// with the id of the link, a slash and a number, and with the link's creator, metadata and requireSignedURLs at that
// time. The link's reservation lasts until its last use, its expiry or its deletion; each image is charged when it is
// inserted.

// errLinkChanged says that an upload read another creator of the link than the row has now.
var errLinkChanged = errors.New("images: the creator of the link was changed during the upload")

// errRepeated says that a concurrent request with the same Idempotency-Key has used the link already.
var errRepeated = errors.New("images: a request with the same Idempotency-Key has used the link")

// isLink reports whether the ticket of a draft may be used several times.
func (img Image) isLink() bool { return img.Ticket != nil && img.Ticket.Uses > 1 }

// openPartials returns the number of resumable uploads to a draft that may be open at once.
func (img Image) openPartials() int {
	if !img.isLink() {
		return partialsOfDraft
	}
	return min(max(img.Ticket.Uses-img.Ticket.Used, partialsOfDraft), partialsOfLink)
}

const (
	partialsOfDraft = 2
	partialsOfLink  = 16
)

// longestID returns the longest id that the draft or an image of it may have.
func (img Image) longestID() string {
	if img.isLink() {
		return fields.LongestLinkImageID(img.ID)
	}
	return img.ID
}

// useLink uses the link once and inserts the image of the original o. It returns the image, or none if the ticket is
// not valid, and the charge. Errors: errLinkChanged, errRepeated; TicketUnknown if the creator was erased since the
// upload began; LimitReached.
func (u *Upload) useLink(tx *accounts.Change, o *Original, filename string) (Image, accounts.Charge, error) {
	err := checkNotErased(tx, u.draft, u.began)
	if errors.Is(err, ErrErased) {
		err = errCancelled()
	}
	if err != nil {
		return Image{}, accounts.Charge{}, err
	}
	link, state, err := takeUse(tx, u.draft.Key, u.began)
	if errors.Is(err, sql.ErrNoRows) {
		return Image{}, accounts.Charge{}, nil
	}
	if err == nil && !sameText(link.Creator, u.draft.Creator) {
		u.draft.Creator, err = link.Creator, errLinkChanged
	}
	if err == nil && u.idempotencyHash != "" {
		var repeat bool
		// The link's row is locked, so no concurrent request inserts an image with this key.
		if repeat, err = sqldb.Exists(tx, repeatedUse, u.repeatArgs()...); repeat {
			err = errRepeated
		}
	}
	if err != nil {
		return Image{}, accounts.Charge{}, err
	}
	u.draft.Ticket = link.Ticket
	member, err := u.s.insertMember(tx, link, &state)
	if err != nil {
		return Image{}, accounts.Charge{}, err
	}
	img, c, err := redeemTicket(tx, imageOfUpload(member, o, filename, u.s.now()), u.idempotencyHash, u.began)
	if err == nil && img.Key == "" {
		err = errors.New("an image made in this transaction could not be redeemed in it")
	}
	if err == nil {
		err = state.completeUse(tx, link, &c)
	}
	return img, c, err
}

// A linkState has the columns of a link that only its use reads.
type linkState struct {
	open     bool
	reserved int64 // bytes
	skipped  int   // numbers that no image of the link has
	changed  bool  // skipped is not written yet
}

// takeUse has the only statement that counts a use of a link: it changes one row or none. The ticket must be valid at
// began. The row is locked until the transaction ends. Error: sql.ErrNoRows.
func takeUse(tx *accounts.Change, key string, began time.Time) (link Image, state linkState, err error) {
	link, err = scanImageAnd(tx.QueryRow(`UPDATE images SET used = used + 1
		WHERE key = ?1 AND draft = 1 AND used < uses AND expires >= ?2 AND refusals < ?3
		RETURNING `+imageColumns+`, open, reserved, skipped`,
		key, sqldb.Micros(began), maxRefusals), &state.open, &state.reserved, &state.skipped)
	return link, state, err
}

// insertMember inserts the draft of the link's next image, which only this transaction can redeem. If its id is
// taken, the number of a free id follows.
func (s *Service) insertMember(tx *accounts.Change, link Image, state *linkState) (Image, error) {
	number := link.Ticket.Used + state.skipped
	for {
		member := link
		member.Key, member.ID, member.Link = text.NewKey(), fields.LinkImageID(link.ID, number), link.Key
		member.Created = sqldb.FromMicros(sqldb.Micros(s.now()))
		member.Uploaded = member.Created
		member.Ticket = &Ticket{Expires: link.Ticket.Expires, Uses: 1}
		err := s.insertDraft(tx, member, "")
		if errs.AsError(err).Kind != errs.Exists {
			return member, err
		}
		number, err = fields.FreeNumber(number, func(n int) (bool, error) {
			return sqldb.Exists(tx, `images WHERE account = ?1 AND id_sha256 = ?2`,
				link.Account, text.Hash(fields.LinkImageID(link.ID, n)))
		})
		if err != nil {
			return Image{}, err
		}
		state.skipped, state.changed = number-link.Ticket.Used, true
	}
}

// completeUse writes the state of a link after a use, and adds to the charge of its image c: the last use releases the
// reservation. Each other use may add an event that no draft has reserved.
func (l linkState) completeUse(tx *accounts.Change, link Image, c *accounts.Charge) error {
	last := link.Ticket.usedUp()
	switch {
	case !last:
		c.KeptTimes = accounts.KeptAtDeletion
	case l.open:
		c.Drafts, c.Bytes = -1, c.Bytes-l.reserved
	}
	if !l.changed && !last {
		return nil
	}
	_, err := tx.Exec(`UPDATE images SET skipped = ?2, open = ?3 WHERE key = ?1`,
		link.Key, l.skipped, sqldb.BoolInt(l.open && !last))
	return err
}

// repeatedUse selects the image that a request with the same Idempotency-Key has made of a link within repeatTime;
// the parameters are those of Upload.repeatArgs.
const repeatedUse = `images WHERE family = ?1 AND claimed_by = ?2 AND uploaded >= ?3`

func (u *Upload) repeatArgs() []any {
	return []any{u.draft.Key, u.idempotencyHash, sqldb.Micros(u.began.Add(-repeatTime))}
}

// repeatOfUse returns the image that a request with the same Idempotency-Key has made of the link within repeatTime:
// the client may not have received the answer. found is false without one.
func (u *Upload) repeatOfUse(ctx context.Context) (img Image, found bool, err error) {
	if u.idempotencyHash == "" {
		return img, false, nil
	}
	img, err = ScanImage(u.s.db.QueryRow(ctx, `SELECT `+imageColumns+` FROM `+repeatedUse, u.repeatArgs()...))
	if errors.Is(err, sql.ErrNoRows) {
		return img, false, nil
	}
	if err != nil {
		return img, false, fmt.Errorf("reading who used a link: %w", err)
	}
	return img, true, nil
}

// sameText reports whether two optional texts are equal.
func sameText(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
