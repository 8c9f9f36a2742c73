package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/sqldb"
	"calotype/internal/text"
	"calotype/internal/webhooks"
)

// An ErasureQuery selects the data to erase: all images and drafts of a creator, or one image. Exactly one
// field is set.
type ErasureQuery struct {
	Creator string
	ID      string
}

// subject returns the hash of the creator or image for the erasure's row.
func (q ErasureQuery) subject() string {
	if q.ID != "" {
		return text.Hash("id\x00" + q.ID)
	}
	return creatorSubject(q.Creator)
}

func creatorSubject(creator string) string { return text.Hash("creator\x00" + creator) }

// events selects the events about the data, and those of rows that are being deleted.
func (q ErasureQuery) events(account string, gone []deletedRow) webhooks.Erased {
	e := webhooks.Erased{Account: account, Creator: q.Creator, ID: q.ID}
	for _, d := range gone {
		e.Images = append(e.Images, d.Key)
	}
	return e
}

// where returns the condition of the rows; its parameters are the account and the value. It names both
// values of draft so that the index can be used.
func (q ErasureQuery) where() (condition, value string) {
	if q.ID != "" {
		return `account = ?1 AND id_sha256 = ?2`, text.Hash(q.ID)
	}
	return `account = ?1 AND draft IN (0, 1) AND creator = ?2`, q.Creator
}

// A Receipt lists the data that an erasure found and removed in all of its calls, and the data that is due.
type Receipt struct {
	Key          string
	Began        time.Time
	Mark         time.Time // of the last call: uploads that began before it are refused
	Ended        time.Time // zero while images or drafts may be left: repeat the call
	Images       int64
	Drafts       int64
	Bytes        int64     // of originals
	Renditions   int64     // removed on the called nodes
	Uploads      int64     // uploads in progress that were stopped there
	OriginalsDue int64     // with parts of resumable uploads; not deleted from the blob store yet
	Scrubbed     bool      // the rows were removed from the database's files
	Rebuild      time.Time // planned time of the rebuild, if one is needed and possible
}

const (
	erasureStep = 200 // rows of one transaction
	// EraseAtOnce is the number of rows that one call erases; the next call continues.
	EraseAtOnce = 2000
)

// Erase erases a creator's images and drafts, or one image: rows, originals, and the renditions of this
// node at once, those of other nodes within seconds. The ticket of an erased draft is invalid, and an
// upload for the creator that began before makes no image. Each call does bounded work; repeat it until
// Receipt.Ended is not zero. That is safe after a crash. Errors: Invalid, LimitReached,
// AccountSuspended; ImageNotFound if there is neither an image of the ID nor an event about one.
func (s *Service) Erase(ctx context.Context, account string, q ErasureQuery) (Receipt, error) {
	if (q.Creator == "") == (q.ID == "") {
		return Receipt{}, errs.Errorf(errs.Invalid,
			"what is to be erased must be named: a creator, which is not empty, or an image")
	}
	// In a wrong store all originals would seem to be deleted already. A server has checked the store at
	// its start, and deletes rows also while the store is not reachable.
	if s.spool == nil {
		if _, err := s.Installation(ctx); err != nil {
			return Receipt{}, err
		}
	}
	if err := s.orderErasure(ctx, account, q); err != nil {
		return Receipt{}, fmt.Errorf("ordering an erasure: %w", err)
	}
	taken := 0
	for taken < EraseAtOnce {
		n, err := s.eraseSome(ctx, account, q)
		if err != nil {
			return Receipt{}, fmt.Errorf("erasing: %w", err)
		}
		if n == 0 {
			break
		}
		taken += n
	}
	receipt, err := s.receipt(ctx, account, q)
	if err == nil && q.ID != "" && receipt.Images+receipt.Drafts == 0 && taken == 0 {
		err = ErrNoImage
	}
	return receipt, err
}

// orderErasure inserts the erasure's row, or continues one that has not ended.
func (s *Service) orderErasure(ctx context.Context, account string, q ErasureQuery) error {
	return s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		if q.Creator != "" {
			if err := lockCreator(tx, q.Creator); err != nil {
				return err
			}
		}
		// In the order of eraseSome: the erasure is locked first, then its account.
		ordered, err := tx.Exec(`UPDATE erasures SET mark = mark WHERE account = ?1 AND subject = ?2`,
			account, q.subject())
		if err != nil {
			return err
		}
		if err := s.payErasure(tx, account, q, ordered > 0); err != nil {
			return err
		}
		return s.insertErasure(tx, account, q)
	})
}

