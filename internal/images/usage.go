package images

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"calotype/internal/errs"
	"calotype/internal/sqldb"
)

// Usage is what an account holds.
type Usage struct {
	Images int64
	Bytes  int64 // of originals, and what open drafts reserve
	Drafts int64 // open ones: those that expired some minutes ago do not count
	Kept   int64 // bytes of what else is kept for it: events and the like
}

// Limits bound what an account may hold and do; NoLimit is none.
type Limits struct {
	Images int64 // open drafts count, for each may become one
	Bytes  int64 // an open draft counts as the largest upload allowed
	Drafts int64 // open ones
	Mints  int64 // drafts made a minute
	Kept   int64 // bytes of events and the like
	Edits  int64 // edits, deletions and erasures made a minute
}

// NoLimit is the absence of a limit.
const NoLimit = -1

const defaultMaxDrafts = 100_000

// releaseAfter is the time from a draft's expiry until it gives back what it reserves. An upload
// that began in time and takes longer is charged anew.
const releaseAfter = 10 * time.Minute

// A charge is what an account is to hold more, or less.
type charge struct {
	images, bytes, drafts int64
	mints, edits          int64 // only ever more

	// kept is how many times its limit the account may keep, 0 for whatever: what this transaction
	// has added included, and the bytes that will come of it.
	kept, coming int64
}

// pay charges an account, or refuses: AccountSuspended, LimitReached. It is the last statement of
// its transaction that writes, as the account's row is what all writers of an account wait for. Rows
// of images come before it always, or two transactions could wait for each other.
func (s *Service) pay(tx *sqldb.Tx, account string, c charge) error {
	const (
		minted = `CASE WHEN mint_minute BETWEEN CAST(?6 AS BIGINT) AND CAST(?6 AS BIGINT) + 1
			THEN minted ELSE 0 END`
		edited = `CASE WHEN edit_minute BETWEEN CAST(?6 AS BIGINT) AND CAST(?6 AS BIGINT) + 1
			THEN edited ELSE 0 END`
	)
	changed, err := tx.Exec(`UPDATE accounts SET
		used_images = used_images + CAST(?2 AS BIGINT),
		used_bytes = used_bytes + CAST(?3 AS BIGINT),
		used_drafts = used_drafts + CAST(?4 AS BIGINT),
		minted = CAST(?5 AS BIGINT) + `+minted+`,
		mint_minute = CASE WHEN mint_minute = CAST(?6 AS BIGINT) + 1 THEN mint_minute
			ELSE CAST(?6 AS BIGINT) END,
		edited = CAST(?7 AS BIGINT) + `+edited+`,
		edit_minute = CASE WHEN edit_minute = CAST(?6 AS BIGINT) + 1 THEN edit_minute
			ELSE CAST(?6 AS BIGINT) END
		WHERE id = ?1 AND suspended = 0
		AND (CAST(?2 AS BIGINT) + CAST(?4 AS BIGINT) <= 0 OR max_images < 0 OR
			used_images + used_drafts + CAST(?2 AS BIGINT) + CAST(?4 AS BIGINT) <= max_images)
		AND (CAST(?3 AS BIGINT) <= 0 OR max_bytes < 0 OR
			used_bytes + CAST(?3 AS BIGINT) <= max_bytes)
		AND (CAST(?4 AS BIGINT) <= 0 OR max_drafts < 0 OR
			used_drafts + CAST(?4 AS BIGINT) <= max_drafts)
		AND (CAST(?5 AS BIGINT) = 0 OR max_mints < 0 OR
			CAST(?5 AS BIGINT) + `+minted+` <= max_mints)
		AND (CAST(?7 AS BIGINT) = 0 OR max_edits < 0 OR
			CAST(?7 AS BIGINT) + `+edited+` <= max_edits)
		AND (CAST(?8 AS BIGINT) = 0 OR max_kept < 0 OR
			kept_bytes + CAST(?9 AS BIGINT) + `+keptReserved(`CAST(?4 AS BIGINT)`)+`
				<= max_kept * CAST(?8 AS BIGINT))`,
		account, c.images, c.bytes, c.drafts, c.mints, s.Now().Unix()/60, c.edits, c.kept, c.coming)
	if err != nil {
		return fmt.Errorf("charging an account: %w", err)
	}
	if changed > 0 {
		return nil
	}
	a, err := scanAccount(tx.QueryRow(selectAccount+` WHERE id = ?1`, account))
	if err == nil && c.kept > 0 { // its drafts will add to what it keeps
		var reserved int64
		err = tx.QueryRow(`SELECT `+keptReserved(`CAST(?2 AS BIGINT)`)+` FROM accounts
			WHERE id = ?1`, account, c.drafts).Scan(&reserved)
		a.Used.Kept += reserved
	}
	if errors.Is(err, sql.ErrNoRows) {
		return errNoAccount
	}
	if err != nil {
		return fmt.Errorf("reading why an account was not charged: %w", err)
	}
	return a.refusal(c)
}

