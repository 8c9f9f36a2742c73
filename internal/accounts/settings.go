package accounts

import (
	"cmp"
	"context"
	"slices"
	"time"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/sqldb"
)

// Settings are the settings of an account for all of its deliveries.
type Settings struct {
	FlexibleVariants bool              // delivery URLs may have options instead of a variant's name
	PrivateOptions   bool              // URLs of private images too, if the signature covers the options
	PrivateCustomIDs bool              // an image with a custom id may be private
	LenientOptions   bool              // options that are not available here are left out, not refused
	AutoQuality      bool              // the quality is searched if a variant or URL names none
	StripOriginals   imagefile.Privacy // what is removed from originals before they are stored
	BrowserTTL       time.Duration     // time for which clients may cache a picture; whole seconds
}

// The bounds of a browser TTL, of an account or a variant, and the default of an account.
const (
	MinBrowserTTL     = time.Hour
	MaxBrowserTTL     = 365 * 24 * time.Hour
	DefaultBrowserTTL = 48 * time.Hour
)

// SettingsChange is a client's change of the settings. A nil field is unchanged.
type SettingsChange struct {
	FlexibleVariants *bool
	PrivateOptions   *bool
	PrivateCustomIDs *bool
	LenientOptions   *bool
	AutoQuality      *bool
	StripOriginals   *imagefile.Privacy
	BrowserTTL       *time.Duration
}

// Configure changes an account's settings and returns all of them. Errors: Invalid, AccountUnknown.
func (s *Service) Configure(
	ctx context.Context, account string, c SettingsChange,
) (config Settings, err error) {
	var ttl any // nil is NULL
	if c.BrowserTTL != nil {
		if err := CheckBrowserTTL(*c.BrowserTTL); err != nil {
			return config, err
		}
		ttl = seconds(*c.BrowserTTL)
	}
	var strip any
	if c.StripOriginals != nil {
		if !slices.Contains(imagefile.Privacies, *c.StripOriginals) {
			return config, errs.Errorf(errs.Invalid, "strip_originals must be none, gps or all")
		}
		strip = string(*c.StripOriginals)
	}
	var stale []Stale
	if c.FlexibleVariants != nil || c.LenientOptions != nil {
		stale = accountStale(account)
	}
	var stored int64
	err = s.Change(ctx, func(tx *Change) error {
		tx.Invalidate(stale)
		return tx.QueryRow(`UPDATE accounts SET
			flexible_variants = COALESCE(CAST(?2 AS SMALLINT), flexible_variants),
			private_options = COALESCE(CAST(?3 AS SMALLINT), private_options),
			private_custom_ids = COALESCE(CAST(?4 AS SMALLINT), private_custom_ids),
			lenient_options = COALESCE(CAST(?5 AS SMALLINT), lenient_options),
			browser_ttl = COALESCE(CAST(?6 AS BIGINT), browser_ttl),
			strip_originals = COALESCE(CAST(?7 AS TEXT), strip_originals),
			auto_quality = COALESCE(CAST(?8 AS SMALLINT), auto_quality)
			WHERE id = ?1 RETURNING flexible_variants, private_options, private_custom_ids,
				lenient_options, browser_ttl, strip_originals, auto_quality`,
			account, flag(c.FlexibleVariants), flag(c.PrivateOptions), flag(c.PrivateCustomIDs),
			flag(c.LenientOptions), ttl, strip, flag(c.AutoQuality)).Scan(&config.FlexibleVariants,
			&config.PrivateOptions, &config.PrivateCustomIDs, &config.LenientOptions, &stored, &config.StripOriginals,
			&config.AutoQuality)
	})
	config.BrowserTTL = accountTTL(stored)
	return config, sqldb.RowError("configuring an account", err, ErrNotFound)
}

// flag returns the parameter of a flag's change; nil, which is NULL, for none.
func flag(change *bool) any {
	if change == nil {
		return nil
	}
	return sqldb.BoolInt(*change)
}

// ErrNotFound is the error AccountUnknown.
var ErrNotFound = errs.Errorf(errs.AccountUnknown, "no such account")

// CheckBrowserTTL returns Invalid unless ttl is a whole number of seconds from MinBrowserTTL to MaxBrowserTTL.
func CheckBrowserTTL(ttl time.Duration) error {
	if ttl < MinBrowserTTL || ttl > MaxBrowserTTL || ttl%time.Second != 0 {
		return errs.Errorf(errs.Invalid, "browser_ttl must be a whole number of seconds from %d to %d",
			seconds(MinBrowserTTL), seconds(MaxBrowserTTL))
	}
	return nil
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// accountTTL converts a browser TTL from the database, in seconds; 0 is the default.
func accountTTL(stored int64) time.Duration {
	return cmp.Or(time.Duration(stored)*time.Second, DefaultBrowserTTL)
}
