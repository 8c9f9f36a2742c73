package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/disk"
	"calotype/internal/images"
	"calotype/internal/importer"
	"calotype/internal/outbound"
	"calotype/internal/render"
	"calotype/internal/terminal"
)

// importDir is the folder in the data folder with the import's spool, and with the lock that prevents a
// second import.
const importDir = "import"

// notAllKept is the exit status of an import that another run cannot improve.
const notAllKept = 3

type importCommands struct {
	Cloudflare importCloudflare `cmd:"" default:"withargs" help:"Import an account of Cloudflare or of a Calotype."`
	Folder     importFolder     `cmd:"" help:"Import the pictures of a folder."`
	S3         importS3         `cmd:"" name:"s3" help:"Import the pictures of an S3 bucket."`
}

// importFlags are the flags of all imports.
type importFlags struct {
	StateFlags
	terminal.Output
	DryRun   bool   `help:"Only show what would be imported and refused, and the time." env:"-"`
	Parallel int    `help:"Pictures that are read at once." default:"4"`
	Update   bool   `help:"Update fields that differ from the source's." env:"-"`
	Report   string `help:"File for the report; default: import-report.json in -data." type:"path"`

	Workers        int           `help:"Concurrent jobs of workers." default:"2"`
	Memory         Bytes         `help:"Memory of all workers; 0: 60 %." default:"0"`
	WorkerTimeout  time.Duration `help:"Maximal processor time of a picture." default:"30s"`
	RequireSandbox bool          `help:"Refuse to start without the complete sandbox."`
	MaxUploadBytes Bytes         `help:"Largest original." default:"10MiB"`
	DiskReserve    Bytes         `help:"Disk space left free; 0: the larger of 1 GiB and 5 %." default:"0"`
	LogFormat      string        `help:"text, json or auto: text on a terminal." default:"auto" enum:"auto,text,json"`
}

func (c *importFlags) check() error {
	if c.Parallel < 1 || c.Parallel > 64 || c.Workers < 1 || c.MaxUploadBytes == 0 {
		return usagef("-parallel must be 1 to 64, -workers at least 1 and -max-upload-bytes not 0")
	}
	return nil
}

type importCloudflare struct {
	importFlags
	From    string  `help:"Base of the source's API: https://api.cloudflare.com/client/v4." required:""`
	Account string  `help:"Account id at the source." required:""`
	Token   string  `help:"Token that reads images there, or CALOTYPE_TOKEN_FILE with it." required:""`
	Rate    float64 `help:"Requests a second; 0: no limit. Cloudflare allows 4." default:"3.5"`
	NoKeys  bool    `help:"Do not import signing keys, which would be valid here." env:"-"`

	OutboundAllow string `help:"Private networks of the source: 10.1.0.0/16,fd00::/8."`
}

// Help returns the text of --help below the usage.
func (importCloudflare) Help() string {
	return `Imports variants, configuration, signing keys and all images of an account of Cloudflare
Images, or of another Calotype, with their ids, times, names, metadata and creators. The server may
run concurrently, with either database. It must have been started once, with -account-hash for old
URLs to stay valid. -dry-run works before that start, too: it prints the hash, and lists what would
be refused.

The import does not change existing images, so run it again if it was stopped. The exit status is 0
when everything is imported, 3 when everything except the problems in the report is imported, and 1
when another run is needed.

docs/moving.md lists what else to change.`
}

func (c *importCloudflare) Run(ctx context.Context) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if c.Rate < 0 {
		return usagef("-rate must not be negative")
	}
	networks, err := outbound.ParseNetworks(c.OutboundAllow)
	if err != nil {
		return err
	}
	client := outbound.ForHost(outbound.Config{Allow: networks}, c.Parallel)
	defer client.CloseIdleConnections()
	config := importer.Config{
		HTTP: client, Rate: c.Rate, Parallel: c.Parallel,
		Source: importer.Source{API: c.From, Account: c.Account, Token: c.Token},
		Update: c.Update, NoKeys: c.NoKeys, MaxBytes: int64(c.MaxUploadBytes),
	}
	if c.DryRun {
		return c.plan(ctx, config)
	}
	return c.into(ctx, func(core *images.Service, account accounts.Account, progress *terminal.Progress) error {
		config.Core, config.Account, config.Progress = core, account, progress
		config.Warn = func(line string) { progress.Print(os.Stderr, line) }
		report, err := importer.Run(ctx, config)
		return c.finish(ctx, progress, report, err)
	})
}

// plan shows what the import would do. Without a database it compares nothing with what exists here.
func (c *importCloudflare) plan(ctx context.Context, config importer.Config) error {
	config.Progress = terminal.StartProgress(os.Stderr, c.JSON, "dry run", "images")
	defer config.Progress.End()
	run := func(core *images.Service, account accounts.Account) error {
		config.Core, config.Account = core, account
		plan, err := importer.PlanImport(ctx, config)
		if err := config.Progress.Stopped(ctx, err, "nothing was imported"); err != nil {
			return err
		}
		return c.printPlan(plan, account.Hash)
	}
	if c.wantDatabase() != nil {
		return run(nil, accounts.Account{})
	}
	return c.withCore(ctx, false, func(core *images.Service) error {
		account, err := c.account(ctx, core)
		if err != nil {
			return err
		}
		return run(core, account)
	})
}

