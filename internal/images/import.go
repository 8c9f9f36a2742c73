package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/sqldb"
	"calotype/internal/text"
)

// An ImportedImage is an image with the properties that its source reports.
type ImportedImage struct {
	ID                string
	Uploaded          time.Time
	Filename          string
	Meta              json.RawMessage // a JSON object; nil for none
	Creator           *string
	RequireSignedURLs bool

	// Properties of the original, if the source reports them.
	Size   int64  // bytes; 0 if not known
	SHA256 string // hex; "" if not known
}

// ErrIncomplete says that bytes do not have the size or SHA-256 that the source states.
var ErrIncomplete = errors.New("images: the bytes differ from the source's size or SHA-256")

// custom reports whether the id counts as chosen by a client. Sources do not report that. A client cannot
// choose a UUID, nor an id for a private image unless the account has private custom ids.
func (i ImportedImage) custom(s accounts.Settings) bool {
	return !fields.UUID.MatchString(i.ID) && (!i.RequireSignedURLs || s.PrivateCustomIDs)
}

// Adapted returns the image without what is not valid here, and a sentence on each removed or changed part:
// the picture is more important than its metadata. Errors: Invalid or InvalidID if the image itself is
// not valid.
//
// An id of the source may have a foreign file extension: that rule is for new ids only.
func (i ImportedImage) Adapted() (adapted ImportedImage, lost []string, err error) {
	if err := fields.CheckID(i.ID); err != nil {
		return i, nil, err
	}
	if i.Uploaded.IsZero() {
		return i, nil, errs.Errorf(errs.Invalid, "the source does not report the time of the upload")
	}
	i.Uploaded = sqldb.FromMicros(sqldb.Micros(i.Uploaded))
	if i.Creator != nil {
		if err := fields.CheckCreator(*i.Creator); err != nil {
			i.Creator, lost = nil, append(lost, errs.AsError(err).Msg)
		}
	}
	if i.Meta, err = fields.CompactMeta(i.Meta); err != nil {
		i.Meta, lost = nil, append(lost, errs.AsError(err).Msg)
	}
	if clean := fields.CleanFilename(i.Filename); clean != i.Filename {
		lost = append(lost, fmt.Sprintf("the filename is shortened to %q", clean))
		i.Filename = clean
	}
	return i, lost, nil
}

// Differs returns the names of the fields in which img differs from i, which must be adapted. Without fields
// there is nothing to do. Sources have times in milliseconds.
func (i ImportedImage) Differs(img Image) (fields []string) {
	if img.Draft {
		return []string{"draft"}
	}
	differ := func(field string, differs bool) {
		if differs {
			fields = append(fields, field)
		}
	}
	differ("sha256", i.SHA256 != "" && i.SHA256 != img.Original.ReceivedSHA256())
	differ("uploaded", !i.Uploaded.Truncate(time.Millisecond).
		Equal(img.Uploaded.Truncate(time.Millisecond)))
	differ("filename", img.Filename == nil || *img.Filename != i.Filename)
	differ("metadata", string(i.Meta) != string(img.Meta))
	differ("creator", (i.Creator == nil) != (img.Creator == nil) ||
		i.Creator != nil && *i.Creator != *img.Creator)
	differ("requireSignedURLs", i.RequireSignedURLs != img.RequireSignedURLs)
	return fields
}

