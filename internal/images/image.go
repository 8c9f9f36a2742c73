package images

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// An Image is a picture, or a draft that still waits for its bytes.
type Image struct {
	Key               string // internal and immutable
	Account           string // the account's ID
	ID                string // public, mutable
	Custom            bool   // the ID was chosen by the client
	Creator           *string
	Meta              json.RawMessage // compact JSON object; nil when none was given
	Filename          *string         // nil in a draft
	RequireSignedURLs bool
	Created           time.Time
	Uploaded          time.Time // of a draft: Created
	Draft             bool
	Original          *Original // nil in a draft
	Ticket            *Ticket   // nil unless a draft
}

// An Original is the bytes as they came, and what is known of them.
type Original struct {
	Blob          string // key in the blob store
	Header        render.Header
	Width, Height int // pixels, as shown
	Alpha         bool
	Size          int64  // bytes
	SHA256        string // hex
	Thumbhash     string // base64
}

// Animated reports whether the original moves.
func (o *Original) Animated() bool { return o.Header.Frames > 1 }

// Image returns an image or draft; ImageNotFound when there is none.
func (s *Service) Image(ctx context.Context, account, id string) (Image, error) {
	img, err := scanImage(s.DB.QueryRow(ctx,
		selectImage+` WHERE account = ?1 AND id_sha256 = ?2`, account, hashHex(id)))
	if errors.Is(err, sql.ErrNoRows) {
		return img, Errorf(ImageNotFound, "Image not found")
	}
	if err != nil {
		return img, fmt.Errorf("reading an image: %w", err)
	}
	return img, nil
}

// imageOfKey returns an image or draft by its internal key; sql.ErrNoRows when there is none.
func (s *Service) imageOfKey(ctx context.Context, key string) (Image, error) {
	return scanImage(s.DB.QueryRow(ctx, selectImage+` WHERE key = ?1`, key))
}

// OpenOriginal returns an image's stored bytes; ImageNotFound for a draft.
func (s *Service) OpenOriginal(
	ctx context.Context, account, id string,
) (Image, io.ReadCloser, error) {
	img, err := s.Image(ctx, account, id)
	if err != nil {
		return img, nil, err
	}
	if img.Draft {
		return img, nil, Errorf(ImageNotFound, "Image not found: it is a draft, not uploaded yet")
	}
	r, err := s.Blobs.Open(ctx, img.Original.Blob)
	if err != nil {
		return img, nil, fmt.Errorf("opening the original of image %s: %w", img.Key, err)
	}
	return img, r, nil
}

// DeleteImage deletes an image or draft, whose ticket dies with it; ImageNotFound when there is
// none. The row goes first; bytes that could not be removed are left to a periodic job.
func (s *Service) DeleteImage(ctx context.Context, account, id string) error {
	gone, err := s.deleteRow(ctx, account, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Errorf(ImageNotFound, "Image not found")
	}
	if err != nil {
		return fmt.Errorf("deleting an image: %w", err)
	}
	s.removeGone(ctx, []deletedRow{gone})
	return nil
}

// deleteRow deletes the row of an image or draft; sql.ErrNoRows when there is none.
func (s *Service) deleteRow(ctx context.Context, account, id string) (gone deletedRow, err error) {
	err = s.DB.Tx(ctx, func(tx *sqldb.Tx) error {
		rows, err := deleteRows(tx, `account = ?1 AND id_sha256 = ?2`, account, hashHex(id))
		if err == nil && len(rows) == 0 {
			err = sql.ErrNoRows
		}
		if err != nil {
			return err
		}
		gone = rows[0]
		return s.bury(tx, "", rows)
	})
	return gone, err
}

// ListQuery asks for a page of images.
type ListQuery struct {
	Limit     int    // 1 to 10,000
	Token     string // continuation token; "" is the beginning
	Ascending bool
	Creator   *string // "" is "without creator"
}

// ListPage is a page of images; Next is "" on the last one.
type ListPage struct {
	Images []Image
	Next   string
}

// MaxListLimit bounds a page.
const MaxListLimit = 10_000

// ListImages returns a page of images by time of upload, never drafts. Paging is by the last row
// seen, so that what is inserted or deleted meanwhile shifts nothing.
func (s *Service) ListImages(ctx context.Context, account string, q ListQuery) (ListPage, error) {
	if q.Limit < 1 || q.Limit > MaxListLimit {
		return ListPage{}, Errorf(Invalid, "per_page must be between 1 and %d", MaxListLimit)
	}
	query, args, err := q.statement(account)
	if err != nil {
		return ListPage{}, err
	}
	rows, err := s.DB.Query(ctx, query, args...)
	if err != nil {
		return ListPage{}, fmt.Errorf("listing images: %w", err)
	}
	page := ListPage{}
	if page.Images, err = collect(rows, scanImage); err != nil {
		return ListPage{}, fmt.Errorf("listing images: %w", err)
	}
	if len(page.Images) > q.Limit {
		page.Images = page.Images[:q.Limit]
		page.Next = pageToken(page.Images[q.Limit-1])
	}
	return page, nil
}

// PageQuery asks for a numbered page of images.
type PageQuery struct {
	Page, Limit int     // from 1
	Creator     *string // "" is "without creator"
}