// payErasure charges the account for an erasure. An operator's erasure does not count for the rate. An
// erasure that finds rows is always accepted; others are limited, so that they cannot fill the disk.
// Errors: LimitReached, AccountSuspended.
func (s *Service) payErasure(tx *accounts.Change, account string, q ErasureQuery, ordered bool) error {
	var c accounts.Charge
	if s.spool != nil {
		c.Edits = 1
	}
	if !ordered {
		condition, value := q.where()
		found, err := sqldb.Exists(tx, `images WHERE `+condition, account, value)
		if err == nil && !found {
			found, err = sqldb.Exists(tx, `events WHERE account = ?1 AND creator = ?2`, account, value)
		}
		if err != nil {
			return err
		}
		if !found && s.spool != nil {
			c.KeptTimes = accounts.KeptAtDeletion
		}
	}
	if c != (accounts.Charge{}) {
		tx.Charge(account, c)
	}
	return tx.LockExisting(account)
}

// insertErasure inserts the erasure's row, or starts it again if it has ended. The account is locked.
func (s *Service) insertErasure(tx *accounts.Change, account string, q ErasureQuery) error {
	var there int64
	err := tx.QueryRow(`SELECT count(*) FROM erasures WHERE account = ?1 AND subject = ?2`,
		account, q.subject()).Scan(&there)
	if err != nil {
		return err
	}
	fresh := func(column, value string) string {
		return column + ` = CASE WHEN erasures.ended IS NULL THEN erasures.` + column +
			` ELSE ` + value + ` END, `
	}
	_, err = tx.Exec(`INSERT INTO erasures (account, subject, key, began, mark, scrubbed,
		images, drafts, bytes, renditions, uploads) VALUES (?1, ?2, ?3, ?4, ?4, 1, 0, 0, 0, 0, 0)
		ON CONFLICT (account, subject) DO UPDATE SET `+
		fresh("key", "excluded.key")+fresh("began", "excluded.began")+
		fresh("images", "0")+fresh("drafts", "0")+fresh("bytes", "0")+
		fresh("renditions", "0")+fresh("uploads", "0")+
		`mark = excluded.mark, ended = NULL`,
		account, q.subject(), text.NewKey(), sqldb.Micros(s.now()))
	if err != nil {
		return err
	}
	tx.CountKept(account, accounts.ErasureBytes*(1-there))
	return nil
}

// eraseSome erases some rows and their dependent data, and returns the number of rows. Without rows it records
// the end.
func (s *Service) eraseSome(ctx context.Context, account string, q ErasureQuery) (int, error) {
	var gone []deletedRow
	var purged *purgedBytes
	var events int
	var key string
	condition, value := q.where()
	err := s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		// The row is locked first, so that two calls for one creator wait for each other.
		err := tx.QueryRow(`UPDATE erasures SET mark = mark WHERE account = ?1 AND subject = ?2
			RETURNING key`, account, q.subject()).Scan(&key)
		if err != nil {
			return err
		}
		gone, purged, err = s.deleteRowsAndBytes(tx, key, condition+` AND key IN (SELECT key FROM images
			WHERE `+condition+` LIMIT `+strconv.Itoa(erasureStep)+`)`, account, value)
		if err != nil {
			return err
		}
		if err := tx.LockExisting(account); err != nil {
			return err
		}
		if events, err = webhooks.EraseEvents(tx, q.events(account, gone), erasureStep); err != nil {
			return err
		}
		if err := s.Webhooks.Record(tx, deletions(gone, true)...); err != nil {
			return err
		}
		return s.countErased(tx, account, q, gone, events)
	})
	if err != nil || len(gone)+events == 0 {
		return 0, err
	}
	_, err = s.Accounts.ExecInReserve(ctx, `UPDATE erasures SET renditions = renditions + ?2,
		uploads = uploads + ?3 WHERE key = ?1`, key, purged.renditions, purged.uploads)
	return len(gone) + events, err
}

// countErased adds deleted rows to the receipt, or records the end if no row is left.
func (s *Service) countErased(
	tx *accounts.Change, account string, q ErasureQuery, gone []deletedRow, events int,
) error {
	if len(gone)+events == 0 {
		_, err := tx.Exec(`UPDATE erasures SET ended = ?3 WHERE account = ?1 AND subject = ?2`,
			account, q.subject(), sqldb.Micros(s.now()))
		return err
	}
	var images, drafts, bytes int64
	for _, d := range gone {
		if d.Draft {
			drafts++
			continue
		}
		images, bytes = images+1, bytes+d.Original.Size
	}
	_, err := tx.Exec(`UPDATE erasures SET images = images + ?3, drafts = drafts + ?4,
		bytes = bytes + ?5, scrubbed = 0 WHERE account = ?1 AND subject = ?2`,
		account, q.subject(), images, drafts, bytes)
	return err
}

