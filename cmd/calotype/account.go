package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/manage"
	"calotype/internal/terminal"
	"calotype/internal/uploadpolicy"
)

type accountCommands struct {
	Create  accountCreate  `cmd:"" help:"Create an account; print its id and hash."`
	List    accountList    `cmd:"" help:"List the accounts with their usage and limits."`
	Set     accountSet     `cmd:"" help:"Set limits and settings of an account."`
	Suspend accountSuspend `cmd:"" help:"Refuse all requests of an account; resume undoes it."`
	Resume  accountResume  `cmd:"" help:"Serve a suspended account again."`
	Delete  accountDelete  `cmd:"" help:"Delete an account with all its images, permanently."`
}

type accountCreate struct {
	StateFlags
	terminal.Output
	Hash string `help:"Hash in public URLs, 22 base64url characters; from the id if not given."`
}

// Run creates the account of the flag -account-id, or one with a random id.
func (c *accountCreate) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		a, err := core.Accounts.Create(ctx, c.AccountID, c.Hash)
		if err != nil {
			return err
		}
		return c.Print(os.Stdout, newAccountItem(a), func(w io.Writer) {
			fmt.Fprintf(w, "account id    %s\naccount hash  %s\n", a.ID, a.Hash)
		})
	})
}

type accountList struct {
	StateFlags
	terminal.Output
}

func (c *accountList) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		all, err := core.Accounts.All(ctx)
		if err != nil {
			return err
		}
		list := terminal.ListOf[accountItem](nil)
		for _, a := range all {
			list.Items = append(list.Items, newAccountItem(a))
		}
		return c.Print(os.Stdout, list, func(w io.Writer) {
			for i, item := range list.Items {
				if i > 0 {
					fmt.Fprintln(w)
				}
				item.print(w)
			}
		})
	})
}

func newUsage(used, limit int64) manage.Usage {
	return manage.Usage{Used: used, Limit: limitOrNil(limit)}
}

// limitOrNil returns a limit, nil for none.
func limitOrNil(limit int64) *int64 {
	if limit == accounts.NoLimit {
		return nil
	}
	return &limit
}

// An accountItem is the JSON of an account. Bytes are those of originals and those that open drafts reserve; Kept are
// those of events and other records.
type accountItem struct {
	ID     string       `json:"id"`
	Hash   string       `json:"hash"`
	State  string       `json:"state"` // active or suspended
	Images manage.Usage `json:"images"`
	Bytes  manage.Usage `json:"bytes"`
	Drafts manage.Usage `json:"drafts"`
	Kept   manage.Usage `json:"kept"`

	UploadURLsPerMinute *int64 `json:"uploadUrlsPerMinute"` // limits; null without one
	EditsPerMinute      *int64 `json:"editsPerMinute"`

	FlexibleVariants bool `json:"flexibleVariants"`
	PrivateOptions   bool `json:"privateOptions"`
	PrivateCustomIDs bool `json:"privateCustomIds"`
	LenientOptions   bool `json:"lenientOptions"`

	StripOriginals imagefile.Privacy `json:"stripOriginals"`
	AutoQuality    bool              `json:"autoQuality"`

	Policy *uploadpolicy.Policy `json:"policy"` // as in the API
}

func newAccountItem(a accounts.Account) accountItem {
	used, limits := a.Used, a.Limits
	item := accountItem{
		ID: a.ID, Hash: a.Hash, State: "active", Images: newUsage(used.Images, limits.Images),
		Bytes: newUsage(used.Bytes, limits.Bytes), Drafts: newUsage(used.Drafts, limits.Drafts),
		Kept: newUsage(used.Kept, limits.Kept), UploadURLsPerMinute: limitOrNil(limits.UploadURLs),
		EditsPerMinute: limitOrNil(limits.Edits), FlexibleVariants: a.Settings.FlexibleVariants,
		PrivateOptions: a.Settings.PrivateOptions, PrivateCustomIDs: a.Settings.PrivateCustomIDs,
		LenientOptions: a.Settings.LenientOptions, StripOriginals: a.Settings.StripOriginals,
		AutoQuality: a.Settings.AutoQuality,
	}
	if a.Suspended {
		item.State = "suspended"
	}
	if !a.UploadPolicy.IsZero() {
		item.Policy = &a.UploadPolicy
	}
	return item
}

