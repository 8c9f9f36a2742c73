package importer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
)

// settings imports variants, configuration and signing keys.
func (r *run) settings(ctx context.Context) error {
	type setting struct {
		what string
		run  func(context.Context) error
	}
	all := []setting{{"variants", r.variants}, {"config", r.config}, {"keys", r.keys}}
	if r.NoKeys {
		all = all[:2]
	}
	for _, one := range all {
		err := one.run(ctx)
		answer := new(statusError)
		switch {
		case err == nil:
		case !errors.As(err, &answer):
			return fmt.Errorf("importing the %s: %w", one.what, err)
		case answer.status == http.StatusNotFound || answer.status == http.StatusMethodNotAllowed:
			r.report.note("the source does not list its " + one.what + ": set them by hand")
		case answer.status == http.StatusUnauthorized || answer.temporary():
			return fmt.Errorf("reading the %s: %w", one.what, err)
		default:
			r.report.problem(one.what, "", Refused, err.Error())
		}
	}
	return nil
}

func (r *run) variants(ctx context.Context) error {
	var there sourceVariants
	if err := r.source.result(ctx, "/v1/variants", &there); err != nil {
		return err
	}
	var public []string
	for _, id := range slices.Sorted(maps.Keys(there.Variants)) {
		v, err := there.Variants[id].variant(id)
		if err != nil {
			r.report.problem("variant", id, Refused, err.Error())
			continue
		}
		outcome, err := r.variant(ctx, v)
		if v.NeverRequireSignedURLs && err == nil && outcome == "" {
			public = append(public, id)
		}
		if err := r.setting("variant", id, outcome, err); err != nil {
			return err
		}
	}
	if len(public) > 0 {
		r.report.note("as at the source, these variants show private images to everyone " +
			"(neverRequireSignedURLs): " + strings.Join(public, ", "))
	}
	return nil
}

// setting records the result of a setting. An error stops the import.
func (r *run) setting(what, id string, outcome Outcome, err error) error {
	refusal := new(errs.Error)
	switch {
	case errors.As(err, &refusal) && refusal.Kind != errs.Busy:
		r.report.problem(what, id, Refused, refusal.Msg)
	case err != nil:
		return err
	case outcome == Differs:
		r.report.problem(what, id, Differs, "it is different here: -update takes the source's")
	default:
		r.report.setting(what)
	}
	return nil
}

// variant imports a variant. It returns Differs, and changes nothing, if a different variant of that name
// exists, unless that is the default variant of every account.
func (r *run) variant(ctx context.Context, v images.Variant) (Outcome, error) {
	here, err := r.Core.Variant(ctx, r.Account.ID, v.ID)
	if err != nil && errs.AsError(err).Kind == errs.VariantNotFound {
		return "", r.Core.CreateVariant(ctx, r.Account.ID, v)
	}
	if err != nil || here == v {
		return "", err
	}
	if !here.IsDefault() && !r.Update {
		return Differs, nil
	}
	_, err = r.Core.ChangeVariant(ctx, r.Account.ID, v.ID, images.VariantChange{
		Options: v.Options, BrowserTTL: v.BrowserTTL,
		NeverRequireSignedURLs: &v.NeverRequireSignedURLs,
	})
	return "", err
}

// config imports the configuration of the account, unless it was changed here.
func (r *run) config(ctx context.Context) error {
	var there sourceConfig
	if err := r.source.result(ctx, "/v1/config", &there); err != nil {
		return err
	}
	here, err := r.Core.Accounts.Configure(ctx, r.Account.ID, accounts.SettingsChange{})
	if err != nil {
		return err
	}
	var change accounts.SettingsChange
	outcome := Outcome("")
	for _, flag := range []struct {
		there  *bool
		here   bool
		change **bool
	}{
		{there.FlexibleVariants, here.FlexibleVariants, &change.FlexibleVariants},
		{there.PrivateOptions, here.PrivateOptions, &change.PrivateOptions},
		{there.PrivateCustomIDs, here.PrivateCustomIDs, &change.PrivateCustomIDs},
		{there.LenientOptions, here.LenientOptions, &change.LenientOptions},
		{there.AutoQuality, here.AutoQuality, &change.AutoQuality},
	} {
		if flag.there != nil && *flag.there != flag.here {
			*flag.change = flag.there
			if flag.here && !r.Update {
				outcome = Differs
			}
		}
	}
	if p := there.StripOriginals; p != nil && *p != here.StripOriginals {
		change.StripOriginals = p
		if here.StripOriginals != imagefile.PrivacyNone && !r.Update {
			outcome = Differs
		}
	}
	if seconds := there.BrowserTTL; seconds != nil && *seconds != 0 {
		ttl := time.Duration(min(math.Abs(*seconds), 1e9)) * time.Second
		if ttl != here.BrowserTTL {
			change.BrowserTTL = &ttl
			if here.BrowserTTL != accounts.DefaultBrowserTTL && !r.Update {
				outcome = Differs
			}
		}
	}
	if outcome != Differs {
		here, err = r.Core.Accounts.Configure(ctx, r.Account.ID, change)
	}
	if f := there.FlexibleVariants; err == nil && here.FlexibleVariants && f != nil && *f {
		r.report.note("as at the source, flexible variants are on: everyone can request public images " +
			"in any size")
	}
	if p := there.PrivateOptions; err == nil && here.PrivateOptions && p != nil && *p {
		r.report.note("as at the source, private_options is on: signed URLs of private images may have options")
	}
	return r.setting("config", "", outcome, err)
}

// keys imports the signing keys with their values. The report does not hold the values.
func (r *run) keys(ctx context.Context) error {
	var there sourceKeys
	if err := r.source.result(ctx, "/v1/keys", &there); err != nil {
		return err
	}
	var names []string
	for _, k := range there.Keys {
		key := accounts.SigningKey{Name: k.Name, Value: k.Value}
		_, renamed, err := r.Core.Accounts.ImportSigningKey(ctx, r.Account.ID, key)
		if err == nil {
			names = append(names, k.Name)
		}
		if err := r.setting("key", k.Name, "", err); err != nil {
			return err
		}
		if renamed != "" {
			r.report.note(fmt.Sprintf("the existing signing key %q was renamed to %q; its "+
				"signatures stay valid", k.Name, renamed))
		}
	}
	if len(names) > 0 {
		r.report.note(fmt.Sprintf("these signing keys have the values that they have at the source: %s. "+
			"A person who knows them there can sign URLs of private images here: delete them here when the "+
			"URLs that they have signed have expired", strings.Join(names, ", ")))
	}
	return nil
}
