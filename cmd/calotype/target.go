package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"calotype/internal/accounts"
	"calotype/internal/api"
	"calotype/internal/apiclient"
	"calotype/internal/cfapi"
	"calotype/internal/images"
	"calotype/internal/listing"
	"calotype/internal/manage"
	"calotype/internal/sqldb"
)

// A Target names the server of a command that speaks the API: a URL with a token, a stored server, or a data folder,
// on which the command runs the API in its own process.
type Target struct {
	StateFlags
	BaseURL  string `help:"Base URL of a server's API, instead of a data folder." env:"CLOUDFLARE_BASE_URL"`
	APIToken string `help:"Token for it." env:"CLOUDFLARE_API_TOKEN"`
	Server   string `help:"Name of a server that calotype login has stored." env:"-"`

	given []string // names of the flags on the command line
}

// AfterApply notes which flags are given on the command line.
func (t *Target) AfterApply(command *kong.Context) error {
	for _, part := range command.Path {
		if part.Flag != nil {
			t.given = append(t.given, part.Flag.Name)
		}
	}
	return nil
}

func (t *Target) isGiven(flags ...string) bool {
	return slices.ContainsFunc(flags, func(flag string) bool { return slices.Contains(t.given, flag) })
}

// A source is the selected server. described names it, and what selected it, for errors.
type source struct {
	remote    *apiclient.Config // nil: the data folder
	described string
}

// source selects the server: by the flags on the command line, then CLOUDFLARE_BASE_URL, CALOTYPE_DATA or CALOTYPE_DB,
// the server that was stored last, and the default data folder.
func (t *Target) source() (source, error) {
	byURL, byName := t.isGiven("base-url"), t.isGiven("server")
	byFolder := t.isGiven("data", "db", "blobs")
	folder := source{described: "the data folder " + t.Data}
	switch {
	case byURL && byName || byURL && byFolder || byName && byFolder:
		return source{}, usagef("--base-url, --server and --data (with --db and --blobs) name different servers: " +
			"give one of them")
	case byURL:
		return t.byURL("by --base-url")
	case byName:
		return t.stored(t.Server)
	case byFolder:
		return folder, nil
	case t.BaseURL != "":
		return t.byURL("by CLOUDFLARE_BASE_URL")
	case t.isGiven("api-token"):
		return source{}, usagef("--api-token is for the server of --base-url, which is missing")
	case os.Getenv("CALOTYPE_DATA") != "" || os.Getenv("CALOTYPE_DB") != "":
		return folder, nil
	}
	path, err := apiclient.LoginsPath()
	if err != nil {
		return folder, nil // there is no home folder, so nothing is stored
	}
	logins, err := apiclient.ReadLogins(path)
	if err != nil {
		return source{}, err
	}
	if _, found := logins.Find(""); found {
		return t.stored("")
	}
	return folder, nil
}

// byURL returns the server of BaseURL.
func (t *Target) byURL(how string) (source, error) {
	account := os.Getenv("CLOUDFLARE_ACCOUNT_ID")
	if t.isGiven("account-id") || account == "" {
		account = t.AccountID
	}
	switch {
	case t.APIToken == "":
		return source{}, usagef("%s is given %s, without a token: set CLOUDFLARE_API_TOKEN", t.BaseURL, how)
	case account == "":
		return source{}, usagef("%s is given %s, without an account: give --account-id, or set "+
			"CLOUDFLARE_ACCOUNT_ID", t.BaseURL, how)
	}
	return source{described: fmt.Sprintf("%s, given %s", t.BaseURL, how), remote: &apiclient.Config{
		BaseURL: t.BaseURL, Token: t.APIToken, Account: account}}, nil
}

// stored returns the server of a name that calotype login has stored, or the last one.
func (t *Target) stored(name string) (source, error) {
	path, err := apiclient.LoginsPath()
	if err != nil {
		return source{}, err
	}
	logins, err := apiclient.ReadLogins(path)
	if err != nil {
		return source{}, err
	}
	login, found := logins.Find(name)
	if !found {
		return source{}, usagef("no server of the name %q is stored: calotype login URL --name %s stores one", name,
			name)
	}
	account := login.Account
	if t.isGiven("account-id") {
		account = t.AccountID
	}
	return source{
		described: fmt.Sprintf("%s, stored as %s by calotype login", login.BaseURL, login.Name),
		remote:    &apiclient.Config{BaseURL: login.BaseURL, Token: login.Token, Account: account},
	}, nil
}

