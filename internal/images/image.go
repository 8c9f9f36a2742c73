package images

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/lookalikes"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// An Image is a picture, or a draft that waits for its upload.
type Image struct {
	Key               string // internal and immutable
	Account           string // the account's ID
	ID                string // public, mutable
	Custom            bool   // the ID was chosen by the client
	Creator           *string
	Meta              json.RawMessage // compact JSON object; nil if none was given
	Filename          *string         // nil in a draft
	RequireSignedURLs bool
	Created           time.Time
	Uploaded          time.Time // of a draft: Created
	Draft             bool
	Original          *Original // nil in a draft
	Ticket            *Ticket   // nil unless a draft
	Link              string    // Key of the link that the image was uploaded to; "" for none
	policy            string    // of its one-time URL, as stored; "" for none
	metaSHA256        string    // receipts.MetadataHash of the metadata at the creation of its draft; "" for none
	draftID           string    // the id of its draft, if it has another id now; else ""
}

// ErrNoImage is the refusal of an unknown id.
var ErrNoImage = errs.Errorf(errs.ImageNotFound, "Image not found")

// Image returns an image or draft. Error: ImageNotFound.
func (s *Service) Image(ctx context.Context, account, id string) (Image, error) {
	img, err := ScanImage(s.db.QueryRow(ctx,
		SelectImage+` WHERE account = ?1 AND id_sha256 = ?2`, account, text.Hash(id)))
	return img, sqldb.RowError("reading an image", err, ErrNoImage)
}

// imageOfKey returns an image or draft by its internal key. Error: sql.ErrNoRows.
func (s *Service) imageOfKey(ctx context.Context, key string) (Image, error) {
	return ScanImage(s.db.QueryRow(ctx, SelectImage+` WHERE key = ?1`, key))
}

// ImageByKey returns an image or draft of any account by its internal key: ImageNotFound.
func (s *Service) ImageByKey(ctx context.Context, key string) (Image, error) {
	img, err := s.imageOfKey(ctx, key)
	return img, sqldb.RowError("reading an image by its key", err, ErrNoImage)
}

// DeleteImage deletes an image or draft; the ticket of a deleted draft is invalid. It deletes the row first. A
// background job deletes bytes that could not be deleted. Errors: ImageNotFound, LimitReached,
// AccountSuspended.
func (s *Service) DeleteImage(ctx context.Context, account, id string) error {
	err := s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		gone, _, err := s.deleteRowsAndBytes(tx, "", `account = ?1 AND id_sha256 = ?2`, account, text.Hash(id))
		if err == nil && len(gone) == 0 {
			err = ErrNoImage
		}
		if err != nil {
			return err
		}
		tx.Charge(account, accounts.Charge{Edits: 1})
		return s.Webhooks.Record(tx, deletions(gone, false)...)
	})
	if err != nil {
		return fmt.Errorf("deleting an image: %w", err)
	}
	return nil
}

const imageColumns = `key, account, id, custom, creator, meta, filename, require_signed,
	created, uploaded, draft, expires, refusals, last_kind, last_message, refused_sha256,
	blob, format, stored_width, stored_height, max_pixels, scans, orientation, frames, alpha,
	size, sha256, thumbhash, policy, uses, used, family, meta_sha256, draft_id, stripped, received_sha256,
	phash`

// SelectImage is the beginning of a statement that reads images, which ScanImage scans.
const SelectImage = `SELECT ` + imageColumns + ` FROM images`

// ScanImage scans a row of SelectImage.
func ScanImage(r sqldb.Row) (Image, error) { return scanImageAnd(r) }

// scanImageAnd scans imageColumns and further columns.
func scanImageAnd(r sqldb.Row, more ...any) (Image, error) {
	var (
		img                             Image
		ticket                          Ticket
		created, uploaded, expires      int64
		kind                            string
		meta, refused, policy           sql.NullString
		metaSHA256, draftID             sql.NullString
		blob, format, sha256, thumbhash sql.NullString
		width, height, orientation      sql.NullInt64
		maxPixels, scans, frames, size  sql.NullInt64
		alpha                           sql.NullBool
		family, stripped, received      sql.NullString
		hash                            sql.NullInt64
	)
	err := r.Scan(append([]any{&img.Key, &img.Account, &img.ID, &img.Custom, &img.Creator, &meta,
		&img.Filename, &img.RequireSignedURLs, &created, &uploaded, &img.Draft,
		&expires, &ticket.Refusals, &kind, &ticket.LastMessage, &refused,
		&blob, &format, &width, &height, &maxPixels, &scans, &orientation, &frames, &alpha,
		&size, &sha256, &thumbhash, &policy, &ticket.Uses, &ticket.Used, &family, &metaSHA256, &draftID,
		&stripped, &received, &hash}, more...)...)
	if err != nil {
		return Image{}, err
	}
	img.Created, img.Uploaded = sqldb.FromMicros(created), sqldb.FromMicros(uploaded)
	if meta.Valid {
		img.Meta = json.RawMessage(meta.String)
	}
	img.Link, img.policy = family.String, policy.String
	img.metaSHA256, img.draftID = metaSHA256.String, draftID.String
	if img.Draft {
		if ticket.Policy, err = img.UploadPolicy(); err != nil {
			return Image{}, err
		}
		ticket.Expires, ticket.LastKind = sqldb.FromMicros(expires), errs.KindNamed(kind)
		ticket.refused = refused.String
		img.Ticket = &ticket
		return img, nil
	}
	img.Original = &Original{
		Blob: blob.String,
		Header: imagefile.Header{
			Format: imagefile.Format(format.String), Width: int(width.Int64), Height: int(height.Int64),
			MaxPixels: maxPixels.Int64, Scans: int(scans.Int64),
			Orientation: int(orientation.Int64), Frames: int(frames.Int64),
		},
		Alpha: alpha.Bool, Size: size.Int64, SHA256: sha256.String, Thumbhash: thumbhash.String,
		received: received.String,
	}
	if hash.Valid {
		img.Original.Phash = lookalikes.Text(hash.Int64)
	}
	if stripped.Valid {
		img.Original.Stripped = strings.Fields(stripped.String)
	}
	img.Original.Width, img.Original.Height = img.Original.Header.Shown()
	return img, nil
}