// print prints the account for people.
func (a accountItem) print(w io.Writer) {
	var d terminal.Details
	d.Add("account", a.ID+", "+a.State)
	d.Add("hash", a.Hash)
	d.Add("images", a.Images.Text(terminal.Number))
	d.Add("bytes", a.Bytes.Text(terminal.Bytes)+", with what open drafts reserve")
	d.Add("drafts", a.Drafts.Text(terminal.Number))
	d.Add("records", a.Kept.Text(terminal.Bytes))
	for _, one := range []struct {
		name  string
		limit *int64
	}{{"upload URLs", a.UploadURLsPerMinute}, {"edits", a.EditsPerMinute}} {
		if one.limit != nil {
			d.Add(one.name, terminal.Number(*one.limit)+" a minute")
		}
	}
	d.Add("settings", fmt.Sprintf("flexible variants: %s, private options: %s, private custom ids: %s, "+
		"lenient options: %s, removed from originals: %s, auto quality: %s", terminal.YesNo(a.FlexibleVariants),
		terminal.YesNo(a.PrivateOptions), terminal.YesNo(a.PrivateCustomIDs), terminal.YesNo(a.LenientOptions),
		a.StripOriginals, terminal.YesNo(a.AutoQuality)))
	if a.Policy != nil {
		d.Add("policy", a.Policy.Text())
	}
	d.Print(w)
}

type accountSet struct {
	StateFlags
	ID            string     `arg:"" help:"Id of the account."`
	MaxImages     limitValue `help:"Images, open drafts included, or none."`
	MaxBytes      limitValue `help:"Bytes of originals and open drafts, such as 10GiB, or none."`
	MaxDrafts     limitValue `help:"Drafts that wait for their upload, or none."`
	MaxUploadURLs limitValue `name:"max-upload-urls" help:"One-time URLs a minute, or none."`
	MaxKept       limitValue `help:"Bytes of events and other records of the account, or none."`
	MaxEdits      limitValue `help:"Edits and deletions a minute, or none."`

	FlexibleVariants switchValue `help:"Options in delivery URLs: on or off."`
	PrivateOptions   switchValue `help:"Signed options of private images: on or off."`
	PrivateCustomIDs switchValue `name:"private-custom-ids" help:"Private images with a custom id: on or off."`
	LenientOptions   switchValue `help:"Leave out options that are not available here: on or off."`

	StripOriginals privacyValue `placeholder:"WHICH" help:"Metadata to remove from originals: none, gps or all."`

	AutoQuality switchValue `help:"Search the quality where a variant or URL names none: on or off."`

	Policy policyValue `placeholder:"JSON" help:"Default policy of one-time URLs as JSON, or none."`
}

// settings returns the settings to change.
func (c *accountSet) settings() accounts.SettingsChange {
	return accounts.SettingsChange{
		FlexibleVariants: c.FlexibleVariants.on, PrivateOptions: c.PrivateOptions.on,
		PrivateCustomIDs: c.PrivateCustomIDs.on, LenientOptions: c.LenientOptions.on,
		StripOriginals: c.StripOriginals.privacy, AutoQuality: c.AutoQuality.on,
	}
}

// limits returns the limits with their names.
func (c *accountSet) limits() map[string]limitValue {
	return map[string]limitValue{
		"images": c.MaxImages, "bytes": c.MaxBytes, "drafts": c.MaxDrafts, "upload-urls": c.MaxUploadURLs,
		"kept": c.MaxKept, "edits": c.MaxEdits,
	}
}

