package api

import (
	"strconv"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/text"
)

// accountConfig is the answer about the configuration of an account.
type accountConfig struct {
	FlexibleVariants bool  `json:"flexible_variants"`
	BrowserTTL       int64 `json:"browser_ttl"` // seconds
}

func newAccountConfig(c accounts.Settings) accountConfig {
	return accountConfig{c.FlexibleVariants, int64(c.BrowserTTL / time.Second)}
}

// showConfig answers with the configuration of the account.
func (a *api) showConfig(c *call) (any, error) {
	account, err := a.Core.Accounts.ByID(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	return newAccountConfig(account.Settings), nil
}

// changeConfig changes the given fields of the configuration.
func (a *api) changeConfig(c *call) (any, error) {
	f, err := c.body.form()
	if err != nil {
		return nil, err
	}
	var change accounts.SettingsChange
	if change.FlexibleVariants, err = f.flagIfGiven("flexible_variants"); err != nil {
		return nil, err
	}
	if keep, err := f.flagIfGiven("preserve_content_credentials"); err != nil {
		return nil, err
	} else if keep != nil && *keep {
		return nil, invalid("preserve_content_credentials cannot be true: renditions hold no content " +
			"credentials here. Send false or leave it out.")
	}
	v, err := f.one("browser_ttl")
	if err != nil {
		return nil, err
	}
	if v != nil && v.value() != "" {
		ttl, err := browserTTL(text.WholeNumber(v.value()))
		if err != nil {
			return nil, err
		}
		change.BrowserTTL = &ttl
	}
	config, err := a.Core.Accounts.Configure(c.Context(), c.account, change)
	if err != nil {
		return nil, err
	}
	return newAccountConfig(config), nil
}

// browserTTL reads seconds.
func browserTTL(text string) (time.Duration, error) {
	least, most := int64(accounts.MinBrowserTTL/time.Second), int64(accounts.MaxBrowserTTL/time.Second)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		return 0, invalid("browser_ttl must be a whole number of seconds from %d to %d", least, most)
	}
	return time.Duration(n) * time.Second, nil
}
