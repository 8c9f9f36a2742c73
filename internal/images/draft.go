package images

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/receipts"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// NewDraft has the client's fields of a draft. A nil field was not given.
type NewDraft struct {
	ID                *string // custom id
	Expiry            *time.Time
	Meta              json.RawMessage // a JSON object, in any spacing; nil for none
	Creator           *string
	RequireSignedURLs bool
	Policy            json.RawMessage // of the one-time URL: a JSON object; nil for none. CreateDraft only.
}

// The life of a ticket.
const (
	minTicketLife     = 2 * time.Minute
	maxTicketLife     = 6 * time.Hour
	defaultTicketLife = 30 * time.Minute
	clockTolerance    = 5 * time.Second
	draftRetention    = 24 * time.Hour // the time for which an expired draft can still be read
)

// CreateDraft creates a draft of an account and returns it with the secret of its one-time URL. Errors: Invalid,
// InvalidID; Exists if an image, or a draft with a valid ticket, has the custom id; LimitReached, AccountUnknown,
// AccountSuspended, NoSpace. The default policy of the account is that of the time when owner was read.
func (s *Service) CreateDraft(
	ctx context.Context, owner accounts.Owner, d NewDraft,
) (img Image, ticket string, err error) {
	if err := s.disk.CheckSpace(); err != nil {
		return Image{}, "", err
	}
	img, err = s.newDraft(ctx, owner.ID(), d)
	if err == nil {
		err = setPolicy(&img, d.Policy, owner)
	}
	if err == nil {
		img.metaSHA256, err = receipts.MetadataHash(img.Meta)
	}
	if err != nil {
		return Image{}, "", err
	}
	ticket = rand.Text()
	err = s.commitDraft(ctx, &pendingDraft{img: img, ticket: ticket})
	if err != nil {
		return Image{}, "", fmt.Errorf("making a draft: %w", s.Accounts.OrUnknown(ctx, owner.ID(), err))
	}
	return img, ticket, nil
}

// newDraft checks the fields and returns the draft.
func (s *Service) newDraft(ctx context.Context, account string, d NewDraft) (Image, error) {
	now := sqldb.FromMicros(sqldb.Micros(s.now()))
	img := Image{
		Key: text.NewKey(), Account: account, Creator: d.Creator, Draft: true,
		RequireSignedURLs: d.RequireSignedURLs, Created: now, Uploaded: now,
		Ticket: &Ticket{Expires: now.Add(defaultTicketLife), Uses: 1},
	}
	var err error
	if d.ID == nil {
		img.ID = newUUID()
	} else {
		img.ID, img.Custom = *d.ID, true
		if err := fields.CheckCustomID(img.ID); err != nil {
			return Image{}, err
		}
		if err := s.checkPrivateID(ctx, account, d.RequireSignedURLs); err != nil {
			return Image{}, err
		}
	}
	if d.Creator != nil {
		if err := fields.CheckCreator(*d.Creator); err != nil {
			return Image{}, err
		}
	}
	if img.Meta, err = fields.CompactMeta(d.Meta); err != nil {
		return Image{}, err
	}
	if d.Expiry != nil {
		life := d.Expiry.Sub(now)
		if life < minTicketLife-clockTolerance || life > maxTicketLife+clockTolerance {
			return Image{}, errs.Errorf(errs.Invalid, "expiry is out of accepted bound: it must be between "+
				"%s and %s, that is 2 minutes to 6 hours from now",
				now.Add(minTicketLife).Format(time.RFC3339),
				now.Add(maxTicketLife).Format(time.RFC3339))
		}
		img.Ticket.Expires = sqldb.FromMicros(sqldb.Micros(*d.Expiry))
	}
	return img, nil
}

// checkPrivateID refuses a private image with a custom id, unless the account has them. Errors: Invalid,
// AccountUnknown.
func (s *Service) checkPrivateID(ctx context.Context, account string, private bool) error {
	if !private {
		return nil
	}
	a, err := s.Accounts.ByID(ctx, account)
	if err == nil && !a.Settings.PrivateCustomIDs {
		err = errs.Errorf(errs.Invalid, "An image with a custom id cannot be private: leave out either id or "+
			"requireSignedURLs, or set private_custom_ids in the configuration of the account")
	}
	return err
}

// insertDraft inserts a draft. It replaces a draft of the same id only if that one's ticket is invalid. With a
// ticket it inserts an open draft, and the caller charges the account for the draft. Without a ticket only this
// transaction can redeem it, and the account is charged for the image.
func (s *Service) insertDraft(tx *accounts.Change, img Image, ticket string) error {
	if img.Custom {
		gone, err := s.deleteRows(tx, "", `account = ?1 AND id_sha256 = ?2 AND draft = 1
			AND (expires < ?3 OR refusals >= ?4 OR used >= uses)`,
			img.Account, text.Hash(img.ID), sqldb.Micros(img.Created), maxRefusals)
		if err == nil {
			err = s.Webhooks.Record(tx, expirations(unreleased(gone))...)
		}
		if err != nil {
			return err
		}
	}
	made, err := tx.Exec(insertDrafts(1), s.draftRow(img, ticket)...)
	if err == nil && made == 0 {
		return errs.Errorf(errs.Exists, "Resource already exists: the id is taken by an image or by a draft "+
			"that still waits for its upload; DELETE cancels it")
	}
	return err
}

// draftColumns is the number of parameters of a draft's row.
const draftColumns = 18

// insertDrafts is the statement that inserts n drafts, except those whose id exists.
func insertDrafts(n int) string {
	rows := make([]string, n)
	for i := range rows {
		first := i*draftColumns + 1
		created := first + 8 // also the time of its upload
		rows[i] = fmt.Sprintf("(%s, ?%d, 1, 0, '', '')", sqldb.Placeholders(first, draftColumns), created)
	}
	return `INSERT INTO images (key, account, id, id_sha256, custom, creator, meta,
		require_signed, created, ticket, expires, open, reserved, long_id, policy, uses, family, meta_sha256, uploaded,
		draft, refusals, last_kind, last_message) VALUES ` + strings.Join(rows, ", ") + ` ON CONFLICT DO NOTHING`
}

// draftRow returns the parameters of a draft's row; without a ticket it is not open.
func (s *Service) draftRow(img Image, ticket string) []any {
	secret, reserved := "", int64(0)
	if ticket != "" {
		secret, reserved = text.Hash(ticket), s.config.MaxUploadBytes
	}
	return []any{
		img.Key, img.Account, img.ID, text.Hash(img.ID), sqldb.BoolInt(img.Custom), img.Creator,
		sqldb.Nullable(img.Meta), sqldb.BoolInt(img.RequireSignedURLs), sqldb.Micros(img.Created),
		sqldb.NullText(secret), sqldb.Micros(img.Ticket.Expires), sqldb.BoolInt(ticket != ""),
		reserved, longIDBytes(img.longestID()), sqldb.NullText(img.policy), img.Ticket.Uses, sqldb.NullText(img.Link),
		sqldb.NullText(img.metaSHA256),
	}
}

// newUUID returns a random UUID, version 4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
