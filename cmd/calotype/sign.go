package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/delivery"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/renditions"
	"calotype/internal/terminal"
)

type signCommand struct {
	StateFlags
	terminal.Output
	Base     string        `name:"url" help:"Public base URL; else that of the server that runs here."`
	Delivery string        `name:"delivery-url" help:"Public base URL of delivery, on a separate host."`
	URL      string        `arg:"" help:"Delivery URL, as in variants, or its path."`
	Expires  time.Duration `help:"Time until it expires, such as 12h or 30d; 0: never." default:"1h"`
	Key      string        `help:"Name of the signing key; else the account's oldest." env:"-"`
}

// Help returns the text of --help below the usage.
func (signCommand) Help() string {
	return `Signs a URL that this server delivers: of its host and account, of an image that exists, in a
variant that exists or with options that the account allows. An image that is public needs no signature;
the command says so.`
}

// Run prints the URL with a signature.
func (c *signCommand) Run(ctx context.Context) error {
	if c.Expires < 0 {
		return usagef("-expires must not be negative: 0 means that the URL never expires")
	}
	base, err := c.base()
	if err != nil {
		return err
	}
	target, err := c.target(base)
	if err != nil {
		return err
	}
	return c.withCore(ctx, false, func(core *images.Service) error {
		made := renditions.New(renditions.Config{Core: core})
		defer made.Close()
		resolved, err := delivery.Check(ctx, made, base, target)
		if err := c.refusal(err); err != nil {
			return err
		}
		if c.AccountID != "" && resolved.Account.ID != c.AccountID {
			return fmt.Errorf("%s is not of the account %s, but of %s", c.URL, c.AccountID, resolved.Account.ID)
		}
		key, err := c.key(resolved.Keys)
		if err != nil {
			return err
		}
		if !resolved.Private() {
			fmt.Fprintln(os.Stderr, "the image is public in this variant: its URL needs no signature")
		}
		signed := signURL(target, key, c.Expires, core.Now())
		result := map[string]any{"url": signed, "needed": resolved.Private()}
		return c.Print(os.Stdout, result, func(w io.Writer) { fmt.Fprintln(w, signed) })
	})
}

// base returns the base URL of delivery: that of the flags, or of the server that runs in the data folder; "" if it is
// not known.
func (c *signCommand) base() (string, error) {
	if given := cmp.Or(c.Delivery, c.Base); given != "" {
		return checkBase(given)
	}
	server, _, err := running(c.Data)
	return server.Delivery, err
}

// target returns the URL to sign, which has a scheme and a host if they are known.
func (c *signCommand) target(base string) (*url.URL, error) {
	target, err := url.Parse(c.URL)
	if err != nil || target.User != nil || target.Opaque != "" || !strings.HasPrefix(target.Path, "/") {
		return nil, usagef("%q is not a delivery URL: it should be like https://host/hash/id/variant", c.URL)
	}
	if target.RawQuery != "" || target.ForceQuery || target.Fragment != "" {
		return nil, usagef("%q has a query or a fragment: give the URL without it, and -expires for the expiry",
			c.URL)
	}
	if base == "" {
		if target.Host != "" {
			fmt.Fprintln(os.Stderr, "the host of the URL is not checked: no server runs on this data folder, and -url "+
				"is not given")
		}
		return target, nil
	}
	own, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("reading the base URL of the server: %w", err)
	}
	if target.Host == "" {
		target.Scheme, target.Host = own.Scheme, own.Host
	}
	if !strings.EqualFold(target.Host, own.Host) || target.Scheme != own.Scheme {
		return nil, fmt.Errorf("%s is not a URL of this server, whose delivery URLs begin with %s", c.URL, base)
	}
	return target, nil
}

// refusal returns the reason why a URL is not signed.
func (c *signCommand) refusal(err error) error {
	if err == nil {
		return nil
	}
	reason := err.Error()
	switch errs.AsError(err).Kind {
	case errs.AccountUnknown:
		reason = "no account of this server has the hash in its path"
	case errs.ImageNotFound:
		reason = "there is no image of that id in the account; a draft has no picture yet"
	case errs.VariantNotFound:
		reason = "the account has no such variant"
	}
	return fmt.Errorf("%s would not be delivered: %s", terminal.Visible(c.URL), reason)
}

// key returns the key of the flag, or the oldest one.
func (c *signCommand) key(keys []accounts.SigningKey) (accounts.SigningKey, error) {
	i := slices.IndexFunc(keys, func(k accounts.SigningKey) bool { return c.Key == "" || k.Name == c.Key })
	if i < 0 {
		return accounts.SigningKey{}, fmt.Errorf("the account has no signing key %q", c.Key)
	}
	return keys[i], nil
}

// signURL returns a URL with its expiry, which 0 leaves out, and its signature.
func signURL(target *url.URL, key accounts.SigningKey, expires time.Duration, now time.Time) string {
	query, separator := "", "?"
	if expires > 0 {
		query = "?exp=" + strconv.FormatInt(now.Add(expires).Unix(), 10)
		separator = "&"
	}
	host := ""
	if target.Host != "" {
		host = target.Scheme + "://" + target.Host
	}
	signed := target.EscapedPath() + query
	return host + signed + separator + "sig=" + key.Sign(signed)
}
