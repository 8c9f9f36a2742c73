// Package doctor checks what a machine and the state allow a server. It changes nothing, creates no file, and shows
// no secret.
//
// A check returns findings. Its file is that of its subject: machine.go (engine, sandbox, limits, disk), files.go,
// address.go, state.go (database, blob store, clocks). secrets.go hides secrets in the texts of other programs.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/cfapi"
)

// The limits of the time of a check.
const (
	checkTime = 15 * time.Second
	// engineTime is that of the start of workers: 30 seconds with namespaces, and 30 more without.
	engineTime = 70 * time.Second
)

// A Config is the configuration of a server, as far as checks need it.
type Config struct {
	Version string // of the program

	// Check checks the flags like a start, and returns the public URLs. It logs warnings.
	Check func(*slog.Logger) (cfapi.URLs, error)

	Data   string // folder of the local state
	DB     string // URL of PostgreSQL; "" for the file SQLite
	SQLite string
	Blobs  string // address or folder of the originals, for blob

	Account accounts.Setup

	Worker         []string // command of a worker
	Workers        int
	Memory         int64
	WorkerTimeout  time.Duration
	RequireSandbox bool

	DiskReserve int64 // 0 for the default

	// Connections returns the number of client connections that the limit on open files allows.
	Connections func() (int, error)
	EnoughFiles int // limit on open files with which the server is at its own limit of connections

	Listen        string
	MetricsListen string // "" if there are no metrics

	// Read and Written are names of files in the data folder, besides those of the core, that the server reads, or
	// reads and writes, if they exist.
	Read, Written []string
	// DemoKey returns an error for a key of the demo page that the server cannot use.
	DemoKey func() error

	WebhookURL string
	Secrets    []string // what no finding may quote, besides the token, and the passwords in DB, Blobs and WebhookURL
	Variables  []string // names of environment variables with secrets, besides those of AWS, PostgreSQL and proxies
}

// The results of a check.
const (
	OK      = "ok"
	Warning = "warning"
	Failed  = "failed"
)

// A Finding is the result of a check.
type Finding struct {
	Result  string `json:"result"`
	Subject string `json:"subject"`
	Found   string `json:"found"`
	Do      string `json:"do,omitempty"` // "" if the result is ok

	format string // of Found
	args   []any
}

func newFinding(result, do, format string, args []any) Finding {
	return Finding{Result: result, Found: fmt.Sprintf(format, args...), Do: do, format: format, args: args}
}

// The arguments of ok, warning and failed that are errors or foreign may quote a secret, and are printed by
// secrets.hide. All others are words of this program, or what the operator has given as no secret.

func ok(format string, args ...any) Finding { return newFinding(OK, "", format, args) }

func warning(do, format string, args ...any) Finding {
	return newFinding(Warning, do, format, args)
}

func failed(do, format string, args ...any) Finding {
	return newFinding(Failed, do, format, args)
}

// about returns the finding with a subject that is not that of its check.
func (f Finding) about(subject string) Finding {
	f.Subject = subject
	return f
}

// A doctor runs the checks of a configuration.
type doctor struct {
	Config
	limit       time.Duration // of each check except that of the engine
	engineLimit time.Duration
	print       func(Finding)
	findings    []Finding
	secrets     secrets
}

// dsn returns the data source name of the database for sqldb.
func (c Config) dsn() string { return cmp.Or(c.DB, c.SQLite) }

// Run runs all checks, or those until ctx ends, and returns the findings. It calls print with each when it is found.
func Run(ctx context.Context, c Config, print func(Finding)) []Finding {
	d := newDoctor(c, print)
	d.run(ctx)
	return d.findings
}

func newDoctor(c Config, print func(Finding)) *doctor {
	return &doctor{Config: c, limit: checkTime, engineLimit: engineTime, secrets: secretsOf(c), print: print}
}

// run runs all checks, or those until ctx ends.
func (d *doctor) run(ctx context.Context) {
	d.check(ctx, "version", func(context.Context) []Finding { return []Finding{ok("%s", d.Version)} })
	d.check(ctx, "configuration", d.configuration)
	d.checkWorkers(ctx)
	d.check(ctx, "open files", d.openFiles)
	d.check(ctx, "data folder", d.dataFolder)
	d.check(ctx, "files", d.files)
	d.check(ctx, "disk", d.disk)
	d.check(ctx, "address", d.address)
	if d.MetricsListen != "" {
		d.check(ctx, "metrics address", d.metricsAddress)
	}
	d.checkState(ctx)
}

// check runs a check within the limit: see checkWithin.
func (d *doctor) check(ctx context.Context, subject string, fn func(context.Context) []Finding) (ended bool) {
	return d.checkWithin(ctx, d.limit, subject, fn)
}

// checkWithin runs a check within a limit, and reports whether it has ended. A check that has not ended is
// abandoned: a call to a network file system whose server is gone never returns, and this program ends soon. The
// caller must not read what an abandoned check writes. After the end of parent it does nothing: what a check finds
// then is a result of the interruption.
func (d *doctor) checkWithin(parent context.Context, limit time.Duration, subject string,
	fn func(context.Context) []Finding) (ended bool) {
	if parent.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(parent, limit)
	defer cancel()
	done := make(chan []Finding, 1)
	go func() { done <- fn(ctx) }()
	var findings []Finding
	ended = true
	select {
	case findings = <-done:
	case <-parent.Done():
		return false
	case <-time.After(limit + time.Second): // most checks end with their context
		ended = false
		findings = []Finding{failed("find out why it hangs: the disk, the network or the other server",
			"no result within %v", limit)}
	}
	if parent.Err() != nil {
		return false
	}
	for _, f := range findings {
		f.Subject = cmp.Or(f.Subject, subject)
		f.Found = fmt.Sprintf(f.format, d.secrets.hideIn(f.args)...)
		d.findings = append(d.findings, f)
		d.print(f)
	}
	return ended
}

// end closes what checks have opened, and abandons a Close that hangs.
func (d *doctor) end(fn func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = fn() // of files and connections that were only read, and of workers
	}()
	select {
	case <-done:
	case <-time.After(d.limit):
	}
}

// configuration checks the flags as a start does.
func (d *doctor) configuration(context.Context) []Finding {
	const do = "change the flag or its environment variable"
	var warned warnings
	urls, err := d.Check(slog.New(&warned))
	if err != nil {
		return []Finding{failed(do, "%v", err)}
	}
	if len(warned) > 0 {
		return []Finding{warning(do, "%s", strings.Join(warned, "; "))}
	}
	return []Finding{ok("API at %s, uploads at %s, deliveries at %s", urls.API, urls.Upload, urls.Delivery)}
}

// warnings collects the messages of a log from the level of warnings on.
type warnings []string

// Enabled implements slog.Handler.
func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// Handle implements slog.Handler.
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	*w = append(*w, r.Message)
	return nil
}

// WithAttrs implements slog.Handler.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements slog.Handler.
func (w *warnings) WithGroup(string) slog.Handler { return w }
