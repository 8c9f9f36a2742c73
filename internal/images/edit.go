package images

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/fields"
	"calotype/internal/sqldb"
	"calotype/internal/text"
	"calotype/internal/webhooks"
)

// An Edit is a change of an image or draft. Fields that are not set are unchanged.
type Edit struct {
	Meta              *json.RawMessage // replaces all metadata; a nil message removes it
	Creator           **string         // a nil string removes it
	RequireSignedURLs *bool
}

// EditImage changes an image or draft and returns the result. A change of RequireSignedURLs gives an image a
// new id, so that caches cannot serve entries of the old one; a draft has no cache entries, and keeps its id.
// Errors: ImageNotFound, also if the id has just changed; Invalid, also for making an image with a custom id
// private; LimitReached, AccountSuspended, NoSpace.
func (s *Service) EditImage(ctx context.Context, account, id string, e Edit) (Image, error) {
	if err := s.disk.CheckSpace(); err != nil {
		return Image{}, err
	}
	if err := s.Accounts.CheckKept(ctx, account); err != nil {
		return Image{}, err
	}
	if e.Creator != nil && *e.Creator != nil {
		if err := fields.CheckCreator(**e.Creator); err != nil {
			return Image{}, err
		}
	}
	if e.Meta != nil {
		compact, err := fields.CompactMeta(*e.Meta)
		if err != nil {
			return Image{}, err
		}
		e.Meta = &compact
	}
	var img Image
	err := s.Accounts.Change(ctx, func(tx *accounts.Change) (err error) {
		if e.Creator != nil && *e.Creator != nil {
			// An erasure of that creator is committed before this, or sees its changes.
			if err := lockCreator(tx, **e.Creator); err != nil {
				return err
			}
		}
		if img, err = editRow(tx, account, id, e); err != nil {
			return err
		}
		updated := newEvent(webhooks.ImageUpdated, img)
		if img.ID != id {
			updated.Facts.PreviousID = id
		}
		if err := s.Webhooks.Record(tx, updated); err != nil {
			return err
		}
		tx.Invalidate(e.stale(img, id))
		tx.Charge(account, accounts.Charge{Edits: 1, KeptTimes: 1})
		return nil
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Image{}, s.whyNotEdited(ctx, account, id, e)
	}
	if err != nil {
		return Image{}, fmt.Errorf("editing an image: %w", err)
	}
	return img, nil
}

// stale returns what the edit of an image with an earlier id makes out of date: it is private or public now.
func (e Edit) stale(img Image, id string) []accounts.Stale {
	if img.Draft || e.RequireSignedURLs == nil {
		return nil
	}
	return []accounts.Stale{{Account: img.Account, Key: img.Key, ID: id}}
}

// editRow runs one conditional statement and reads its result. Error: sql.ErrNoRows if the image does
// not exist, or has a custom id and would become private although the account has no such images. Of two
// concurrent edits of an image the second one edits the result of the first one. If that has a new id, the second
// one finds no row.
func editRow(tx *accounts.Change, account, id string, e Edit) (Image, error) {
	var meta, creator, private any
	if e.Meta != nil {
		meta = sqldb.Nullable(*e.Meta)
	}
	if e.Creator != nil {
		creator = *e.Creator
	}
	if e.RequireSignedURLs != nil {
		private = sqldb.BoolInt(*e.RequireSignedURLs)
	}
	fresh := newUUID()
	var key string
	err := tx.QueryRow(`UPDATE images SET
		meta = CASE WHEN ?3 = 1 THEN CAST(?4 AS TEXT) ELSE meta END,
		creator = CASE WHEN ?5 = 1 THEN CAST(?6 AS TEXT) ELSE creator END,
		require_signed = COALESCE(CAST(?7 AS SMALLINT), require_signed),
		id = CASE WHEN draft = 0 AND custom = 0 AND require_signed <> CAST(?7 AS SMALLINT)
			THEN ?8 ELSE id END,
		id_sha256 = CASE WHEN draft = 0 AND custom = 0 AND require_signed <> CAST(?7 AS SMALLINT)
			THEN ?9 ELSE id_sha256 END,
		draft_id = CASE WHEN draft = 0 AND custom = 0 AND require_signed <> CAST(?7 AS SMALLINT)
			THEN COALESCE(draft_id, id) ELSE draft_id END
		WHERE account = ?1 AND id_sha256 = ?2
			AND (custom = 0 OR COALESCE(CAST(?7 AS SMALLINT), 0) = 0 OR require_signed = 1
				OR EXISTS (SELECT 1 FROM accounts WHERE id = ?1 AND private_custom_ids = 1))
		RETURNING key`,
		account, text.Hash(id), sqldb.BoolInt(e.Meta != nil), meta, sqldb.BoolInt(e.Creator != nil), creator, private,
		fresh, text.Hash(fresh)).Scan(&key)
	if err != nil {
		return Image{}, err
	}
	if e.Meta != nil {
		if err := replaceMeta(tx, key); err != nil {
			return Image{}, err
		}
	}
	return ScanImage(tx.QueryRow(SelectImage+` WHERE key = ?1`, key))
}

// whyNotEdited returns the error of an edit that found no row.
func (s *Service) whyNotEdited(ctx context.Context, account, id string, e Edit) error {
	img, err := s.Image(ctx, account, id)
	if err != nil {
		return err
	}
	if img.Custom && !img.RequireSignedURLs && e.RequireSignedURLs != nil && *e.RequireSignedURLs {
		return errs.Errorf(errs.Invalid, "The image has a custom id and cannot be made private: delete it "+
			"and upload it again without a custom id, or set private_custom_ids in the configuration of the account")
	}
	return errs.Errorf(errs.ImageNotFound, "Image not found: it was changed by another request")
}
