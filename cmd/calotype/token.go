package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images"
)

type tokenCommands struct {
	Create tokenCreate `cmd:"" help:"Create a token; print its secret, which is not stored."`
	List   tokenList   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevoke `cmd:"" help:"Revoke a token at once."`
}

type tokenCreate struct {
	StateFlags
	Name  string         `arg:"" help:"Name of the token."`
	Scope accounts.Scope `help:"read, write or admin." default:"write"`

	Life time.Duration `help:"Time until it expires, such as 90d; 0: never." default:"0s"`
}

func (c *tokenCreate) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		secret, err := core.Accounts.CreateToken(ctx, account,
			accounts.NewToken{Name: c.Name, Scope: c.Scope, Life: c.Life})
		if err != nil {
			return err
		}
		fmt.Println(secret)
		return nil
	})
}

type tokenList struct{ StateFlags }

func (c *tokenList) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		tokens, err := core.Accounts.Tokens(ctx, account)
		for _, t := range tokens {
			showLine(os.Stdout, "%-24s %-6s made %s, %s, %s", t.Name, t.Scope, t.Created.Format(time.RFC3339),
				expiry(t, time.Now()), lastUse(t))
		}
		return err
	})
}

// expiry describes the expiry of a token.
func expiry(t accounts.Token, now time.Time) string {
	switch at := t.Expires.Format(time.RFC3339); {
	case t.Expires.IsZero():
		return "never expires"
	case t.Expired(now):
		return "expired " + at
	default:
		return "expires " + at
	}
}

// lastUse describes the last use of a token.
func lastUse(t accounts.Token) string {
	if t.Used.IsZero() {
		return "no known use"
	}
	return "used in the hour from " + t.Used.Format(time.RFC3339)
}

type tokenRevoke struct {
	StateFlags
	Name string `arg:"" help:"Name of the token."`
}

func (c *tokenRevoke) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		return core.Accounts.RevokeToken(ctx, account, c.Name)
	})
}