// withClient runs fn with a client of the selected server. A client beside a data folder reads originals if blobs is
// true. An error names the server.
func (t *Target) withClient(ctx context.Context, blobs bool, fn func(*apiclient.Client) error) error {
	from, err := t.source()
	if err != nil {
		return err
	}
	if from.remote != nil {
		err = withRemote(*from.remote, fn)
	} else {
		err = t.withLocal(ctx, blobs, fn)
	}
	return from.wrap(err)
}

// wrap adds to an error which server it is about.
func (s source) wrap(err error) error {
	if err == nil || errors.As(err, new(exitError)) || errors.Is(err, manage.ErrSomeFailed) {
		return err
	}
	return fmt.Errorf("%w\nThe server was %s", err, s.described)
}

func withRemote(config apiclient.Config, fn func(*apiclient.Client) error) error {
	client, err := apiclient.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	return fn(client)
}

// withLocal runs fn with a client of an API in this process, which needs no token.
func (t *Target) withLocal(ctx context.Context, blobs bool, fn func(*apiclient.Client) error) error {
	server, found, err := t.runningHere()
	if err != nil {
		return err
	}
	urls := cfapi.URLs{API: "http://" + defaultListen, Upload: "http://" + defaultListen}
	if found {
		urls = server.urls()
	}
	return t.withState(ctx, blobs, func(core *images.Service, db *sqldb.DB) error {
		account, err := accountOf(ctx, core, t.AccountID)
		if err != nil {
			return err
		}
		handler := api.New(api.Config{
			Core: core, Lists: listing.New(db), URLs: urls, Log: slog.New(slog.DiscardHandler),
			Local: &accounts.Token{Account: account.ID, Owner: account.Owner(), Name: "command",
				Scope: accounts.Admin},
		})
		return withRemote(apiclient.Config{BaseURL: apiclient.LocalBase, Token: "none", Account: account.ID,
			Transport: apiclient.Local(handler)}, fn)
	})
}

// runningHere returns the addresses of the server that runs in the data folder. Error: there is no database that this
// user may read.
func (t *Target) runningHere() (server runningServer, found bool, err error) {
	if err := t.wantDatabase(); err != nil {
		return server, false, err
	}
	return running(t.Data)
}

// uploadTokenLife is the life of the token of an upload beside a data folder, longer than the longest upload. It is
// revoked at the end, unless the command is killed.
const uploadTokenLife = 7 * 24 * time.Hour

// withUploads runs fn with a client of a running server: an upload needs its workers. Beside a data folder it sends
// the requests to the address that the server has left there, with a token that it revokes at the end.
func (t *Target) withUploads(ctx context.Context, fn func(*apiclient.Client) error) error {
	from, err := t.source()
	if err != nil {
		return err
	}
	if from.remote != nil {
		return from.wrap(withRemote(*from.remote, fn))
	}
	server, found, err := t.runningHere()
	if err == nil && !found {
		err = errors.New("no server runs in this data folder, and an upload needs one: start it with " +
			"calotype serve, or name another one with --base-url, --server or CLOUDFLARE_BASE_URL")
	}
	if err != nil {
		return from.wrap(err)
	}
	public, err := url.Parse(server.API)
	if err != nil {
		return from.wrap(fmt.Errorf("reading the address of the server: %w", err))
	}
	return from.wrap(t.withCore(ctx, false, func(core *images.Service) (err error) {
		account, err := accountOf(ctx, core, t.AccountID)
		if err != nil {
			return err
		}
		name := "upload-" + strings.ToLower(rand.Text()[:8])
		secret, err := core.Accounts.CreateToken(ctx, account.ID,
			accounts.NewToken{Name: name, Scope: accounts.Write, Life: uploadTokenLife})
		if err != nil {
			return err
		}
		defer joinClose(&err, func() error {
			return core.Accounts.RevokeToken(context.WithoutCancel(ctx), account.ID, name)
		})
		return withRemote(apiclient.Config{BaseURL: "http://" + server.Listen, Host: public.Host,
			NoProxy: true, Token: secret, Account: account.ID}, fn)
	}))
}
