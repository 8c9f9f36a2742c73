package main

import (
	"context"
	"errors"
	"net/url"
	"os"
	"time"

	"github.com/alecthomas/kong"

	"calotype/internal/apiclient"
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
	Server    string `help:"Name of a server that calotype login has stored." env:"-"`

	Name   string   `help:"Name of the stream; from this machine's and --forward-to." env:"-"`
	Events []string `help:"Types of events: a,b; all if not given." env:"-"`

	target Target // which server it is
}

// Run forwards until ctx ends, and then reports the results of running requests.
func (c *listenCommand) Run(ctx context.Context) error {
	name, err := c.stream()
	if err != nil {
		return err
	}
	server, err := c.server()
	if err != nil {
		return err
	}
	terminal.Show(os.Stdout, "Forwarding the events of account %s, as the stream %s of %s,\nto %s; Ctrl-C ends it.\n",
		server.Account, name, server.BaseURL, c.ForwardTo)
	err = listen.Run(ctx, listen.Config{
		BaseURL: server.BaseURL, Token: server.Token, Account: server.Account, Stream: name, Events: c.Events,
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

// AfterApply notes which flags are given on the command line.
func (c *listenCommand) AfterApply(command *kong.Context) error { return c.target.AfterApply(command) }

// server returns the server that the flags, the variables or calotype login name.
func (c *listenCommand) server() (apiclient.Config, error) {
	c.target.BaseURL, c.target.APIToken, c.target.Server = c.BaseURL, c.APIToken, c.Server
	c.target.AccountID = c.AccountID
	from, err := c.target.source()
	switch {
	case err != nil:
		return apiclient.Config{}, err
	case from.remote == nil:
		return apiclient.Config{}, usagef(`no server is named: eval "$(calotype env)" sets CLOUDFLARE_BASE_URL ` +
			`beside one, and calotype login stores one elsewhere; or give --base-url`)
	}
	base, err := apiclient.ParseBase(from.remote.BaseURL)
	if err != nil {
		return apiclient.Config{}, exitError{badUsage, err}
	}
	server := *from.remote
	server.BaseURL = base.String()
	return server, nil
}

// stream refuses an invalid --forward-to, and returns the name of the stream.
func (c *listenCommand) stream() (name string, err error) {
	to, err := url.Parse(c.ForwardTo)
	if err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		return "", usagef("--forward-to is not valid: it should be like http://localhost:3000/hook")
	}
	if c.Name != "" {
		return c.Name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", usagef("this machine has no name, so --name is needed: %w", err)
	}
	return listen.StreamName(host, to), nil
}