// NumberedPage is a page of images and how many there are in all.
type NumberedPage struct {
	Images []Image
	Total  int
}

// ListPage returns a numbered page of images, newest first, never drafts. What is inserted or
// deleted between two pages shifts the second: ListImages does not have this fault.
func (s *Service) ListPage(
	ctx context.Context, account string, q PageQuery,
) (page NumberedPage, err error) {
	if q.Page < 1 || q.Limit < 1 || q.Limit > MaxListLimit || q.Page > 1<<31/q.Limit {
		return page, Errorf(Invalid, "page must be at least 1, and per_page between 1 and %d",
			MaxListLimit)
	}
	where, args := ofAccount(account, q.Creator)
	count := s.DB.QueryRow(ctx, `SELECT count(*) FROM images`+where, args...)
	if err := count.Scan(&page.Total); err != nil {
		return page, fmt.Errorf("counting images: %w", err)
	}
	rows, err := s.DB.Query(ctx, selectImage+where+` ORDER BY uploaded DESC, key DESC LIMIT `+
		strconv.Itoa(q.Limit)+` OFFSET `+strconv.Itoa((q.Page-1)*q.Limit), args...)
	if err != nil {
		return page, fmt.Errorf("listing images: %w", err)
	}
	page.Images, err = collect(rows, scanImage)
	return page, err
}

// ofAccount is the condition that lists have in common.
func ofAccount(account string, creator *string) (where string, args []any) {
	where, args = ` WHERE account = ?1 AND draft = 0`, []any{account}
	switch {
	case creator == nil:
	case *creator == "":
		where += ` AND creator IS NULL`
	default:
		where, args = where+` AND creator = ?2`, append(args, *creator)
	}
	return where, args
}

// statement asks for one row more than the page holds, to know whether there is a next one.
func (q ListQuery) statement(account string) (string, []any, error) {
	where, args := ofAccount(account, q.Creator)
	order, compare := `DESC`, `<`
	if q.Ascending {
		order, compare = `ASC`, `>`
	}
	if q.Token != "" {
		uploaded, key, err := parsePageToken(q.Token)
		if err != nil {
			return "", nil, err
		}
		args = append(args, uploaded, key)
		where += fmt.Sprintf(` AND (uploaded, key) %s (?%d, ?%d)`, compare, len(args)-1, len(args))
	}
	return selectImage + where + ` ORDER BY uploaded ` + order + `, key ` + order +
		` LIMIT ` + strconv.Itoa(q.Limit+1), args, nil
}

func pageToken(last Image) string {
	return base64.RawURLEncoding.EncodeToString(
		[]byte(strconv.FormatInt(micros(last.Uploaded), 10) + "." + last.Key))
}

func parsePageToken(token string) (uploaded int64, key string, err error) {
	plain, err := base64.RawURLEncoding.DecodeString(token)
	before, key, found := strings.Cut(string(plain), ".")
	if err == nil && found {
		uploaded, err = strconv.ParseInt(before, 10, 64)
	}
	if err != nil || !found || !isKey(key) {
		return 0, "", Errorf(Invalid, "the continuation_token is not valid: "+
			"it must be one that the last page gave")
	}
	return uploaded, key, nil
}

const selectImage = `SELECT key, account, id, custom, creator, meta, filename, require_signed,
	created, uploaded, draft, expires, refusals, last_kind, last_message,
	blob, format, stored_width, stored_height, max_pixels, scans, orientation, frames, alpha,
	size, sha256, thumbhash
	FROM images`

func scanImage(r row) (Image, error) {
	var (
		img                             Image
		ticket                          Ticket
		created, uploaded, expires      int64
		kind                            string
		meta                            sql.NullString
		blob, format, sha256, thumbhash sql.NullString
		width, height, orientation      sql.NullInt64
		maxPixels, scans, frames, size  sql.NullInt64
		alpha                           sql.NullBool
	)
	err := r.Scan(&img.Key, &img.Account, &img.ID, &img.Custom, &img.Creator, &meta, &img.Filename,
		&img.RequireSignedURLs, &created, &uploaded, &img.Draft,
		&expires, &ticket.Refusals, &kind, &ticket.LastMessage,
		&blob, &format, &width, &height, &maxPixels, &scans, &orientation, &frames, &alpha,
		&size, &sha256, &thumbhash)
	if err != nil {
		return Image{}, err
	}
	img.Created, img.Uploaded = fromMicros(created), fromMicros(uploaded)
	if meta.Valid {
		img.Meta = json.RawMessage(meta.String)
	}
	if img.Draft {
		ticket.Expires, ticket.LastKind = fromMicros(expires), kindNamed(kind)
		img.Ticket = &ticket
		return img, nil
	}
	img.Original = &Original{
		Blob: blob.String,
		Header: render.Header{
			Format: render.Format(format.String), Width: int(width.Int64), Height: int(height.Int64),
			MaxPixels: maxPixels.Int64, Scans: int(scans.Int64),
			Orientation: int(orientation.Int64), Frames: int(frames.Int64),
		},
		Alpha: alpha.Bool, Size: size.Int64, SHA256: sha256.String, Thumbhash: thumbhash.String,
	}
	img.Original.Width, img.Original.Height = img.Original.Header.Shown()
	return img, nil
}
