package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// The limits of the time of a check.
const (
	checkTime = 15 * time.Second
	// engineTime is that of the start of workers: 30 seconds with namespaces, and 30 more without.
	engineTime = 70 * time.Second
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
	JSON bool `name:"json" help:"Print JSON." env:"-"`
}

// Help returns the text of --help below the usage.
func (doctorCommand) Help() string {
	return `Takes the flags and environment variables of serve, and prints one line for each check: ok, warning or
failed, the subject, what was found, and what to do. It changes nothing, prints no secret, and may run
before the first start or beside a server, also while that starts. Run it as the user of the server.

The exit status is 0 if no check failed, 1 if a check failed or the command was interrupted, and 2 if the
flags or the environment are not valid.`
}

// The results of a check.
const (
	resultOK      = "ok"
	resultWarning = "warning"
	resultFailed  = "failed"
)

// A finding is the result of a check.
type finding struct {
	Result  string `json:"result"`
	Subject string `json:"subject"`
	Found   string `json:"found"`
	Do      string `json:"do,omitempty"` // "" if the result is ok

	format string // of Found
	args   []any
}

func newFinding(result, do, format string, args []any) finding {
	return finding{Result: result, Found: fmt.Sprintf(format, args...), Do: do, format: format, args: args}
}

// The arguments of ok, warning and failed that are errors or foreign may quote a secret, and are printed by
// secrets.hide. All others are words of this program, or what the operator has given as no secret.

func ok(format string, args ...any) finding { return newFinding(resultOK, "", format, args) }

func warning(do, format string, args ...any) finding {
	return newFinding(resultWarning, do, format, args)
}

func failed(do, format string, args ...any) finding {
	return newFinding(resultFailed, do, format, args)
}

// about returns the finding with a subject that is not that of its check.
func (f finding) about(subject string) finding {
	f.Subject = subject
	return f
}

// A doctor runs the checks of a configuration.
type doctor struct {
	serveCommand
	worker      []string      // command of a worker
	limit       time.Duration // of each check except that of the engine
	engineLimit time.Duration
	print       func(finding)
	findings    []finding
	secrets     secrets
}

// Run prints the findings.
func (c *doctorCommand) Run(ctx context.Context) error {
	d := newDoctor(c.Config, os.Stdout)
	if c.JSON {
		d.print = func(finding) {}
	}
	d.run(ctx)
	if ctx.Err() != nil {
		return errors.New("interrupted: not all checks were made")
	}
	n := 0
	for _, f := range d.findings {
		if f.Result == resultFailed {
			n++
		}
	}
	if c.JSON {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		if err := out.Encode(map[string]any{"failed": n, "checks": d.findings}); err != nil {
			return fmt.Errorf("printing the findings: %w", err)
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d checks failed", n, len(d.findings))
	}
	return nil
}

func newDoctor(c Config, out io.Writer) *doctor {
	return &doctor{
		serveCommand: serveCommand{c}, worker: workerArgs(), limit: checkTime, engineLimit: engineTime,
		secrets: secretsOf(c),
		print: func(f finding) {
			line := fmt.Sprintf("%-8s %-18s %s", f.Result, f.Subject, f.Found)
			if f.Do != "" {
				line += "; " + f.Do
			}
			showLine(out, "%s", line)
		},
	}
}

// run runs all checks, or those until ctx ends.
func (d *doctor) run(ctx context.Context) {
	d.check(ctx, "version", func(context.Context) []finding { return []finding{ok("%s", programVersion())} })
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
func (d *doctor) check(ctx context.Context, subject string, fn func(context.Context) []finding) (ended bool) {
	return d.checkWithin(ctx, d.limit, subject, fn)
}

// checkWithin runs a check within a limit, and reports whether it has ended. A check that has not ended is
// abandoned: a call to a network file system whose server is gone never returns, and this program ends soon. The
// caller must not read what an abandoned check writes. After the end of parent it does nothing: what a check finds
// then is a result of the interruption.
func (d *doctor) checkWithin(parent context.Context, limit time.Duration, subject string,
	fn func(context.Context) []finding) (ended bool) {
	if parent.Err() != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(parent, limit)
	defer cancel()
	done := make(chan []finding, 1)
	go func() { done <- fn(ctx) }()
	var findings []finding
	ended = true
	select {
	case findings = <-done:
	case <-parent.Done():
		return false
	case <-time.After(limit + time.Second): // most checks end with their context
		ended = false
		findings = []finding{failed("find out why it hangs: the disk, the network or the other server",
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
func (d *doctor) configuration(context.Context) []finding {
	const do = "change the flag or its environment variable"
	var warned warnings
	urls, err := d.serveCommand.check(slog.New(&warned))
	if err != nil {
		return []finding{failed(do, "%v", err)}
	}
	if len(warned) > 0 {
		return []finding{warning(do, "%s", strings.Join(warned, "; "))}
	}
	return []finding{ok("API at %s, uploads at %s, deliveries at %s", urls.API, urls.Upload, urls.Delivery)}
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
