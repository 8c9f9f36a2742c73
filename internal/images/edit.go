package images

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// An Edit is a change of an image or draft. What it does not name stays as it is.
type Edit struct {
	Meta              *json.RawMessage // in place of all there was; nil in it for none
	Creator           **string         // nil in it for none
	RequireSignedURLs *bool
}

// EditImage changes an image or draft and returns what it then is. A change of RequireSignedURLs
// gives an image a new id, so that what caches hold under the old one is never taken for it; a
// draft, of which there is nothing to hold, keeps its id. ImageNotFound when there is none of that
// id (any more); Invalid, also for a custom id that is to become private; LimitReached,
// AccountSuspended, NoSpace.
func (s *Service) EditImage(ctx context.Context, account, id string, e Edit) (Image, error) {
	if err := s.WantRoom(); err != nil {
		return Image{}, err
	}
	if err := s.mayKeep(ctx, account); err != nil {
		return Image{}, err
	}
	if e.Creator != nil && *e.Creator != nil {
		if err := checkCreator(**e.Creator); err != nil {
			return Image{}, err
		}
	}
	if e.Meta != nil {
		compact, err := compactMeta(*e.Meta)
		if err != nil {
			return Image{}, err
		}
		e.Meta = &compact
	}
	var img Image
	err := s.change(ctx, func(tx *Change) (err error) {
		if e.Creator != nil && *e.Creator != nil {
			// An erasure of that creator takes place before this, or sees what it wrote.
			if err := lockCreator(tx, **e.Creator); err != nil {
				return err
			}
		}
		if img, err = editRow(tx, account, id, e); err != nil {
			return err
		}
		updated := Event{Type: ImageUpdated, Image: img}
		if img.ID != id {
			updated.PreviousID = id
		}
		if err := s.record(tx, account, updated); err != nil {
			return err
		}
		s.invalidate(tx)
		tx.Charge(account, Charge{Edits: 1, KeptTimes: 1})
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

// editRow is one conditional statement, and the reading of what it made: sql.ErrNoRows when there
// is no such image, or when it has a custom id and is to become private. Of two edits of one image
// the second sees what the first left. If that has another id now, the second finds none.
func editRow(tx *Change, account, id string, e Edit) (Image, error) {
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
			THEN ?9 ELSE id_sha256 END
		WHERE account = ?1 AND id_sha256 = ?2
			AND (custom = 0 OR COALESCE(CAST(?7 AS SMALLINT), 0) = 0)
		RETURNING key`,
		account, hashHex(id), sqldb.BoolInt(e.Meta != nil), meta, sqldb.BoolInt(e.Creator != nil), creator, private,
		fresh, hashHex(fresh)).Scan(&key)
	if err != nil {
		return Image{}, err
	}
	if e.Meta != nil {
		if err := replaceMeta(tx, key); err != nil {
			return Image{}, err
		}
	}
	return scanImage(tx.QueryRow(selectImage+` WHERE key = ?1`, key))
}

// whyNotEdited says why an edit found no row.
func (s *Service) whyNotEdited(ctx context.Context, account, id string, e Edit) error {
	img, err := s.Image(ctx, account, id)
	if err != nil {
		return err
	}
	if img.Custom && e.RequireSignedURLs != nil && *e.RequireSignedURLs {
		return errs.Errorf(errs.Invalid, "The image has a custom id and cannot be made private: delete it "+
			"and upload it again without an id of its own")
	}
	return errs.Errorf(errs.ImageNotFound, "Image not found: it was changed meanwhile")
}