// Import creates an image from the complete body, as Create does, with the id, the time and the fields of its
// source, which was listed at a time: an erasure since then refuses it. Errors: Invalid, InvalidID, Exists;
// Unsupported, Undecodable, OverLimits; ErrIncomplete, ErrErased; Busy, NoSpace.
func (b *Body) Import(ctx context.Context, i ImportedImage, listed time.Time) (Image, error) {
	ctx, cancel := b.complete(ctx)
	defer cancel()
	i, _, err := i.Adapted()
	if err != nil {
		return Image{}, err
	}
	switch {
	case i.Size != 0 && i.Size != b.size:
		return Image{}, fmt.Errorf("%w: %d bytes instead of %d", ErrIncomplete, b.size, i.Size)
	case i.SHA256 != "" && i.SHA256 != b.sha256():
		return Image{}, fmt.Errorf("%w: the SHA-256 is another", ErrIncomplete)
	}
	account, err := b.s.Accounts.ByID(ctx, b.account)
	if err != nil {
		return Image{}, err
	}
	now := sqldb.FromMicros(sqldb.Micros(b.s.now()))
	draft := Image{
		Key: text.NewKey(), Account: b.account, ID: i.ID, Custom: i.custom(account.Settings), Creator: i.Creator,
		Meta: i.Meta, RequireSignedURLs: i.RequireSignedURLs, Draft: true, Created: now,
		Uploaded: now, Ticket: &Ticket{Expires: now.Add(defaultTicketLife), Uses: 1},
	}
	b.privacy = account.Settings.StripOriginals
	return b.insert(ctx, draft, i.Filename, i.Uploaded, listed)
}

// Try examines the complete body as Import does, and stores nothing. Errors: Unsupported, Undecodable, OverLimits,
// Blocked; Busy.
func (b *Body) Try(ctx context.Context) error {
	ctx, cancel := b.complete(ctx)
	defer cancel()
	original, err := b.Examine(ctx)
	if err == nil {
		err = b.refuseBlocked(ctx, original)
	}
	return err
}

// UpdateImported updates the fields of an image from its source, not its bytes. Error: ImageNotFound if
// there is no image of that id with these bytes.
func (s *Service) UpdateImported(ctx context.Context, account string, i ImportedImage) error {
	i, _, err := i.Adapted()
	if err != nil {
		return err
	}
	err = s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		if i.Creator != nil {
			if err := lockCreator(tx, *i.Creator); err != nil {
				return err
			}
		}
		var key string
		err := tx.QueryRow(`UPDATE images SET filename = ?3, meta = ?4, creator = ?5,
			require_signed = CAST(?6 AS SMALLINT),
			custom = CASE WHEN CAST(?6 AS SMALLINT) = 1 AND NOT EXISTS (SELECT 1 FROM accounts
				WHERE id = ?1 AND private_custom_ids = 1) THEN 0 ELSE custom END
			WHERE account = ?1 AND id_sha256 = ?2 AND draft = 0
			AND (CAST(?7 AS TEXT) = '' OR COALESCE(received_sha256, sha256) = CAST(?7 AS TEXT))
			RETURNING key`,
			account, text.Hash(i.ID), i.Filename, sqldb.Nullable(i.Meta), i.Creator,
			sqldb.BoolInt(i.RequireSignedURLs), i.SHA256).Scan(&key)
		if err != nil {
			return err
		}
		tx.Invalidate([]accounts.Stale{{Account: account, Key: key, ID: i.ID}})
		return replaceMeta(tx, key)
	})
	return sqldb.RowError("updating an imported image", err, ErrNoImage)
}

// MaxNamed limits the ids of a call of ImagesNamed.
const MaxNamed = 1000

// ImagesNamed returns the images and drafts of an account with one of the ids, by id.
func (s *Service) ImagesNamed(
	ctx context.Context, account string, ids []string,
) (map[string]Image, error) {
	if len(ids) > MaxNamed {
		return nil, errs.Errorf(errs.Invalid, "at most %d images can be asked for at once", MaxNamed)
	}
	found := map[string]Image{}
	if len(ids) == 0 {
		return found, nil
	}
	args := []any{account}
	for _, id := range ids {
		args = append(args, text.Hash(id))
	}
	all, err := sqldb.Select(s.db.Reader(ctx), ScanImage, SelectImage+` WHERE account = ?1
		AND id_sha256 IN (`+sqldb.Placeholders(2, len(ids))+`)`, args...)
	if err != nil {
		return nil, fmt.Errorf("reading images by their ids: %w", err)
	}
	for _, img := range all {
		found[img.ID] = img
	}
	return found, nil
}
