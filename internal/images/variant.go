package images

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// A Variant is a named set of options for renditions.
type Variant struct {
	ID                     string
	Options                render.Options
	NeverRequireSignedURLs bool          // clients may see private images in this variant without a signature
	BrowserTTL             time.Duration // time for which clients may cache a picture; 0 for the account's time
}

// MaxVariants bounds the variants of an account.
const MaxVariants = 100

const maxVariantName = 99 // characters

// defaultVariant is the variant of a new account, as recorded from Cloudflare.
var defaultVariant = Variant{ID: "public", Options: render.Options{
	Fit: render.ScaleDown, Width: 1366, Height: 768, Metadata: render.MetadataNone,
}}

var (
	variantName  = regexp.MustCompile(`^[A-Za-z0-9]{1,` + strconv.Itoa(maxVariantName) + `}$`)
	errNoVariant = errs.Errorf(errs.VariantNotFound, "This account has no variant of this name")
)

// IsVariantName reports whether a variant may have this name.
func IsVariantName(name string) bool { return variantName.MatchString(name) }

// IsDefault reports whether v is the default variant of new accounts.
func (v Variant) IsDefault() bool { return v == defaultVariant }

// Check returns nil or an Invalid error that names the valid values. One of width and height is enough: the other
// one follows the picture's proportions.
func (v Variant) Check() error {
	if !variantName.MatchString(v.ID) {
		return errs.Errorf(errs.Invalid, "the id of a variant must be 1 to 99 letters and digits")
	}
	if err := v.Options.Validate(); err != nil {
		return errs.Errorf(errs.Invalid, "options: %v", err)
	}
	if v.Options.Width == 0 && v.Options.Height == 0 {
		return errs.Errorf(errs.Invalid, "options must hold a width, a height or both")
	}
	if v.BrowserTTL != 0 {
		return accounts.CheckBrowserTTL(v.BrowserTTL)
	}
	return nil
}

// CreateVariant adds a variant. Errors: Invalid, Exists, LimitReached, NoSpace, AccountUnknown.
func (s *Service) CreateVariant(ctx context.Context, account string, v Variant) error {
	if err := v.Check(); err != nil {
		return err
	}
	if err := s.disk.CheckSpace(); err != nil {
		return err
	}
	err := s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		if err := tx.Lock(account); err != nil {
			return err
		}
		made, err := insertVariantBelow(tx, account, v, MaxVariants)
		if err != nil || made {
			return err
		}
		return whyNotMade(tx, account, v.ID)
	})
	if err != nil {
		return fmt.Errorf("making a variant: %w", err)
	}
	return nil
}

// whyNotMade returns the reason why a variant was not inserted. The account must be locked.
func whyNotMade(tx *accounts.Change, account, id string) error {
	names, err := variantNames(tx, account)
	switch {
	case err != nil:
		return err
	case slices.Contains(names, id):
		return errs.Errorf(errs.Exists, "Resource already exists: there is a variant of this id")
	case len(names) < MaxVariants:
		if err := tooLongFor(tx, account); err != nil {
			return err
		}
	}
	return errs.Errorf(errs.LimitReached, "The account has %d variants already, which is the limit: "+
		"delete one first", MaxVariants)
}

// A VariantChange is a client's change of a variant. Options and BrowserTTL replace all previous ones.
type VariantChange struct {
	Options                render.Options
	BrowserTTL             time.Duration
	NeverRequireSignedURLs *bool // nil: unchanged
}

// ChangeVariant changes a variant and returns it. The change applies to the next request. Errors: Invalid,
// VariantNotFound.
func (s *Service) ChangeVariant(
	ctx context.Context, account, id string, c VariantChange,
) (v Variant, err error) {
	if !variantName.MatchString(id) {
		return v, errNoVariant
	}
	wanted := Variant{ID: id, Options: c.Options, BrowserTTL: c.BrowserTTL}
	if err := wanted.Check(); err != nil {
		return v, err
	}
	var never any // nil is NULL
	if c.NeverRequireSignedURLs != nil {
		never = sqldb.BoolInt(*c.NeverRequireSignedURLs)
	}
	err = s.Accounts.Change(ctx, func(tx *accounts.Change) error {
		tx.Invalidate(accounts.VariantStale(account, id))
		v, err = scanVariant(tx.QueryRow(`UPDATE variants SET options = ?3, browser_ttl = ?4,
			never_signed = COALESCE(CAST(?5 AS SMALLINT), never_signed)
			WHERE account = ?1 AND id = ?2 RETURNING `+variantColumns,
			account, id, c.Options.String(), int64(c.BrowserTTL/time.Second), never))
		return err
	})
	return v, sqldb.RowError("changing a variant", err, errNoVariant)
}

