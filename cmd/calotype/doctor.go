package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"calotype/internal/outbound"
)

// checkTime bounds each check. The start of a worker on a busy machine takes seconds.
const checkTime = 15 * time.Second

// doctorBadFlags is the exit status for a command line of doctor that is not valid: 1 says that a check failed.
const doctorBadFlags = 2

// isDoctor reports whether a command line selects the doctor command.
func isDoctor(c *kong.Context) bool {
	return c != nil && c.Selected() != nil && c.Selected().Name == "doctor"
}

type doctorCommand struct {
	Config
	JSON bool `name:"json" help:"Print JSON." env:"-"`
}

// Help returns the text of --help below the usage.
func (doctorCommand) Help() string {
	return `Takes the flags and environment variables of serve, and prints one line for each check: ok, warning or
failed, the subject, what was found, and what to do. It changes nothing, prints no secret, and may run
beside a server or before the first start. Run it as the user of the server.

The exit status is 0 if no check failed, 1 if a check failed, and 2 if the flags are not valid.`
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
}

func ok(format string, args ...any) finding {
	return finding{Result: resultOK, Found: fmt.Sprintf(format, args...)}
}

func warning(do, format string, args ...any) finding {
	return finding{Result: resultWarning, Found: fmt.Sprintf(format, args...), Do: do}
}

func failed(do, format string, args ...any) finding {
	return finding{Result: resultFailed, Found: fmt.Sprintf(format, args...), Do: do}
}

// about returns the finding with a subject that is not that of its check.
func (f finding) about(subject string) finding {
	f.Subject = subject
	return f
}

// A doctor runs the checks of a configuration.
type doctor struct {
	serveCommand
	worker   []string      // command of a worker
	limit    time.Duration // of each check
	print    func(finding)
	findings []finding
	redact   *strings.Replacer
}

// Run prints the findings.
func (c *doctorCommand) Run(ctx context.Context) error {
	d := newDoctor(c.Config, os.Stdout)
	if c.JSON {
		d.print = func(finding) {}
	}
	d.run(ctx)
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
		serveCommand: serveCommand{c}, worker: workerArgs(), limit: checkTime, redact: redactor(c),
		print: func(f finding) {
			line := fmt.Sprintf("%-8s %-18s %s", f.Result, f.Subject, f.Found)
			if f.Do != "" {
				line += "; " + f.Do
			}
			showLine(out, "%s", line)
		},
	}
}

// redactor replaces the secrets of a configuration: errors of libraries may quote them.
func redactor(c Config) *strings.Replacer {
	secrets := []string{c.APIToken, c.WebhookURL, c.WebhookSecret, c.WebhookSigningSecret}
	if u, err := url.Parse(c.DB); err == nil {
		password, _ := u.User.Password()
		secrets = append(secrets, password, u.Query().Get("password"))
	}
	for _, name := range []string{"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD"} {
		secrets = append(secrets, os.Getenv(name))
	}
	var pairs []string
	for _, secret := range secrets {
		if len(secret) > 3 { // a shorter one is part of usual words
			pairs = append(pairs, secret, "[secret]")
		}
	}
	return strings.NewReplacer(pairs...)
}

// run runs all checks.
func (d *doctor) run(ctx context.Context) {
	d.check(ctx, "version", func(context.Context) []finding { return []finding{ok("%s", programVersion())} })
	d.check(ctx, "configuration", d.configuration)
	d.checkWorkers(ctx)
	d.check(ctx, "open files", d.openFiles)
	d.check(ctx, "data folder", d.dataFolder)
	d.check(ctx, "disk", d.disk)
	d.check(ctx, "address", d.address)
	if d.MetricsListen != "" {
		d.check(ctx, "metrics address", d.metricsAddress)
	}
	d.checkState(ctx)
}

// check runs a check within its limit, and reports whether it has ended. A check that has not ended is abandoned:
// a call to a network file system whose server is gone never returns, and this program ends soon. The caller
// must not read what an abandoned check writes.
func (d *doctor) check(ctx context.Context, subject string, fn func(context.Context) []finding) bool {
	ctx, cancel := context.WithTimeout(ctx, d.limit)
	defer cancel()
	done := make(chan []finding, 1)
	go func() { done <- fn(ctx) }()
	var findings []finding
	ended := true
	select {
	case findings = <-done:
	case <-time.After(d.limit + time.Second): // most checks end with their context
		ended = false
		findings = []finding{failed("find out why it hangs: the disk, the network or the other server",
			"no result within %v", d.limit)}
	}
	for _, f := range findings {
		f.Subject = cmp.Or(f.Subject, subject)
		f.Found, f.Do = d.redact.Replace(f.Found), d.redact.Replace(f.Do)
		d.findings = append(d.findings, f)
		d.print(f)
	}
	return ended
}

// configuration checks the flags as a start does.
func (d *doctor) configuration(context.Context) []finding {
	const do = "change the flag or its environment variable"
	var warned warnings
	urls, err := d.serveCommand.check(slog.New(&warned))
	if err == nil {
		_, err = outbound.ParseFlag("-trusted-proxies", d.TrustedProxies)
	}
	if err == nil {
		_, err = outbound.ParseNetworks(d.OutboundAllow)
	}
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