// Validate refuses a command that changes nothing.
func (c *accountSet) Validate() error {
	changed := c.Policy.given || c.settings() != accounts.SettingsChange{}
	for _, limit := range c.limits() {
		changed = changed || limit.given
	}
	if !changed {
		return errors.New("nothing to set: give -max-images, -max-bytes, -max-drafts, " +
			"-max-upload-urls, -max-kept, -max-edits, -flexible-variants, -private-options, " +
			"-private-custom-ids, -lenient-options, -strip-originals or -policy")
	}
	return nil
}

func (c *accountSet) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		if change := c.settings(); change != (accounts.SettingsChange{}) {
			if _, err := core.Accounts.Configure(ctx, c.ID, change); err != nil {
				return err
			}
		}
		if c.Policy.given {
			if err := core.Accounts.SetUploadPolicy(ctx, c.ID, c.Policy.policy); err != nil {
				return err
			}
		}
		for name, limit := range c.limits() {
			if !limit.given {
				continue
			}
			if err := core.Accounts.SetLimit(ctx, c.ID, name, limit.n); err != nil {
				return err
			}
		}
		return nil
	})
}

// A switchValue is "on" or "off"; nil if it is not given.
type switchValue struct{ on *bool }

// Values returns the values, for completions.
func (switchValue) Values() []string { return []string{"on", "off"} }

// UnmarshalText reads the written form.
func (v *switchValue) UnmarshalText(text []byte) error {
	on := string(text) == "on"
	if !on && string(text) != "off" {
		return fmt.Errorf("%q is neither on nor off", text)
	}
	v.on = &on
	return nil
}

// A privacyValue is the name of a Privacy; nil if it is not given.
type privacyValue struct{ privacy *imagefile.Privacy }

// Values returns the values, for completions.
func (privacyValue) Values() (all []string) {
	for _, p := range imagefile.Privacies {
		all = append(all, string(p))
	}
	return all
}

// UnmarshalText reads the written form.
func (v *privacyValue) UnmarshalText(text []byte) error {
	p := imagefile.Privacy(text)
	if !slices.Contains(imagefile.Privacies, p) {
		return fmt.Errorf("%q is not none, gps or all", text)
	}
	v.privacy = &p
	return nil
}

// A policyValue is the default policy of one-time URLs; the zero Policy for "none".
type policyValue struct {
	given  bool
	policy uploadpolicy.Policy
}

// UnmarshalText reads the written form.
func (v *policyValue) UnmarshalText(text []byte) (err error) {
	if v.given = true; strings.EqualFold(string(text), "none") {
		return nil
	}
	v.policy, err = uploadpolicy.ParseDefault(text)
	return err
}

// A limitValue is a number, which may have a unit of bytes, or "none".
type limitValue struct {
	given bool
	n     int64
}

// UnmarshalText reads the written form.
func (l *limitValue) UnmarshalText(text []byte) error {
	l.given = true
	if strings.EqualFold(string(text), "none") {
		l.n = accounts.NoLimit
		return nil
	}
	var b Bytes
	if err := b.UnmarshalText(text); err != nil {
		return fmt.Errorf("%q is not a limit: it should be none, a number, or bytes like 10GiB", text)
	}
	l.n = int64(b)
	return nil
}

// A namedAccount names one account.
type namedAccount struct {
	StateFlags
	ID string `arg:"" help:"Id of the account."`
}

// suspend suspends the account, or ends its suspension.
func (c namedAccount) suspend(ctx context.Context, suspended bool) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		return core.Accounts.Suspend(ctx, c.ID, suspended)
	})
}

type accountSuspend struct{ namedAccount }

func (c *accountSuspend) Run(ctx context.Context) error { return c.suspend(ctx, true) }

type accountResume struct{ namedAccount }

func (c *accountResume) Run(ctx context.Context) error { return c.suspend(ctx, false) }
