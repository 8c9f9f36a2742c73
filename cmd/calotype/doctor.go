package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/alecthomas/kong"

	"calotype/internal/accounts"
	"calotype/internal/backup"
	"calotype/internal/doctor"
	"calotype/internal/pages"
	"calotype/internal/terminal"
)

// doctorBadFlags is the exit status for a command line or environment of doctor that is not valid: 1 says that a
// check failed.
const doctorBadFlags = 2

// isSelected reports whether a command line, perhaps one that is not valid, selects a command.
func isSelected(c *kong.Context, name string) bool {
	return c != nil && c.Selected() != nil && c.Selected().Name == name
}

type doctorCommand struct {
	Config
	terminal.Output
}

// Help returns the text of --help below the usage.
func (doctorCommand) Help() string {
	return `Takes the flags and environment variables of serve, and prints one line for each check: ok, warning or
failed, the subject, what was found, and what to do. It changes nothing, prints no secret, and may run
before the first start or beside a server, also while that starts. Run it as the user of the server.

The exit status is 0 if no check failed, 1 if a check failed or the command was interrupted, and 2 if the
flags or the environment are not valid.`
}

// Run prints the findings.
func (c *doctorCommand) Run(ctx context.Context) error {
	printed := func(f doctor.Finding) { showFinding(os.Stdout, f) }
	if c.JSON {
		printed = func(doctor.Finding) {}
	}
	listen, err := knownListen(c.Data, c.Listen)
	if err != nil {
		return err
	}
	c.Listen = listen
	findings := doctor.Run(ctx, c.config(), printed)
	if ctx.Err() != nil {
		return errors.New("interrupted: not all checks were made")
	}
	n := 0
	for _, f := range findings {
		if f.Result == doctor.Failed {
			n++
		}
	}
	if c.JSON {
		result := map[string]any{"failed": n, "checks": findings}
		if err := c.Print(os.Stdout, result, nil); err != nil {
			return err
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d checks failed", n, len(findings))
	}
	return nil
}

// showFinding prints a finding as one line.
func showFinding(out io.Writer, f doctor.Finding) {
	line := fmt.Sprintf("%-8s %-18s %s", f.Result, f.Subject, f.Found)
	if f.Do != "" {
		line += "; " + f.Do
	}
	terminal.ShowLine(out, "%s", line)
}

// config returns the flags as the checks need them.
func (c *doctorCommand) config() doctor.Config {
	config := doctor.Config{
		Version: programVersion(), Check: (&serveCommand{c.Config}).check,
		Data: c.Data, DB: c.DB, SQLite: filepath.Join(c.Data, backup.DatabaseFile), Blobs: c.blobs(),
		Account: accounts.Setup{ID: c.AccountID, Hash: c.AccountHash, Token: c.APIToken},
		Worker:  workerArgs(), Workers: c.Workers, Memory: int64(c.Memory), WorkerTimeout: c.WorkerTimeout,
		RequireSandbox: c.RequireSandbox, DiskReserve: int64(c.DiskReserve),
		Connections: connectionsAllowed, EnoughFiles: maxConnections + otherFiles,
		Listen: c.Listen, MetricsListen: c.MetricsListen,
		Read: []string{firstTokenFile}, DemoKey: c.checkDemoKey,
		WebhookURL: c.WebhookURL, Secrets: []string{c.WebhookSecret, c.WebhookSigningSecret},
		Variables: secretVariables,
	}
	if !hasEngine {
		config.Worker = nil
	}
	if c.WebhookURL != "" {
		config.Written = append(config.Written, webhookSecretFile)
	}
	if c.Demo != "off" {
		config.Read = append(config.Read, demoKeyFile)
	}
	return config
}

// checkDemoKey checks the content of the file with the key of the demo page, if a server would use it.
func (c *doctorCommand) checkDemoKey() error {
	hosts, err := pages.ParseDemoHosts(c.Demo)
	path := filepath.Join(c.Data, demoKeyFile)
	if err != nil || hosts.Off() || !fileExists(path) {
		return nil // the check of the configuration reports -demo
	}
	_, err = loadDemoKey(path)
	return err
}
