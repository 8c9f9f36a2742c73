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

	"calotype/internal/cdn"
	"calotype/internal/terminal"
)

// commands is the command tree. A group is a heading in the help.
type commands struct {
	Serve       serveCommand       `cmd:"" group:"server" help:"Run the server."`
	Env         envCommand         `cmd:"" group:"server" help:"Print shell exports for SDKs."`
	Doctor      doctorCommand      `cmd:"" group:"server" help:"Check what this machine and the state allow a server."`
	Healthcheck healthcheckCommand `cmd:"" group:"server" help:"Request /readyz of the running server."`

	Image   imageCommands   `cmd:"" group:"images" help:"List, show, download, upload and delete images."`
	Draft   draftCommands   `cmd:"" group:"images" help:"List the drafts, which wait for their upload."`
	Variant variantCommands `cmd:"" group:"images" help:"List, show, create and delete variants."`
	Key     keyCommands     `cmd:"" group:"images" help:"List, create and delete signing keys."`
	Sign    signCommand     `cmd:"" group:"images" help:"Print a delivery URL with a signature."`
	Stats   statsCommand    `cmd:"" group:"images" help:"Show what an account stores, and its limits."`

	Login   loginCommand    `cmd:"" group:"access" help:"Store the URL and token of a server for other commands."`
	Logout  logoutCommand   `cmd:"" group:"access" help:"Forget a stored server."`
	Account accountCommands `cmd:"" group:"access" help:"Create, list, limit, suspend and delete accounts."`
	Token   tokenCommands   `cmd:"" group:"access" help:"Create, list and revoke API tokens."`

	ReceiptKey receiptKeyCommands `cmd:"" group:"access" help:"Replace the keys that sign receipts of uploads."`

	Webhook webhookCommands `cmd:"" group:"events" help:"Send events to your backend; test and replay."`
	Listen  listenCommand   `cmd:"" group:"events" help:"Forward events to a server on your machine."`

	Backup  backupCommand  `cmd:"" group:"data" help:"Back up the whole state, while the server runs."`
	Restore restoreCommand `cmd:"" group:"data" help:"Restore a backup to a new data folder."`
	Import  importCommands `cmd:"" group:"data" help:"Import from Cloudflare Images, a folder or S3."`
	Sweep   sweepCommand   `cmd:"" group:"data" help:"Delete originals that no image refers to."`
	Scrub   scrubCommand   `cmd:"" group:"data" help:"Remove remains of erased images from the database, now."`
	Migrate migrateCommand `cmd:"" group:"data" help:"Migrate the database's schema."`

	Version    versionCommand    `cmd:"" group:"program" help:"Print the versions of program, engine and codecs."`
	Completion completionCommand `cmd:"" group:"program" help:"Print the completions of a shell."`
	Worker     workerCommand     `cmd:"" hidden:"" help:"Decode pictures; started by a server."`
	Man        manCommand        `cmd:"" hidden:"" help:"Print the manual page."`
}

// groups are the headings of the help.
var groups = []kong.Group{
	{Key: "server", Title: "Run a server:"},
	{Key: "images", Title: "Images, by the API or beside a data folder:"},
	{Key: "access", Title: "Accounts, tokens and servers:"},
	{Key: "events", Title: "Events:"},
	{Key: "data", Title: "The state of a server:"},
	{Key: "program", Title: "This program:"},
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		terminal.Show(os.Stderr, "calotype: %v\n", err)
		exit := exitError{status: 1}
		errors.As(err, &exit)
		os.Exit(exit.status)
	}
}

// badUsage is the exit status for a command line that is not valid.
const badUsage = 2

// usagef returns an error about a command line that is not valid.
func usagef(format string, args ...any) error {
	return exitError{badUsage, fmt.Errorf(format, args...)}
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
	parser, err := newParser(ctx)
	if err != nil {
		return err
	}
	args = doubleDashes(args)
	if len(args) == 1 && (args[0] == "--version" || args[0] == "-v") {
		fmt.Println(programVersion())
		return nil
	}
	command, err := parser.Parse(asksForHelp(parser.Model.Node, args))
	if parse := new(kong.ParseError); errors.As(err, &parse) {
		command = parse.Context
		err = exitError{badUsage, withHelp(err, command)}
	}
	if environment != nil && !isSelected(command, "version") {
		err = environment // it may be the reason why the flags are not valid
		if isSelected(command, "doctor") {
			err = exitError{doctorBadFlags, err}
		}
	}
	if err != nil {
		return err
	}
	if !isSelected(command, "worker") {
		warnOfVariables(parser.Model, os.Environ())
	}
	return command.Run()
}

// newParser returns the parser of the command tree.
func newParser(ctx context.Context) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("calotype"),
		kong.Description("A self-hosted image service that speaks the Cloudflare Images API."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.ExplicitGroups(groups),
		kong.DefaultEnvars("CALOTYPE"),
		kong.BindTo(ctx, (*context.Context)(nil)),
		durations,
	)
}

// withHelp adds to an error of the command line where its help is.
func withHelp(err error, command *kong.Context) error {
	path := "calotype"
	if command != nil && command.Selected() != nil {
		path = command.Selected().FullPath()
	}
	return fmt.Errorf("%w\n%s --help shows what it takes", err, path)
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
	cdn.TokenVariable, "CALOTYPE_WEBHOOK_SECRET", "CALOTYPE_WEBHOOK_SIGNING_SECRET", "CALOTYPE_SIGNING_SECRET",
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
