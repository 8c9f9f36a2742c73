package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/doctor"
	"calotype/internal/images"
	"calotype/internal/sqldb"
	"calotype/internal/terminal"
)

// withCore runs fn on a core with its database, and with its blobs if needed.
func (s StateFlags) withCore(ctx context.Context, blobs bool, fn func(*images.Service) error) error {
	return s.withState(ctx, blobs, func(core *images.Service, _ *sqldb.DB) error { return fn(core) })
}

// withState is withCore with the database of the core.
func (s StateFlags) withState(
	ctx context.Context, blobs bool, fn func(*images.Service, *sqldb.DB) error,
) (err error) {
	if err := s.wantDatabase(); err != nil {
		return err
	}
	db, err := s.openDB(ctx)
	if err != nil {
		return err
	}
	defer joinClose(&err, db.Close)
	config := images.Config{DB: db, Dir: s.Data}
	if blobs {
		if config.Blobs, err = s.openBlobs(ctx); err != nil {
			return err
		}
	}
	core := images.New(config)
	defer core.Close()
	return fn(core, db)
}

// wantDatabase refuses a folder that no server has used, because opening a database would create one.
func (s StateFlags) wantDatabase() error {
	if s.DB != "" {
		return nil
	}
	file, err := os.Open(s.dsn())
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("this user may not read the data folder %s: run the command as the user of "+
			"the server: %w", s.Data, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no database in %s: start the server first, or name its folder "+
			"with -data, or its database with -db", s.Data)
	case err != nil:
		return fmt.Errorf("opening the database: %w", err)
	}
	return file.Close()
}

// account returns the account of a command.
func (s StateFlags) account(ctx context.Context, core *images.Service) (accounts.Account, error) {
	if s.AccountID != "" {
		return core.Accounts.ByID(ctx, s.AccountID)
	}
	return core.Accounts.First(ctx)
}

// withAccount runs fn on a core without blobs, and the ID of the account of a command.
func (s StateFlags) withAccount(
	ctx context.Context, fn func(core *images.Service, account string) error,
) error {
	return s.withCore(ctx, false, func(core *images.Service) error {
		account, err := s.account(ctx, core)
		if err != nil {
			return err
		}
		return fn(core, account.ID)
	})
}

// envTokenLife is the life of a token that env creates. A job deletes it a week after its end.
const envTokenLife = 24 * time.Hour

type envCommand struct{ Config }

// Run prints shell exports. Secrets of tokens are not stored, so without one in a flag or file it creates a new
// token.
func (c *envCommand) Run(ctx context.Context) error {
	urls, err := c.knownURLs()
	if err != nil {
		return err
	}
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		token, err := c.token(ctx, core, account)
		if err != nil {
			return err
		}
		fmt.Printf("export CLOUDFLARE_BASE_URL=%s\nexport CLOUDFLARE_ACCOUNT_ID=%s\n"+
			"export CLOUDFLARE_API_TOKEN=%s\n",
			shellQuote(urls.API+"/client/v4"), shellQuote(account), shellQuote(token))
		return nil
	})
}

func (c *envCommand) token(ctx context.Context, core *images.Service, account string) (string, error) {
	if c.APIToken != "" {
		return c.APIToken, nil
	}
	first, err := os.ReadFile(filepath.Join(c.Data, firstTokenFile))
	if err == nil {
		secret := strings.TrimSpace(string(first))
		if token, err := core.Accounts.Authenticate(ctx, secret); err == nil && token.Account == account {
			return secret, nil
		}
	}
	name := "env-" + strings.ToLower(rand.Text()[:8])
	secret, err := core.Accounts.CreateToken(ctx, account,
		accounts.NewToken{Name: name, Scope: accounts.Write, Life: envTokenLife})
	if err == nil {
		fmt.Fprintf(os.Stderr, "made the token %[1]s, which expires in a day; %[2]s token create makes one for "+
			"longer; %[2]s token revoke %[1]s ends it now\n", name, os.Args[0])
	}
	return secret, err
}

type scrubCommand struct {
	StateFlags
	terminal.Output
}

// Help returns the text of --help below the usage.
func (scrubCommand) Help() string {
	return `After erasures a server rebuilds SQLite once a day, at -rebuild-at, if it estimates less than
10 seconds. This command rebuilds it now, beside a running server or without one. All writers wait
until it has ended, and it needs twice the disk space of the database.`
}

func (c *scrubCommand) Run(ctx context.Context) error {
	return c.withCore(ctx, false, func(core *images.Service) error {
		done, err := core.ScrubNow(ctx)
		if err == nil && !done {
			err = errors.New("a reader of the database, such as a backup, blocked the rebuild: run this command again")
		}
		if err != nil || !c.JSON {
			return err
		}
		return c.Print(os.Stdout, map[string]bool{"rebuilt": true}, nil)
	})
}

type migrateCommand struct {
	StateFlags
	terminal.Output
}

func (c *migrateCommand) Run(ctx context.Context) error {
	if err := c.makeData(); err != nil {
		return err
	}
	db, err := c.openDB(ctx) // which migrates
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil || !c.JSON {
		return err
	}
	return c.Print(os.Stdout, map[string]bool{"migrated": true}, nil)
}

type healthcheckCommand struct {
	Listen string `default:"localhost:8080" help:"Address that the server listens on; default: as it left in -data."`
	Data   string `help:"Data folder of the server." default:"./data" type:"path"`
}

func (c *healthcheckCommand) Run(ctx context.Context) error {
	listen, err := knownListen(c.Data, c.Listen)
	if err != nil {
		return err
	}
	status, text, err := doctor.Ready(ctx, listen)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the server is not well: %s", text)
	}
	return err
}
