package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
	"calotype/internal/pages"
)

// firstTokenFile holds the token of the first start if there was no terminal to print it to.
const firstTokenFile = "first-token"

// keepToken writes a new token to a file before the database has it, so that a start that fails later
// does not lose it.
func (c *serveCommand) keepToken(secret string) error {
	return writeSecret(filepath.Join(c.Data, firstTokenFile), secret, "the first token")
}

// writeSecret writes a secret, which what describes, to a file that only its owner can read.
func writeSecret(path, secret, what string) error {
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("keeping %s: %w", what, err)
	}
	return nil
}

// printFirstSteps prints the addresses of the server and the next steps. A new token is printed to a terminal
// only; otherwise it is written to a file that only its owner can read.
func (c *serveCommand) printFirstSteps(account accounts.Account, newToken, demoLink string, urls cfapi.URLs,
	log *slog.Logger) error {
	terminal := isTerminal(os.Stdout)
	path := filepath.Join(c.Data, firstTokenFile)
	if newToken != "" && !terminal {
		log.Info("the first API token was written to a file", "path", path)
	}
	fmt.Printf("Calotype listens on %s\n  account id    %s\n  account hash  %s\n",
		urls.API, account.ID, account.Hash)
	token := ""
	switch {
	case newToken != "" && terminal:
		fmt.Printf("  API token     %s  (shown once)\n", newToken)
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing the token's file, now that it is shown: %w", err)
		}
		token = newToken
	case fileExists(path):
		token = "$(cat " + shellQuote(path) + ")"
		fmt.Printf("  API token     in %s\n", path)
	}
	c.printDemo(demoLink, terminal, log)
	env := fmt.Sprintf("eval \"$(%s env%s)\"", shellQuote(os.Args[0]), c.flagsAgain())
	if token == "" { // not stored: env creates another one, for that shell
		fmt.Printf("\nIn another terminal, in this folder, get a token, which also points an official "+
			"Cloudflare SDK here:\n\n  %s\n\n", env)
		token = "$CLOUDFLARE_API_TOKEN"
	} else {
		defer fmt.Printf("Point an official Cloudflare SDK here:\n\n  %s\n\n", env)
	}
	fmt.Printf("\nUpload a sample picture as an end user would; the command prints its URL:\n\n"+
		"  %s\n\n", sampleLine(account.ID, token, urls))
	return nil
}

// printDemo prints the link to the demo page; without a terminal, a link that reads the key from its file.
func (c *serveCommand) printDemo(link string, terminal bool, log *slog.Logger) {
	key := filepath.Join(c.Data, demoKeyFile)
	switch page, _, _ := strings.Cut(link, "="); {
	case c.Demo == "off":
	case link == "":
		fmt.Println("  demo page     none at this address: -demo names the hosts that serve it")
	case terminal:
		fmt.Printf("  demo page     %s\n", link)
	default:
		log.Info("the key of the demo page is in a file", "path", key)
		fmt.Printf("  demo page     %s=$(cat %s)\n", page, shellQuote(key))
	}
}

// sampleLine returns a shell command that creates a one-time URL, posts the sample to it and prints the
// delivery URL.
func sampleLine(account, token string, urls cfapi.URLs) string {
	return fmt.Sprintf(`curl -sS %[1]s%[2]s | curl -sS -F 'file=@-;filename=sample.jpg' `+
		`"$(curl -sS -X POST -H "Authorization: Bearer %[3]s" `+
		`%[1]s/client/v4/accounts/%[4]s/images/v2/direct_upload | `+
		`sed -n 's/.*"uploadURL": "\(.*\)".*/\1/p')" | grep -o '%[5]s[^"]*/public'`,
		urls.API, pages.SamplePath, token, account, urls.Delivery)
}

// flagsAgain repeats the flags that another command needs to find the same database. The addresses of a running server
// are in its data folder.
func (s StateFlags) flagsAgain() string {
	var flags strings.Builder
	// Also if the environment has the folder: another terminal has another environment.
	if working, err := os.Getwd(); err != nil || s.Data != filepath.Join(working, "data") {
		flags.WriteString(" -data " + shellQuote(s.Data))
	}
	if s.AccountID != "" && os.Getenv("CALOTYPE_ACCOUNT_ID") == "" {
		flags.WriteString(" -account-id " + shellQuote(s.AccountID))
	}
	if s.DB != "" && os.Getenv("CALOTYPE_DB") == "" {
		flags.WriteString(` -db "$CALOTYPE_DB"`) // not printed, because it may hold a password
	}
	return flags.String()
}

// plainWord matches words that a shell needs no quotes for.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:=@+-]+$`)

func shellQuote(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
