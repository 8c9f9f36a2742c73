package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/terminal"
)

type tokenCommands struct {
	Create tokenCreate `cmd:"" help:"Create a token; print its secret, which is not stored."`
	List   tokenList   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevoke `cmd:"" help:"Revoke a token at once."`
}

type tokenCreate struct {
	StateFlags
	terminal.Output
	Name  string         `arg:"" help:"Name of the token."`
	Scope accounts.Scope `help:"read, write or admin." default:"write" enum:"read,write,admin"`

	Life time.Duration `help:"Time until it expires, such as 90d; 0: never." default:"0s"`
}

func (c *tokenCreate) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		secret, err := core.Accounts.CreateToken(ctx, account,
			accounts.NewToken{Name: c.Name, Scope: c.Scope, Life: c.Life})
		if err != nil {
			return err
		}
		return c.Print(os.Stdout, map[string]string{"name": c.Name, "token": secret}, func(w io.Writer) {
			fmt.Fprintln(w, secret)
		})
	})
}

type tokenList struct {
	StateFlags
	terminal.Output
}

// A tokenItem is the JSON of a token. A secret is not stored, so it has none.
type tokenItem struct {
	Name     string         `json:"name"`
	Scope    accounts.Scope `json:"scope"`
	Created  terminal.Time  `json:"created"`
	Expires  terminal.Time  `json:"expires"`  // null: never
	LastUsed terminal.Time  `json:"lastUsed"` // to the hour; null: no use is known
	Expired  bool           `json:"expired"`
}

func (c *tokenList) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		tokens, err := core.Accounts.Tokens(ctx, account)
		if err != nil {
			return err
		}
		list, now := terminal.ListOf[tokenItem](nil), time.Now()
		table := terminal.NewTable("There are no tokens: calotype token create NAME makes one.",
			terminal.Column{Name: "NAME", Whole: true}, terminal.Column{Name: "SCOPE"},
			terminal.Column{Name: "CREATED"}, terminal.Column{Name: "LAST USE"}, terminal.Column{Name: "EXPIRES"})
		for _, t := range tokens {
			list.Items = append(list.Items, tokenItem{t.Name, t.Scope, terminal.Time(t.Created),
				terminal.Time(t.Expires), terminal.Time(t.Used), t.Expired(now)})
			table.Row(t.Name, string(t.Scope), terminal.Ago(t.Created, now), lastUse(t, now),
				terminal.Ago(t.Expires, now))
		}
		return c.Print(os.Stdout, list, table.Print)
	})
}

// lastUse describes the last use of a token, which is known to the hour.
func lastUse(t accounts.Token, now time.Time) string {
	switch {
	case t.Used.IsZero():
		return "not known"
	case now.Sub(t.Used) < time.Hour:
		return "this hour"
	}
	return terminal.Ago(t.Used, now)
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