// into runs fn with a core like the server's, with the account of the command, and with the progress. It prevents a
// second import.
func (c *importFlags) into(
	ctx context.Context, fn func(*images.Service, accounts.Account, *terminal.Progress) error,
) (err error) {
	if err := cmp.Or(wantEngine(), c.wantDatabase()); err != nil {
		return err
	}
	dir := filepath.Join(c.Data, importDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the import's folder: %w", err)
	}
	lock, err := disk.Lock(ctx, dir)
	if err != nil {
		return err
	}
	defer joinClose(&err, lock.Close)
	core, end, err := c.core(ctx, dir)
	if err != nil {
		return err
	}
	defer joinClose(&err, end)
	account, err := c.account(ctx, core)
	if err != nil {
		return err
	}
	what := "import"
	if c.DryRun {
		what = "dry run"
	}
	progress := terminal.StartProgress(os.Stderr, c.JSON, what, "images")
	defer progress.End()
	return fn(core, account, progress)
}

// core opens a core like the server's, with a separate folder.
func (c *importFlags) core(
	ctx context.Context, dir string,
) (core *images.Service, end func() error, err error) {
	log := newLog(c.LogFormat)
	db, err := c.openDB(ctx)
	if err != nil {
		return nil, nil, err
	}
	blobs, err := c.openBlobs(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	pool, err := render.NewPool(render.PoolConfig{
		Command: workerArgs(), Workers: c.Workers, Memory: int64(c.Memory),
		Timeout: c.WorkerTimeout, RequireSandbox: c.RequireSandbox, Log: log,
	})
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	core = images.New(images.Config{
		DB: db, Blobs: blobs, Render: pool, Dir: dir, MaxUploadBytes: int64(c.MaxUploadBytes),
		SpoolBytes:  2 * int64(c.Parallel+1) * int64(c.MaxUploadBytes), // one account has half
		DiskReserve: int64(c.DiskReserve), Log: log,
	})
	end = func() error {
		core.Close()
		return errors.Join(pool.Close(), db.Close())
	}
	if err := core.Start(ctx); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return core, end, nil
}

// finish writes the report to its file, prints its most important entries, and returns the error of the
// command.
func (c *importFlags) finish(
	ctx context.Context, progress *terminal.Progress, report importer.Report, outcome error,
) error {
	outcome = progress.Stopped(ctx, outcome, "run the command again to continue")
	if report.Began.IsZero() { // the import did not begin
		return outcome
	}
	path := cmp.Or(c.Report, filepath.Join(c.Data, "import-report.json"))
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil { // it may be read on a terminal
		err = os.WriteFile(path, []byte(terminal.VisibleLines(string(text))+"\n"), 0o600)
	}
	if err != nil {
		return errors.Join(outcome, fmt.Errorf("writing the report: %w", err))
	}
	err = c.Print(os.Stdout, report, func(w io.Writer) {
		printFindings(w, report.Notes, report.Problems, report.Omitted)
		terminal.ShowLine(w, "%v, in %v. The report is in %s", report, since(report.Began), path)
	})
	if errors.Is(outcome, importer.ErrNotAllImported) {
		return exitError{notAllKept, outcome}
	}
	return errors.Join(outcome, err)
}

// shownProblems limits the printed problems of an import.
const shownProblems = 20

// printFindings prints the notes and the first problems of an import.
func printFindings(w io.Writer, notes []string, problems []importer.Problem, omitted int) {
	for _, note := range notes {
		terminal.ShowLine(w, "note: %s", note)
	}
	for i, p := range problems {
		if i == shownProblems {
			fmt.Fprintf(w, "and %s more\n", terminal.Number(int64(len(problems)-i+omitted)))
			break
		}
		terminal.ShowLine(w, "%s: %s %q: %s", p.Outcome, p.What, p.ID, p.Reason)
	}
}

// printPlan prints a plan, and the flag that the first start needs for the URLs of the source. here is the hash of the
// account; "" before the first start.
func (c *importFlags) printPlan(plan importer.Plan, here string) error {
	if plan.Hash != "" && plan.Hash != here {
		note := fmt.Sprintf("delivery URLs of the source begin with the hash %s. For them to stay valid, the first "+
			"start of the server must have -account-hash=%s", plan.Hash, plan.Hash)
		if here != "" {
			note += fmt.Sprintf(". The account here has the hash %s, which never changes: create an account with "+
				"calotype account create --hash %s, or use a new data folder", here, plan.Hash)
		}
		plan.Notes = append(plan.Notes, note)
	}
	return c.Print(os.Stdout, plan, func(w io.Writer) {
		printFindings(w, plan.Notes, plan.Problems, plan.Omitted)
		i := plan.Images
		fmt.Fprintf(w, "%s: %s would be imported (%s), %s exist here, %s refused, %s reduced, %s differ\n",
			terminal.Visible(plan.Source), terminal.Count(int64(i.Import), "image", "images"),
			terminal.Bytes(i.Bytes), terminal.Number(int64(i.Exists)), terminal.Number(int64(i.Refused)),
			terminal.Number(int64(i.Reduced)), terminal.Number(int64(i.Differ)))
		if plan.Seconds > 0 {
			fmt.Fprintf(w, "expected time: %v\n", time.Duration(plan.Seconds)*time.Second)
		}
		fmt.Fprintln(w, "Nothing was imported.")
	})
}