// DeleteVariant deletes a variant. The next request cannot use it. Error: VariantNotFound.
func (s *Service) DeleteVariant(ctx context.Context, account, id string) error {
	if !variantName.MatchString(id) {
		return errNoVariant
	}
	err := s.Accounts.ChangeInReserve(ctx, func(tx *accounts.Change) error {
		tx.Invalidate(accounts.VariantStale(account, id))
		gone, err := tx.Exec(`DELETE FROM variants WHERE account = ?1 AND id = ?2`, account, id)
		if err == nil && gone == 0 {
			err = errNoVariant
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("deleting a variant: %w", err)
	}
	return nil
}

// Variant returns a variant. Error: VariantNotFound.
func (s *Service) Variant(ctx context.Context, account, id string) (Variant, error) {
	if !variantName.MatchString(id) {
		return Variant{}, errNoVariant
	}
	v, err := scanVariant(s.db.QueryRow(ctx,
		selectVariant+` WHERE account = ?1 AND id = ?2`, account, id))
	return v, sqldb.RowError("reading a variant", err, errNoVariant)
}

// Variants returns the account's variants in the byte order of their names: the order of a database would depend on
// its locale.
func (s *Service) Variants(ctx context.Context, account string) ([]Variant, error) {
	all, err := sqldb.Select(s.db.Reader(ctx), scanVariant, selectVariant+` WHERE account = ?1`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the variants: %w", err)
	}
	slices.SortFunc(all, func(a, b Variant) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// URLParts are the parts that the delivery URLs of all images of an account have in common.
type URLParts struct {
	Hash     string   // of the account
	Variants []string // their names, in the order of Service.Variants
}

// URLParts returns the parts of an account's URLs. Error: AccountUnknown.
func (s *Service) URLParts(ctx context.Context, account string) (URLParts, error) {
	a, err := s.Accounts.ByID(ctx, account)
	if err != nil {
		return URLParts{}, err
	}
	return s.urlParts(ctx, a)
}

func (s *Service) urlParts(ctx context.Context, a accounts.Account) (URLParts, error) {
	names, err := variantNames(s.db.Reader(ctx), a.ID)
	return URLParts{Hash: a.Hash, Variants: names}, err
}

// variantNames returns the names of the account's variants in the order of Service.Variants.
func variantNames(from sqldb.Reader, account string) ([]string, error) {
	names, err := sqldb.Select(from, sqldb.ScanOne[string], `SELECT id FROM variants WHERE account = ?1`, account)
	if err != nil {
		return nil, fmt.Errorf("reading the names of variants: %w", err)
	}
	slices.Sort(names)
	return names, nil
}

// insertVariant adds the first variant of an account.
func insertVariant(tx *accounts.Change, account string, v Variant) error {
	_, err := insertVariantBelow(tx, account, v, 1)
	return err
}

// insertVariantBelow adds a variant, unless the account has a variant of this name, most variants already, or an
// image whose URLs would be too long; made reports which. The account must be locked.
func insertVariantBelow(
	tx *accounts.Change, account string, v Variant, most int,
) (made bool, err error) {
	changed, err := tx.Exec(`INSERT INTO variants (account, id, options, never_signed, browser_ttl)
		SELECT CAST(?1 AS TEXT), CAST(?2 AS TEXT), CAST(?3 AS TEXT), CAST(?4 AS SMALLINT),
			CAST(?5 AS BIGINT)
		WHERE (SELECT count(*) FROM variants WHERE account = ?1) < CAST(?6 AS BIGINT)
		AND `+urlsWithinBound+` ON CONFLICT DO NOTHING`, account, v.ID, v.Options.String(),
		sqldb.BoolInt(v.NeverRequireSignedURLs), int64(v.BrowserTTL/time.Second), most, maxURLBytes)
	return changed > 0, err
}

const (
	variantColumns = `id, options, never_signed, browser_ttl`
	selectVariant  = `SELECT ` + variantColumns + ` FROM variants`
)

func scanVariant(r sqldb.Row) (v Variant, err error) {
	var options string
	var ttl int64
	if err := r.Scan(&v.ID, &options, &v.NeverRequireSignedURLs, &ttl); err != nil {
		return v, err
	}
	v.BrowserTTL = time.Duration(ttl) * time.Second
	v.Options, err = render.ParseOptions(options)
	return v, err
}