// refusal says why a charge was refused.
func (a Account) refusal(c charge) error {
	err := a.wouldRefuse(c)
	if err == nil { // it did a moment ago
		err = errs.Errorf(errs.LimitReached, "The account has reached a service limit")
	}
	return err
}

// wouldRefuse says what stands against a charge, as far as a row that was read can tell: it takes a
// limit on mints or edits for reached, as it does not know their number.
func (a Account) wouldRefuse(c charge) error {
	over := func(limit, used, more int64) bool { return more > 0 && limit >= 0 && used+more > limit }
	limit := ""
	switch {
	case a.Suspended:
		return suspendedError()
	case over(a.Limits.Images, a.Used.Images+a.Used.Drafts, c.images+c.drafts):
		limit = fmt.Sprintf("%d images, open drafts included", a.Limits.Images)
	case over(a.Limits.Bytes, a.Used.Bytes, c.bytes):
		limit = fmt.Sprintf("%d bytes, of which an open draft takes those of the largest upload",
			a.Limits.Bytes)
	case over(a.Limits.Drafts, a.Used.Drafts, c.drafts):
		limit = fmt.Sprintf("%d drafts that wait for their upload", a.Limits.Drafts)
	case c.kept > 0 && a.Limits.Kept >= 0 && a.Used.Kept+c.coming > c.kept*a.Limits.Kept:
		limit = keptLimit(a.Limits.Kept)
	case c.edits > 0 && a.Limits.Edits >= 0:
		limit = fmt.Sprintf("%d edits and deletions a minute", a.Limits.Edits)
	case c.mints > 0 && a.Limits.Mints >= 0:
		limit = fmt.Sprintf("%d one-time URLs a minute", a.Limits.Mints)
	default:
		return nil
	}
	return limitReached(limit)
}

func limitReached(limit string) error {
	return errs.Errorf(errs.LimitReached, "The account has reached its service limit of %s", limit)
}

func suspendedError() error {
	return errs.Errorf(errs.AccountSuspended, "The account is suspended: ask the operator of this service")
}

// credit gives accounts back what they do not hold any more, in the order of their ids.
func credit(tx *sqldb.Tx, credits map[string]charge) error {
	for _, account := range slices.Sorted(maps.Keys(credits)) {
		c := credits[account]
		if c == (charge{}) {
			continue
		}
		_, err := tx.Exec(`UPDATE accounts SET used_images = used_images - ?2,
			used_bytes = used_bytes - ?3, used_drafts = used_drafts - ?4 WHERE id = ?1`,
			account, c.images, c.bytes, c.drafts)
		if err != nil {
			return fmt.Errorf("crediting an account: %w", err)
		}
	}
	return nil
}

// releaseExpiredDrafts gives back what drafts reserve whose time is over, and has webhooks told;
// their rows stay a while.
func (s *Service) releaseExpiredDrafts(ctx context.Context) error {
	const some = 1000
	for {
		released := 0
		err := s.DB.RetryTx(ctx, func(tx *sqldb.Tx) error {
			rows, err := tx.Query(`UPDATE images SET open = 0 WHERE draft = 1 AND open = 1 AND key IN (
				SELECT key FROM images WHERE draft = 1 AND open = 1 AND expires < ?1
				ORDER BY expires LIMIT ?2) RETURNING `+imageColumns+`, reserved`,
				sqldb.Micros(s.Now().Add(-releaseAfter)), some)
			if err != nil {
				return err
			}
			credits := map[string]charge{}
			all, err := sqldb.Collect(rows, func(r sqldb.Row) (img Image, err error) {
				var reserved int64
				img, err = scanImageAnd(r, &reserved)
				c := credits[img.Account]
				credits[img.Account] = charge{drafts: c.drafts + 1, bytes: c.bytes + reserved}
				return img, err
			})
			if released = len(all); err != nil {
				return err
			}
			if err := s.recordByAccount(tx, expirations(all)); err != nil {
				return err
			}
			return credit(tx, credits)
		})
		if err != nil {
			return fmt.Errorf("releasing expired drafts: %w", err)
		}
		s.outbox.nudge()
		if released < some {
			return nil
		}
	}
}
