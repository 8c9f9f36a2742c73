package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/images"
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
	Hash string `help:"Hash in public URLs, 22 base64url characters; from the id if not given."`
}

// Run creates the account of the flag -account-id, or one with a random id.
func (c *accountCreate) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		a, err := core.Accounts.Create(ctx, c.AccountID, c.Hash)
		if err != nil {
			return err
		}
		fmt.Printf("account id    %s\naccount hash  %s\n", a.ID, a.Hash)
		return nil
	})
}

type accountList struct{ StateFlags }

func (c *accountList) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		all, err := core.Accounts.All(ctx)
		for _, a := range all {
			state := "active"
			if a.Suspended {
				state = "suspended"
			}
			fmt.Printf("%s %s %-9s images %s, bytes %s, drafts %s, %s upload URLs a minute, "+
				"kept %s, %s edits a minute", a.ID, a.Hash,
				state, used(a.Used.Images, a.Limits.Images), used(a.Used.Bytes, a.Limits.Bytes),
				used(a.Used.Drafts, a.Limits.Drafts), limitText(a.Limits.UploadURLs),
				used(a.Used.Kept, a.Limits.Kept), limitText(a.Limits.Edits))
			if !a.UploadPolicy.IsZero() {
				fmt.Printf(", policy %s", a.UploadPolicy.Text())
			}
			fmt.Println()
		}
		return err
	})
}

func used(n, limit int64) string { return fmt.Sprintf("%d of %s", n, limitText(limit)) }

func limitText(n int64) string {
	if n == accounts.NoLimit {
		return "any number"
	}
	return strconv.FormatInt(n, 10)
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

	Policy policyValue `placeholder:"JSON" help:"Default policy of one-time URLs as JSON, or none."`
}

func (c *accountSet) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		change := accounts.SettingsChange{
			FlexibleVariants: c.FlexibleVariants.on, PrivateOptions: c.PrivateOptions.on,
			PrivateCustomIDs: c.PrivateCustomIDs.on, LenientOptions: c.LenientOptions.on,
		}
		changed := c.Policy.given || change != accounts.SettingsChange{}
		if change != (accounts.SettingsChange{}) {
			if _, err := core.Accounts.Configure(ctx, c.ID, change); err != nil {
				return err
			}
		}
		if c.Policy.given {
			if err := core.Accounts.SetUploadPolicy(ctx, c.ID, c.Policy.policy); err != nil {
				return err
			}
		}
		for _, l := range []struct {
			name  string
			value limitValue
		}{
			{"images", c.MaxImages}, {"bytes", c.MaxBytes},
			{"drafts", c.MaxDrafts}, {"upload-urls", c.MaxUploadURLs},
			{"kept", c.MaxKept}, {"edits", c.MaxEdits},
		} {
			if !l.value.given {
				continue
			}
			changed = true
			if err := core.Accounts.SetLimit(ctx, c.ID, l.name, l.value.n); err != nil {
				return err
			}
		}
		if !changed {
			return errors.New("nothing to set: give -max-images, -max-bytes, -max-drafts, " +
				"-max-upload-urls, -max-kept, -max-edits, -flexible-variants, -private-options, " +
				"-private-custom-ids, -lenient-options or -policy")
		}
		return nil
	})
}

// A switchValue is "on" or "off"; nil if it is not given.
type switchValue struct{ on *bool }

// UnmarshalText reads the written form.
func (v *switchValue) UnmarshalText(text []byte) error {
	on := string(text) == "on"
	if !on && string(text) != "off" {
		return fmt.Errorf("%q is neither on nor off", text)
	}
	v.on = &on
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
