package api

import (
	"encoding/json"
	"strconv"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/text"
	"calotype/internal/uploadpolicy"
)

// accountConfig is the answer about the configuration of an account.
type accountConfig struct {
	FlexibleVariants bool  `json:"flexible_variants"`
	BrowserTTL       int64 `json:"browser_ttl"` // seconds
	// Ours.
	PrivateOptions   bool `json:"private_options"`
	PrivateCustomIDs bool `json:"private_custom_ids"`
	LenientOptions   bool `json:"lenient_options"`
	// StripOriginals is what is removed from originals: none, gps or all.
	StripOriginals imagefile.Privacy `json:"strip_originals"`
	AutoQuality    bool              `json:"auto_quality"`
	// UploadPolicy is the default policy of one-time URLs; nil without one.
	UploadPolicy *uploadpolicy.Policy `json:"upload_policy,omitempty"`
}

func newAccountConfig(c accounts.Settings, p uploadpolicy.Policy) accountConfig {
	config := accountConfig{c.FlexibleVariants, int64(c.BrowserTTL / time.Second), c.PrivateOptions,
		c.PrivateCustomIDs, c.LenientOptions, c.StripOriginals, c.AutoQuality, nil}
	if !p.IsZero() {
		config.UploadPolicy = &p
	}
	return config
}

// showConfig answers with the configuration of the account.
func (a *api) showConfig(c *call) (any, error) {
	account, err := a.Core.Accounts.ByID(c.Context(), c.account)
	return newAccountConfig(account.Settings, account.UploadPolicy), err
}

// changeConfig changes the given fields of the configuration.
func (a *api) changeConfig(c *call) (any, error) {
	var policy json.RawMessage
	change, err := readForm(c, func(f form) (change accounts.SettingsChange, err error) {
		change, err = readConfig(f)
		set(&policy, f.object, "upload_policy", &err)
		return change, err
	})
	if err != nil {
		return nil, err
	}
	account, err := a.Core.Accounts.ByID(c.Context(), c.account)
	if err != nil {
		return nil, err
	}
	// A client may send back all that it has read.
	if p, err := uploadpolicy.Parse(policy); policy != nil && (err != nil || p.Text() != account.UploadPolicy.Text()) {
		return nil, invalid("upload_policy cannot be changed by the API: the operator sets it with " +
			"calotype account set -policy.")
	}
	config, err := a.Core.Accounts.Configure(c.Context(), c.account, change)
	return newAccountConfig(config, account.UploadPolicy), err
}

// readConfig reads the fields of a changed configuration.
func readConfig(f form) (change accounts.SettingsChange, err error) {
	var credentials bool
	var ttl, strip *field
	set(&change.FlexibleVariants, f.flagIfGiven, "flexible_variants", &err)
	set(&change.PrivateOptions, f.flagIfGiven, "private_options", &err)
	set(&change.PrivateCustomIDs, f.flagIfGiven, "private_custom_ids", &err)
	set(&change.LenientOptions, f.flagIfGiven, "lenient_options", &err)
	set(&change.AutoQuality, f.flagIfGiven, "auto_quality", &err)
	set(&strip, f.one, "strip_originals", &err)
	if strip != nil && strip.value() != "" {
		change.StripOriginals = new(imagefile.Privacy(strip.value()))
	}
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