// receipt reads the state of an erasure.
func (s *Service) receipt(
	ctx context.Context, account string, q ErasureQuery,
) (r Receipt, err error) {
	var began, mark int64
	var ended sql.NullInt64
	err = s.db.QueryRow(ctx, `SELECT key, began, mark, ended, scrubbed, images, drafts, bytes,
		renditions, uploads FROM erasures WHERE account = ?1 AND subject = ?2`,
		account, q.subject()).Scan(&r.Key, &began, &mark, &ended, &r.Scrubbed,
		&r.Images, &r.Drafts, &r.Bytes, &r.Renditions, &r.Uploads)
	if err == nil {
		err = s.db.QueryRow(ctx, `SELECT count(*) FROM tombstones
			WHERE erasure = ?1 AND blob IS NOT NULL`, r.Key).Scan(&r.OriginalsDue)
	}
	if err == nil {
		var parts int64
		parts, err = s.Partials.PartsDue(ctx, r.Key)
		r.OriginalsDue += parts
	}
	if err != nil {
		return Receipt{}, fmt.Errorf("reading the receipt of an erasure: %w", err)
	}
	r.Began, r.Mark = sqldb.FromMicros(began), sqldb.FromMicros(mark)
	if ended.Valid {
		r.Ended = sqldb.FromMicros(ended.Int64)
		r.Rebuild = s.rebuildDue(r.Ended)
	}
	return r, nil
}

// FinishErasure does the work of background jobs for an ended erasure now, for an operator: see
// ScrubNow. It returns the new state of the receipt.
func (s *Service) FinishErasure(
	ctx context.Context, account string, q ErasureQuery,
) (Receipt, error) {
	if err := s.deleteOriginalsOf(ctx, account, q); err != nil {
		s.log.Warn("originals are left to a background job", "err", err)
	}
	if _, err := s.ScrubNow(ctx); err != nil {
		return Receipt{}, err
	}
	return s.receipt(ctx, account, q)
}

// deleteOriginalsOf retries the originals of an erasure: an earlier call may have been killed between a
// row and its bytes.
func (s *Service) deleteOriginalsOf(ctx context.Context, account string, q ErasureQuery) error {
	due, err := s.tombstones(ctx, `erasure = (SELECT key FROM erasures WHERE account = ?1 AND subject = ?2)`,
		account, q.subject())
	if err != nil {
		return err
	}
	cache := s.Cache()
	for _, t := range due {
		if _, err := cache.RemovePrefix(RenditionPrefix(t.blob)); err != nil {
			return err
		}
	}
	err = s.deleteBlobs(ctx, due)
	r, reading := s.receipt(ctx, account, q)
	if reading != nil {
		return errors.Join(err, reading)
	}
	return errors.Join(err, s.Partials.DeletePartsOf(ctx, r.Key))
}

// creatorFences is the number of rows of creator_fences.
const creatorFences = 16

// lockCreator locks the fence of a creator until the transaction ends. The following statements see all
// changes of transactions that have locked it before.
func lockCreator(tx *accounts.Change, creator string) error {
	slot := 0
	for _, c := range []byte(creatorSubject(creator)[:8]) {
		slot = (slot*31 + int(c)) % creatorFences
	}
	passed, err := tx.Exec(`UPDATE creator_fences SET turn = turn + 1 WHERE slot = ?1`, slot)
	if err == nil && passed != 1 {
		err = errors.New("there is no such fence")
	}
	if err != nil {
		return fmt.Errorf("passing a creator's fence: %w", err)
	}
	return nil
}

// checkNotErased refuses an image whose creator was erased since its upload began. It must be the
// first statement of the transaction that inserts the image. Drafts do not need it, because an
// erasure deletes their row.
func checkNotErased(tx *accounts.Change, img Image, began time.Time) error {
	if img.Creator == nil {
		return nil
	}
	if err := lockCreator(tx, *img.Creator); err != nil {
		return err
	}
	return refuseErased(tx, img, began)
}

// ErrErased says that an image's creator was erased since its upload or import began.
var ErrErased = errors.New("images: the creator was erased during the upload")

// refuseErased returns ErrErased if an image's creator was erased since a time.
func refuseErased(from sqldb.Reader, img Image, began time.Time) error {
	erased, err := sqldb.Exists(from, `erasures WHERE account = ?1 AND subject = ?2 AND mark >= ?3`,
		img.Account, creatorSubject(*img.Creator), sqldb.Micros(began))
	if err != nil {
		return fmt.Errorf("asking whether a creator was erased: %w", err)
	}
	if erased {
		return &errs.Error{Kind: errs.ImageNotFound, Err: ErrErased,
			Msg: "The images of this creator were erased while this one was being uploaded"}
	}
	return nil
}
