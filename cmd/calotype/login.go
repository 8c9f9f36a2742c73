package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"calotype/internal/apiclient"
	"calotype/internal/terminal"
)

// loginCommand stores a server with a token in the configuration folder of the user.
type loginCommand struct {
	terminal.Output
	URL       string `arg:"" help:"URL of the server, such as https://images.example.com."`
	Name      string `help:"Name of the server in --server and logout; default: its host." env:"-"`
	AccountID string `help:"Account id; asked for if not given." env:"CLOUDFLARE_ACCOUNT_ID"`
	Token     string `hidden:"" env:"CALOTYPE_TOKEN"`
}

// Help returns the text of --help below the usage.
func (loginCommand) Help() string {
	return `Asks for a token without showing it, verifies it, and stores it with the URL for later commands, in a
file that only this user can read. Without a terminal the token is a line of the standard input, or in
CALOTYPE_TOKEN. The server that was stored last is used if nothing else selects one.

  calotype login https://images.example.com --account-id 023e105f4ecef8ad9ca31a8372d0c353
  calotype login https://staging.example.com --name staging < token`
}

// A storedServer is the JSON of a stored server.
type storedServer struct {
	Name    string        `json:"name"`
	URL     string        `json:"url"`
	Account string        `json:"account"`
	Expires terminal.Time `json:"expires"` // of the token; null: never
}

// Run verifies the token and stores it.
func (c *loginCommand) Run(ctx context.Context) error {
	base, err := apiclient.ParseBase(c.URL)
	if err != nil {
		return exitError{badUsage, err}
	}
	input := bufio.NewReader(io.LimitReader(os.Stdin, 4096))
	account := c.AccountID
	if account == "" {
		if !terminal.IsTerminal(os.Stdin) {
			return usagef("no account is given: --account-id or CLOUDFLARE_ACCOUNT_ID names it")
		}
		if account, err = ask(input, "Account id: "); err != nil {
			return err
		}
	}
	if host := base.Hostname(); base.Scheme == "http" && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		terminal.ShowLine(os.Stderr, "The token is sent to %s without encryption: prefer https.", host)
	}
	token, err := c.token(input)
	if err != nil {
		return err
	}
	client, err := apiclient.New(apiclient.Config{BaseURL: base.String(), Token: token, Account: account})
	if err != nil {
		return err
	}
	defer client.Close()
	verified, err := client.Verify(ctx)
	if err != nil {
		return fmt.Errorf("verifying the token at %s: %w; nothing is stored", base, err)
	}
	login := apiclient.Login{Name: c.Name, BaseURL: base.String(), Account: account, Token: token}
	if login.Name == "" {
		login.Name = base.Host
	}
	path, err := changeLogins(func(l *apiclient.Logins) error { return l.Add(login) })
	if err != nil {
		return err
	}
	stored := storedServer{login.Name, login.BaseURL, account, terminal.Time(verified.Expires)}
	return c.Print(os.Stdout, stored, func(w io.Writer) {
		terminal.ShowLine(w, "The token is valid; it %s. %s is stored as %s in %s.",
			tokenEnd(verified.Expires, time.Now()), login.BaseURL, login.Name, path)
	})
}

// tokenEnd writes the end of a token.
func tokenEnd(expires, now time.Time) string {
	if expires.IsZero() {
		return "never expires"
	}
	return "expires " + terminal.Ago(expires, now)
}

// token returns the token: of the variable, typed, or of the standard input.
func (c *loginCommand) token(input *bufio.Reader) (string, error) {
	if c.Token != "" {
		return c.Token, nil
	}
	token, err := terminal.ReadSecret("API token, which is not shown: ")
	if errors.Is(err, terminal.ErrNoTerminal) {
		token, err = ask(input, "")
	}
	if err == nil && token == "" {
		err = errors.New("no token is given: type it, pass it as a line of the standard input, or set CALOTYPE_TOKEN")
	}
	return token, err
}

// ask reads a line.
func ask(input *bufio.Reader, prompt string) (string, error) {
	fmt.Fprint(os.Stderr, prompt)
	line, err := input.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// changeLogins changes the stored servers by fn, and returns the path of their file.
func changeLogins(fn func(*apiclient.Logins) error) (path string, err error) {
	if path, err = apiclient.LoginsPath(); err != nil {
		return "", err
	}
	return path, apiclient.ChangeLogins(path, fn)
}

// logoutCommand forgets a stored server.
type logoutCommand struct {
	terminal.Output
	Name string `arg:"" optional:"" help:"Name of the server; default: the one that was stored last."`
}

// Help returns the text of --help below the usage.
func (logoutCommand) Help() string {
	return `The token stays valid: calotype token revoke ends it at the server.`
}

// Run removes the server from the stored ones.
func (c *logoutCommand) Run() error {
	var gone apiclient.Login
	_, err := changeLogins(func(l *apiclient.Logins) error {
		found, there := l.Find(c.Name)
		if !there {
			return fmt.Errorf("no server of the name %q is stored", c.Name)
		}
		gone = found
		l.Remove(found.Name)
		return nil
	})
	if err != nil {
		return err
	}
	return c.Print(os.Stdout, map[string]string{"name": gone.Name, "url": gone.BaseURL}, func(w io.Writer) {
		terminal.ShowLine(w, "%s is no longer stored. Its token is still valid there.", gone.Name)
	})
}
