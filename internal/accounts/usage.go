package accounts

import (
	"database/sql"
	"errors"
	"fmt"

	"calotype/internal/errs"
)

// Usage counts the rows and bytes of an account. It is stored in the account's row.
type Usage struct {
	Images int64 // without drafts
	Bytes  int64 // of originals, and the reservations of open drafts
	Drafts int64 // open drafts; a draft is released some minutes after its expiry
	Kept   int64 // bytes of kept records: see kept.go
}

// Limits are the limits of an account; NoLimit means no limit.
type Limits struct {
	Images     int64 // images and open drafts, because each draft may become an image
	Bytes      int64 // of originals; an open draft counts as the largest upload allowed
	Drafts     int64 // open drafts
	UploadURLs int64 // one-time URLs created per minute
	Kept       int64 // bytes of kept records: see kept.go
	Edits      int64 // edits, deletions and erasures per minute
}

// NoLimit is the absence of a limit.
const NoLimit = -1

const defaultMaxDrafts = 100_000

// A Charge is a change of an account's usage. A negative number releases.
type Charge struct {
	Images, Bytes, Drafts int64
	UploadURLs, Edits     int64 // of this minute; never negative

	// KeptTimes bounds the kept records: the account's kept bytes after this transaction, and Coming bytes that
	// later transactions will add, are at most KeptTimes times Limits.Kept. 0: no bound.
	KeptTimes, Coming int64
}

// charge adds more to the usage of an account. Errors: AccountSuspended, LimitReached, AccountUnknown.
func (c *Change) charge(account string, more Charge) error {
	const (
		minted = `CASE WHEN mint_minute BETWEEN CAST(?6 AS BIGINT) AND CAST(?6 AS BIGINT) + 1
			THEN minted ELSE 0 END`
		edited = `CASE WHEN edit_minute BETWEEN CAST(?6 AS BIGINT) AND CAST(?6 AS BIGINT) + 1
			THEN edited ELSE 0 END`
	)
	changed, err := c.Exec(`UPDATE accounts SET
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
		account, more.Images, more.Bytes, more.Drafts, more.UploadURLs, c.service.now().Unix()/60,
		more.Edits, more.KeptTimes, more.Coming)
	if err != nil {
		return fmt.Errorf("charging an account: %w", err)
	}
	if changed > 0 {
		return nil
	}
	a, err := scanAccount(c.QueryRow(selectAccount+` WHERE id = ?1`, account))
	if err == nil && more.KeptTimes > 0 { // open drafts reserve kept bytes
		var reserved int64
		err = c.QueryRow(`SELECT `+keptReserved(`CAST(?2 AS BIGINT)`)+` FROM accounts
			WHERE id = ?1`, account, more.Drafts).Scan(&reserved)
		a.Used.Kept += reserved
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("reading why an account was not charged: %w", err)
	}
	return a.refusal(more)
}

// refusal returns the error of a charge that was refused, for an account that was read after the refusal.
func (a Account) refusal(c Charge) error {
	err := a.WouldRefuse(c)
	if err == nil { // a concurrent transaction has released since
		err = errs.Errorf(errs.LimitReached, "The account has reached a service limit")
	}
	return err
}

// CheckActive returns AccountSuspended if the account is suspended.
func (a Account) CheckActive() error {
	if !a.Suspended {
		return nil
	}
	return errs.Errorf(errs.AccountSuspended, "The account is suspended: ask the operator of this service")
}

// WouldRefuse returns the error of a charge that the account's row would refuse, or nil: AccountSuspended or
// LimitReached. An Account has no count of one-time URLs and edits, so WouldRefuse treats their limits as reached.
func (a Account) WouldRefuse(c Charge) error {
	over := func(limit, used, more int64) bool { return more > 0 && limit >= 0 && used+more > limit }
	if err := a.CheckActive(); err != nil {
		return err
	}
	limit := ""
	switch {
	case over(a.Limits.Images, a.Used.Images+a.Used.Drafts, c.Images+c.Drafts):
		limit = fmt.Sprintf("%d images, open drafts included", a.Limits.Images)
	case over(a.Limits.Bytes, a.Used.Bytes, c.Bytes):
		limit = fmt.Sprintf("%d bytes, of which an open draft takes those of the largest upload",
			a.Limits.Bytes)
	case over(a.Limits.Drafts, a.Used.Drafts, c.Drafts):
		limit = fmt.Sprintf("%d drafts that wait for their upload", a.Limits.Drafts)
	case c.KeptTimes > 0 && a.Limits.Kept >= 0 && a.Used.Kept+c.Coming > c.KeptTimes*a.Limits.Kept:
		limit = keptLimit(a.Limits.Kept)
	case c.Edits > 0 && a.Limits.Edits >= 0:
		limit = fmt.Sprintf("%d edits and deletions a minute", a.Limits.Edits)
	case c.UploadURLs > 0 && a.Limits.UploadURLs >= 0:
		limit = fmt.Sprintf("%d one-time URLs a minute", a.Limits.UploadURLs)
	default:
		return nil
	}
	return limitReached(limit)
}

func limitReached(limit string) error {
	return errs.Errorf(errs.LimitReached, "The account has reached its service limit of %s", limit)
}

// write writes the releases, the kept bytes and the charges to the row of an account. The charges come last,
// because their limits count the releases and the kept bytes of the same Change.
func (o *accountChange) write(c *Change, account string) error {
	if o.released != (Charge{}) || o.kept != 0 {
		_, err := c.Exec(`UPDATE accounts SET used_images = used_images - CAST(?2 AS BIGINT),
			used_bytes = used_bytes - CAST(?3 AS BIGINT), used_drafts = used_drafts - CAST(?4 AS BIGINT),
			kept_bytes = kept_bytes + CAST(?5 AS BIGINT) WHERE id = ?1`,
			account, o.released.Images, o.released.Bytes, o.released.Drafts, o.kept)
		if err != nil {
			return fmt.Errorf("writing what an account uses: %w", err)
		}
	}
	for _, charge := range o.charges {
		if err := c.charge(account, charge); err != nil {
			return err
		}
	}
	return nil
}
