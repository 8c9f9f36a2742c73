package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"calotype/internal/disk"
	"calotype/internal/images"
	"calotype/internal/importer"
	"calotype/internal/outbound"
	"calotype/internal/render"
)

// importDir is the folder in the data folder with the import's spool, and with the lock that prevents a
// second import.
const importDir = "import"

// notAllKept is the exit status of an import that another run cannot improve.
const notAllKept = 2

type importCommand struct {
	StateFlags
	From    string  `help:"Base of the source's API: https://api.cloudflare.com/client/v4." required:""`
	Account string  `help:"Account id at the source." required:""`
	Token   string  `help:"Token that reads images there, or CALOTYPE_TOKEN_FILE with it." required:""`
	Rate    float64 `help:"Requests a second; 0: no limit. Cloudflare allows 4." default:"3.5"`

	OutboundAllow string `help:"Private networks of the source: 10.1.0.0/16,fd00::/8."`

	Parallel int    `help:"Concurrent fetches of pictures." default:"4"`
	Update   bool   `help:"Update fields that differ from the source's." env:"-"`
	NoKeys   bool   `help:"Do not import signing keys, which would be valid here." env:"-"`
	Report   string `help:"File for the report; default: import-report.json in -data." type:"path"`

	Workers        int           `help:"Concurrent jobs of workers." default:"2"`
	Memory         Bytes         `help:"Memory of all workers; 0: 60 %." default:"0"`
	WorkerTimeout  time.Duration `help:"Maximal processor time of a picture." default:"30s"`
	RequireSandbox bool          `help:"Refuse to start without the complete sandbox."`
	MaxUploadBytes Bytes         `help:"Largest original." default:"10MiB"`
	DiskReserve    Bytes         `help:"Disk space left free; 0: the larger of 1 GiB and 5 %." default:"0"`
	LogFormat      string        `help:"text, json or auto: text on a terminal." default:"auto" enum:"auto,text,json"`
}

// Help returns the text of --help below the usage.
func (importCommand) Help() string {
	return `Imports variants, configuration, signing keys and all images of an account of Cloudflare
Images, or of another Calotype, with their ids, times, names, metadata and creators. The server may
run concurrently, with either database. It must have been started once, with -account-hash for old
URLs to stay valid.

The import does not change existing images, so run it again if it was stopped. The exit status is 0
when everything is imported, 2 when everything except the problems in the report is imported, and 1
when another run is needed.

docs/moving.md lists what else to change.`
}

func (c *importCommand) Run(ctx context.Context) (err error) {
	if c.Parallel < 1 || c.Parallel > 64 || c.Rate < 0 || c.Workers < 1 || c.MaxUploadBytes == 0 {
		return errors.New("-parallel must be 1 to 64, -workers at least 1, -rate not negative and " +
			"-max-upload-bytes not 0")
	}
	networks, err := outbound.ParseNetworks(c.OutboundAllow)
	if err != nil {
		return err
	}
	if err := c.wantDatabase(); err != nil {
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
	client := outbound.ForHost(outbound.Config{Allow: networks}, c.Parallel)
	defer client.CloseIdleConnections()
	report, err := importer.Run(ctx, importer.Config{
		Core: core, Account: account, HTTP: client, Rate: c.Rate, Parallel: c.Parallel,
		Source: importer.Source{API: c.From, Account: c.Account, Token: c.Token},
		Update: c.Update, NoKeys: c.NoKeys,
		Progress: func(line string) { showLine(os.Stderr, "%s", line) },
	})
	if report.Began.IsZero() { // the import did not begin
		return err
	}
	return c.finish(report, err)
}

// core opens a core like the server's, with a separate folder.
func (c *importCommand) core(
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
func (c *importCommand) finish(report importer.Report, outcome error) error {
	path := cmp.Or(c.Report, filepath.Join(c.Data, "import-report.json"))
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil { // it may be read on a terminal
		err = os.WriteFile(path, []byte(visibleLines(string(text))+"\n"), 0o600)
	}
	if err != nil {
		return errors.Join(outcome, fmt.Errorf("writing the report: %w", err))
	}
	for _, note := range report.Notes {
		showLine(os.Stdout, "note: %s", note)
	}
	for i, p := range report.Problems {
		if i == 20 {
			fmt.Printf("and %d more\n", len(report.Problems)-i+report.Omitted)
			break
		}
		showLine(os.Stdout, "%s: %s %q: %s", p.Outcome, p.What, p.ID, p.Reason)
	}
	showLine(os.Stdout, "%v, in %v. The report is in %s", report, since(report.Began), path)
	if errors.Is(outcome, importer.ErrNotAllImported) {
		return exitError{notAllKept, outcome}
	}
	return outcome
}
