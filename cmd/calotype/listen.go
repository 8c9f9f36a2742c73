package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"calotype/internal/listen"
	"calotype/internal/terminal"
)

// listenCommand forwards events from a server that cannot reach this machine to a program here. It
// claims events of a stream by the API, each with a lease. An event without a result in time can be
// claimed again, so no event is lost if the connection, the server or this program ends.
type listenCommand struct {
	ForwardTo string `help:"URL of your own server, as http://localhost:3000/hook." required:"" env:"-"`
	BaseURL   string `help:"Base URL of the API." env:"CLOUDFLARE_BASE_URL"`
	APIToken  string `help:"Token that may write." env:"CLOUDFLARE_API_TOKEN"`
	AccountID string `help:"Account id." env:"CLOUDFLARE_ACCOUNT_ID"`

	Name   string   `help:"Name of the stream; from this machine's and --forward-to." env:"-"`
	Events []string `help:"Types of events: a,b; all if not given." env:"-"`
}

// Run forwards until ctx ends, and then reports the results of running requests.
func (c *listenCommand) Run(ctx context.Context) error {
	name, err := c.check()
	if err != nil {
		return err
	}
	terminal.Show(os.Stdout, "Forwarding the events of account %s, as the stream %s of %s,\nto %s; Ctrl-C ends it.\n",
		c.AccountID, name, c.BaseURL, c.ForwardTo)
	err = listen.Run(ctx, listen.Config{
		BaseURL: c.BaseURL, Token: c.APIToken, Account: c.AccountID, Stream: name, Events: c.Events,
		ForwardTo: c.ForwardTo,
		Say: func(format string, args ...any) {
			terminal.ShowLine(os.Stdout, time.Now().Format("15:04:05 ")+format, args...)
		},
		Signed: func(secret string) {
			terminal.Show(os.Stdout, "The messages are signed. Have your server verify them, by a library of "+
				"Standard Webhooks:\ndocs/webhooks.md shows how. The examples read the secret so:\n\n"+
				"  export WEBHOOK_SIGNING_SECRET=%s\n\n", shellQuote(secret))
		},
	})
	if err != nil {
		return errors.New(terminal.Visible(err.Error())) // it may quote the server
	}
	return nil
}

// check refuses invalid flags, and returns the name of the stream.
func (c *listenCommand) check() (name string, err error) {
	const set = `: eval "$(calotype env)" sets it beside a server; docs/webhooks.md says what to set ` +
		`for one elsewhere`
	to, err := url.Parse(c.ForwardTo)
	base, baseErr := url.Parse(c.BaseURL)
	switch {
	case c.BaseURL == "":
		return "", errors.New("neither --base-url nor CLOUDFLARE_BASE_URL is given" + set)
	case baseErr != nil || !isWebURL(base):
		return "", errors.New("the base URL is not valid: it should be like " +
			"https://images.example.com/client/v4")
	case c.APIToken == "":
		return "", errors.New("neither --api-token nor CLOUDFLARE_API_TOKEN is given" + set)
	case c.AccountID == "":
		return "", errors.New("neither --account-id nor CLOUDFLARE_ACCOUNT_ID is given" + set)
	case err != nil || !isWebURL(to):
		return "", errors.New("--forward-to is not valid: it should be like " +
			"http://localhost:3000/hook")
	case c.Name != "":
		return c.Name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this machine has no name, so --name is needed: %w", err)
	}
	return listen.StreamName(host, to), nil
}

func isWebURL(u *url.URL) bool {
	return u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}
