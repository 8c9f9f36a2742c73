// Command calotype is a self-hosted image service that speaks the Cloudflare Images API.
package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

// commands is the command tree.
type commands struct {
	Serve       serveCommand       `cmd:"" help:"Run the server."`
	Env         envCommand         `cmd:"" help:"Print shell exports for SDKs."`
	Account     accountCommands    `cmd:"" help:"Create, list, limit, suspend and delete accounts."`
	Token       tokenCommands      `cmd:"" help:"Create, list and revoke API tokens."`
	Webhook     webhookCommands    `cmd:"" help:"Send events to your backend; test and replay."`
	Listen      listenCommand      `cmd:"" help:"Forward events to a server on your machine."`
	Image       imageCommands      `cmd:"" help:"Show an image, or erase images permanently."`
	ReceiptKey  receiptKeyCommands `cmd:"" help:"Replace the keys that sign receipts of uploads."`
	Sign        signCommand        `cmd:"" help:"Print a delivery URL with a signature."`
	Backup      backupCommand      `cmd:"" help:"Back up the whole state, while the server runs."`
	Restore     restoreCommand     `cmd:"" help:"Restore a backup to a new data folder."`
	Import      importCommand      `cmd:"" help:"Import from Cloudflare Images or another server."`
	Sweep       sweepCommand       `cmd:"" help:"Delete originals that no image refers to."`
	Scrub       scrubCommand       `cmd:"" help:"Remove remains of erased images from the database, now."`
	Migrate     migrateCommand     `cmd:"" help:"Migrate the database's schema."`
	Healthcheck healthcheckCommand `cmd:"" help:"Request /readyz of the running server."`
	Doctor      doctorCommand      `cmd:"" help:"Check what this machine and the state allow a server."`
	Version     versionCommand     `cmd:"" help:"Print the versions of program, engine and codecs."`
	Worker      workerCommand      `cmd:"" hidden:"" help:"Decode pictures; started by a server."`
	Man         manCommand         `cmd:"" hidden:"" help:"Print the manual page."`
	Completion  completionCommand  `cmd:"" hidden:"" help:"Print the completions of a shell."`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		show(os.Stderr, "calotype: %v\n", err)
		exit := exitError{status: 1}
		errors.As(err, &exit)
		os.Exit(exit.status)
	}
}

// An exitError ends the program with its status; any other error ends it with 1.
type exitError struct {
	status int
	error
}

func (e exitError) Unwrap() error { return e.error }

func run(args []string) error {
	syscall.Umask(0o077) // only the owner can read new files
	environment := readEnvironment()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the program at once
	var tree commands
	parser, err := kong.New(&tree,
		kong.Name("calotype"),
		kong.Description("A self-hosted image service that speaks the Cloudflare Images API."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
		kong.DefaultEnvars("CALOTYPE"),
		kong.BindTo(ctx, (*context.Context)(nil)),
	)
	if err != nil {
		return err
	}
	command, err := parser.Parse(doubleDashes(args))
	if parse := new(kong.ParseError); errors.As(err, &parse) {
		command = parse.Context
	}
	if environment != nil && !isSelected(command, "version") {
		err = environment // it may be the reason why the flags are not valid
	}
	switch {
	case err != nil && isSelected(command, "doctor"):
		return exitError{doctorBadFlags, err}
	case err != nil:
		return err
	}
	return command.Run()
}

// doubleDashes allows flags with one dash, such as -listen.
func doubleDashes(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		if arg == "--" {
			copy(out[i:], args[i:])
			break
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] != '-' {
			arg = "-" + arg
		}
		out[i] = arg
	}
	return out
}

// secretVariables may also be given as a file whose name is in the variable with _FILE behind it.
var secretVariables = []string{
	"CALOTYPE_API_TOKEN", "CALOTYPE_DB", "CALOTYPE_TOKEN", "CALOTYPE_WEBHOOK_URL",
	"CALOTYPE_WEBHOOK_SECRET", "CALOTYPE_WEBHOOK_SIGNING_SECRET", "CALOTYPE_SIGNING_SECRET",
}

// readEnvironment reads secrets from their files, and unsets variables that are empty, as compose files
// set them.
func readEnvironment() error {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if value == "" && strings.HasPrefix(name, "CALOTYPE_") {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("unsetting %s: %w", name, err)
			}
		}
	}
	for _, name := range secretVariables {
		file := os.Getenv(name + "_FILE")
		if file == "" {
			continue
		}
		if os.Getenv(name) != "" {
			return fmt.Errorf("both %s and %s_FILE are set: leave one of them out", name, name)
		}
		secret, err := os.ReadFile(file)
		if path := new(fs.PathError); errors.As(err, &path) {
			// Its path may be the secret itself, by mistake.
			return fmt.Errorf("reading the file that %s_FILE names: %w", name, path.Err)
		}
		if err != nil {
			return fmt.Errorf("reading the file that %s_FILE names: %w", name, err)
		}
		if err := os.Setenv(name, strings.TrimSpace(string(secret))); err != nil {
			return fmt.Errorf("setting %s: %w", name, err)
		}
	}
	return nil
}
