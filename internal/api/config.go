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
	// Ours.
	PrivateOptions   bool `json:"private_options"`
	PrivateCustomIDs bool `json:"private_custom_ids"`
	LenientOptions   bool `json:"lenient_options"`
}

func newAccountConfig(c accounts.Settings) accountConfig {
	return accountConfig{c.FlexibleVariants, int64(c.BrowserTTL / time.Second), c.PrivateOptions,
		c.PrivateCustomIDs, c.LenientOptions}
}

// showConfig answers with the configuration of the account.
func (a *api) showConfig(c *call) (any, error) {
	account, err := a.Core.Accounts.ByID(c.Context(), c.account)
	return newAccountConfig(account.Settings), err
}

// changeConfig changes the given fields of the configuration.
func (a *api) changeConfig(c *call) (any, error) {
	change, err := readForm(c, readConfig)
	if err != nil {
		return nil, err
	}
	config, err := a.Core.Accounts.Configure(c.Context(), c.account, change)
	return newAccountConfig(config), err
}

// readConfig reads the fields of a changed configuration.
func readConfig(f form) (change accounts.SettingsChange, err error) {
	var credentials bool
	var ttl *field
	set(&change.FlexibleVariants, f.flagIfGiven, "flexible_variants", &err)
	set(&change.PrivateOptions, f.flagIfGiven, "private_options", &err)
	set(&change.PrivateCustomIDs, f.flagIfGiven, "private_custom_ids", &err)
	set(&change.LenientOptions, f.flagIfGiven, "lenient_options", &err)
	set(&credentials, f.flag, "preserve_content_credentials", &err)
	if credentials {
		return change, invalid("preserve_content_credentials cannot be true: renditions hold no content " +
			"credentials here. Send false or leave it out.")
	}
	set(&ttl, f.one, "browser_ttl", &err)
	if ttl != nil && ttl.value() != "" {
		change.BrowserTTL = new(time.Duration)
		*change.BrowserTTL, err = browserTTL(text.WholeNumber(ttl.value()))
	}
	return change, err
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
