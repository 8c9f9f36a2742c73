package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/notify"
	"calotype/internal/outbound"
	"calotype/internal/terminal"
	"calotype/internal/webhooks"
)

// The commands change the database, also while a server runs on it: the server sends the events, and
// applies changes within a second. The command itself sends the test event only.
type webhookCommands struct {
	Add     webhookAdd     `cmd:"" help:"Send events to a URL, after a test event."`
	List    webhookList    `cmd:"" help:"List the webhooks and their states."`
	Test    webhookTest    `cmd:"" help:"Send a test event; if it is accepted, end a pause."`
	History webhookHistory `cmd:"" help:"List the last attempts and their answers."`
	Replay  webhookReplay  `cmd:"" help:"Send events again."`
	Rotate  webhookRotate  `cmd:"" help:"Generate a new signing secret; the old one signs for a day."`
	Delete  webhookDelete  `cmd:"" help:"Delete a webhook, with its pending deliveries."`
}

// Reach holds the flag of permitted networks of receivers, which serve has too.
type Reach struct {
	OutboundAllow string `help:"Private networks that the URL may name: CIDR,..."`
}

// tester returns a notifier that sends test events to a webhook's URL, or an error if no request can be
// sent there.
func (r Reach) tester(address string) (*notify.Notifier, error) {
	allow, err := outbound.ParseNetworks(r.OutboundAllow)
	if err != nil {
		return nil, err
	}
	config := outbound.Config{Allow: allow}
	if err := outbound.Check(config, address); err != nil {
		return nil, fmt.Errorf("the webhook cannot be reached: %w", err)
	}
	return notify.New(notify.Config{Outbound: config}), nil
}

// printServerFlag prints that the server needs the same flag.
func (r Reach) printServerFlag() {
	if r.OutboundAllow != "" {
		fmt.Printf("\nIf serve runs without -outbound-allow %s, start it again with this flag: it sends nothing "+
			"there without it.\n", r.OutboundAllow)
	}
}

type webhookAdd struct {
	StateFlags
	terminal.Output
	Reach
	URL    string   `arg:"" help:"URL of the receiver, such as https://example.com/hook."`
	Name   string   `help:"Name; default: the URL's host." env:"-"`
	Secret string   `help:"Secret in the header cf-webhook-auth." env:"CALOTYPE_WEBHOOK_SECRET"`
	Events []string `help:"Types of events: a,b; default: those of uploads." env:"-"`

	SigningSecret string `help:"new: print one, test later; or the receiver's: whsec_..." env:"CALOTYPE_SIGNING_SECRET"`
}

func (c *webhookAdd) Run(ctx context.Context) error {
	tester, err := c.tester(c.URL)
	if err != nil {
		return err
	}
	name := c.Name
	if u, err := url.Parse(c.URL); name == "" && err == nil {
		name = cmp.Or(u.Hostname(), c.URL)
	}
	change := webhooks.WebhookChange{
		Name: &name, URL: &c.URL, Secret: &c.Secret, Events: eventTypes(c.Events),
	}
	if c.SigningSecret != "" {
		if err := notify.SetSigningSecret(&change, c.SigningSecret); err != nil {
			return fmt.Errorf("--signing-secret: %w", err)
		}
	}
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		w, err := core.Webhooks.Add(ctx, account, change, tester.Test)
		if errs.AsError(err).Kind == errs.WebhookRefused && c.SigningSecret == "" {
			return fmt.Errorf("%w.\nA receiver that verifies signatures needs the secret first:\n\n"+
				"  %s webhook add %s --signing-secret new\n\nsaves the webhook and prints the secret; "+
				"the test event follows later", err, os.Args[0], terminal.Visible(c.URL))
		}
		if err != nil {
			return err
		}
		return c.printAdded(w)
	})
}

// printAdded prints a new webhook with its signing secret, and the next step.
func (c *webhookAdd) printAdded(w webhooks.Webhook) error {
	if c.JSON {
		added := addedWebhook{webhookItem: newWebhookItem(w, 0), SigningSecret: notify.SigningSecret(w.SigningKeys[0])}
		return c.Print(os.Stdout, added, nil)
	}
	secret := notify.SigningSecret(w.SigningKeys[0]) + "  (shown once)"
	if c.SigningSecret != "" && !c.isNew() {
		secret = "the one given"
	}
	if c.isNew() {
		fmt.Println("The webhook is saved, and paused until its receiver takes a test event.")
	} else {
		fmt.Println("The receiver took the test event.")
	}
	fmt.Printf("  events          %s\n  webhook id      %s\n  signing secret  %s\n\n",
		joinTypes(w.Events), w.ID, secret)
	if c.isNew() {
		flags := c.flagsAgain()
		if c.OutboundAllow != "" {
			flags += " -outbound-allow " + shellQuote(c.OutboundAllow)
		}
		fmt.Printf("Start the receiver with the signing secret, then send the test event:\n\n"+
			"  %s webhook test %s%s\n\nAfter that the server sends all that has happened since now.\n",
			shellQuote(os.Args[0]), w.ID, flags)
	} else {
		fmt.Printf("Give the receiver the signing secret and have it verify each message, by a "+
			"library of Standard\nWebhooks: docs/webhooks.md shows how. The running server sends from "+
			"now on; with\n\n  %s webhook history%s\n\nyou see what was sent and how it was answered.\n",
			shellQuote(os.Args[0]), c.flagsAgain())
	}
	c.printServerFlag()
	return nil
}

func (c *webhookAdd) isNew() bool { return c.SigningSecret == notify.NewSigningSecret }

func eventTypes(names []string) (types []webhooks.EventType) {
	for _, name := range names {
		types = append(types, webhooks.EventType(strings.TrimSpace(name)))
	}
	return types
}

func joinTypes(types []webhooks.EventType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}

// A namedWebhook names one webhook of the account.
type namedWebhook struct {
	StateFlags
	ID string `arg:"" help:"Id or name of the webhook."`
}

// withWebhook runs fn on the named webhook.
func (c namedWebhook) withWebhook(
	ctx context.Context, fn func(*images.Service, webhooks.Webhook) error,
) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		w, err := findWebhook(ctx, core, account, c.ID)
		if err != nil {
			return err
		}
		return fn(core, w)
	})
}

// webhooksAndStreams returns the webhooks and streams of an account.
func webhooksAndStreams(
	ctx context.Context, core *images.Service, account string,
) ([]webhooks.Webhook, error) {
	webhooks, err := core.Webhooks.All(ctx, account)
	if err != nil {
		return nil, err
	}
	streams, err := core.Webhooks.Streams(ctx, account)
	return append(webhooks, streams...), err
}

// findWebhook returns a webhook or stream by its id, or by a unique name.
func findWebhook(
	ctx context.Context, core *images.Service, account, named string,
) (webhooks.Webhook, error) {
	all, err := webhooksAndStreams(ctx, core, account)
	if err != nil {
		return webhooks.Webhook{}, err
	}
	byID := slices.IndexFunc(all, func(w webhooks.Webhook) bool { return w.ID == named })
	if byID >= 0 {
		return all[byID], nil
	}
	found := slices.DeleteFunc(all, func(w webhooks.Webhook) bool { return w.Name != named })
	switch len(found) {
	case 0:
		return webhooks.Webhook{}, fmt.Errorf("the account has no webhook of the id or name %q: "+
			"calotype webhook list shows those that there are", named)
	case 1:
		return found[0], nil
	}
	return webhooks.Webhook{}, fmt.Errorf("there are %d webhooks of the name %q: give the id of one, "+
		"which calotype webhook list shows", len(found), named)
}

var errIsStream = errors.New("this is a stream of calotype listen, not a webhook: it has no URL, and " +
	"its own signing secret, which listen prints")

type webhookList struct {
	StateFlags
	terminal.Output
}

func (c *webhookList) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		all, err := webhooksAndStreams(ctx, core, account)
		if err != nil {
			return err
		}
		pending, err := core.Webhooks.PendingDeliveries(ctx, account)
		if err != nil {
			return err
		}
		list := terminal.ListOf[webhookItem](nil)
		for _, w := range all {
			list.Items = append(list.Items, newWebhookItem(w, pending[w.ID]))
		}
		return c.Print(os.Stdout, list, func(out io.Writer) {
			for _, w := range all {
				count := fmt.Sprint(pending[w.ID])
				if pending[w.ID] == webhooks.MaxPending {
					count += " or more"
				}
				terminal.Show(out, "%s %s\n  to %s: %s\n  %s; last success %s, last failure %s; pending %s\n",
					w.ID, terminal.Visible(w.Name), terminal.Visible(host(w)), joinTypes(w.Events), state(w),
					timeOrNever(w.LastSuccess), timeOrNever(w.LastFailure), count)
			}
			if len(all) == 0 {
				fmt.Fprintln(os.Stderr, "There are none: calotype webhook add URL makes one.")
			}
		})
	})
}

// host returns the host of a webhook's URL; the rest of the URL may be a secret.
func host(w webhooks.Webhook) string {
	if w.Stream {
		return "calotype listen"
	}
	u, err := url.Parse(w.URL)
	if err != nil {
		return "?"
	}
	return u.Host
}

func state(w webhooks.Webhook) string {
	switch {
	case !w.Paused.IsZero():
		return "paused since " + w.Paused.Format(time.RFC3339) + ": " + w.PauseReason
	case w.Failing:
		return "failing"
	}
	return "ok"
}

func timeOrNever(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.RFC3339)
}

type webhookTest struct {
	namedWebhook
	Reach
}

func (c *webhookTest) Run(ctx context.Context) error {
	return c.withWebhook(ctx, func(core *images.Service, w webhooks.Webhook) error {
		if w.Stream {
			return errIsStream
		}
		tester, err := c.tester(w.URL)
		if err != nil {
			return err
		}
		if err := tester.Test(ctx, w); err != nil {
			return err
		}
		if err := core.Webhooks.Resume(ctx, w.Account, w.ID); err != nil {
			return err
		}
		fmt.Println("The receiver took the test event.")
		if !w.Paused.IsZero() {
			fmt.Println("The webhook is no longer paused: the server sends what waited.")
		}
		c.printServerFlag()
		return nil
	})
}

type webhookRotate struct{ namedWebhook }

func (c *webhookRotate) Run(ctx context.Context) error {
	return c.withWebhook(ctx, func(core *images.Service, w webhooks.Webhook) error {
		if w.Stream {
			return errIsStream
		}
		w, err := core.Webhooks.RotateKey(ctx, w.Account, w.ID)
		if err != nil {
			return err
		}
		fmt.Printf("  signing secret  %s  (shown once)\n\nFor 24 hours messages are signed with the "+
			"one before, too: give the receiver the new one until then.\nAnother rotation ends the one "+
			"before at once.\n", notify.SigningSecret(w.SigningKeys[0]))
		if w.Name == bootstrapWebhook {
			fmt.Println("A server that is started with -webhook-signing-secret sets that one again: " +
				"change it there.")
		}
		return nil
	})
}

type webhookDelete struct{ namedWebhook }

func (c *webhookDelete) Run(ctx context.Context) error {
	return c.withWebhook(ctx, func(core *images.Service, w webhooks.Webhook) error {
		if err := core.Webhooks.Remove(ctx, w.Account, w.ID); err != nil {
			return err
		}
		terminal.ShowLine(os.Stdout, "deleted the webhook %s %s", w.ID, w.Name)
		return nil
	})
}

type webhookReplay struct {
	StateFlags
	Event   string  `help:"Id of an event, the webhook-id of its message." env:"-"`
	Webhook string  `help:"Id or name of a webhook." env:"-"`
	From    pastDay `help:"Events from this time on, such as 2026-01-31T12:00:00Z, or 24h ago." env:"-"`
	To      pastDay `help:"Events before this time." env:"-"`
	Failed  bool    `help:"Only deliveries that failed, or wait after a failure." env:"-"`
}

func (c *webhookReplay) Run(ctx context.Context) error {
	q := webhooks.ReplayQuery{
		Event: c.Event, From: c.From.Time, To: c.To.Time, Failed: c.Failed,
	}
	switch {
	case c.Webhook == "" && q == (webhooks.ReplayQuery{}):
		return errors.New("nothing says what is to be sent again: give --event, --webhook, --from, " +
			"--to or --failed, or several, which must then all be true of it")
	case !q.To.IsZero() && !q.From.Before(q.To):
		return errors.New("--from must be before --to")
	}
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		if c.Webhook != "" {
			w, err := findWebhook(ctx, core, account, c.Webhook)
			if err != nil {
				return err
			}
			q.Webhook = w.ID
		}
		n, err := core.Webhooks.Replay(ctx, account, q)
		if err != nil {
			return fmt.Errorf("%w (%d will be sent again; run the command again to continue)", err, n)
		}
		fmt.Printf("%d will be sent again\n", n)
		if n == 0 {
			fmt.Fprintln(os.Stderr, "Nothing kept is like this, or it is being sent just now. "+
				"Events are kept for the server's -event-retention.")
		}
		return nil
	})
}

// A pastDay is a point in time, written as a time or as a duration before now.
type pastDay struct{ time.Time }

// UnmarshalText reads the written form.
func (p *pastDay) UnmarshalText(text []byte) (err error) {
	if ago, err := time.ParseDuration(string(text)); err == nil && ago >= 0 {
		p.Time = time.Now().Add(-ago)
		return nil
	}
	if p.Time, err = time.Parse(time.RFC3339, string(text)); err != nil {
		p.Time, err = time.Parse(time.DateOnly, string(text))
	}
	if err != nil {
		return fmt.Errorf("%q is no time: it should be like 2026-01-31T12:00:00Z, 2026-01-31, or 24h "+
			"for a day ago", text)
	}
	return nil
}

type webhookHistory struct {
	StateFlags
	terminal.Output
	Webhook string `help:"Only this webhook, by id or name." env:"-"`
	Limit   int    `help:"Attempts to list, at most 1000." default:"20" env:"-"`
}

// Validate refuses a limit that is out of bounds.
func (c *webhookHistory) Validate() error {
	if c.Limit < 1 || c.Limit > webhooks.MaxHistory {
		return fmt.Errorf("--limit must be from 1 to %d", webhooks.MaxHistory)
	}
	return nil
}

func (c *webhookHistory) Run(ctx context.Context) error {
	return c.withAccount(ctx, func(core *images.Service, account string) error {
		q := webhooks.HistoryQuery{Most: c.Limit}
		if c.Webhook != "" {
			w, err := findWebhook(ctx, core, account, c.Webhook)
			if err != nil {
				return err
			}
			q.Webhook = w.ID
		}
		entries, total, err := core.Webhooks.History(ctx, account, q)
		if err != nil {
			return err
		}
		list := attemptList{Items: []attemptItem{}, Total: total}
		for _, e := range entries {
			list.Items = append(list.Items, newAttemptItem(e))
		}
		return c.Print(os.Stdout, list, func(w io.Writer) {
			for _, e := range entries {
				terminal.ShowLine(w, "%s", historyLine(e))
			}
			if total > len(entries) {
				fmt.Fprintf(os.Stderr, "%d more are older\n", total-len(entries))
			}
			if total == 0 {
				fmt.Fprintln(os.Stderr, "No event was sent yet, or the attempts are older than -event-retention "+
					"of the server.")
			}
		})
	})
}

// historyLine returns an attempt as one line. An answer, and the error of a stream, which its client
// reports, may hold any text: both are quoted. For the newest attempt it adds the next step.
func historyLine(e webhooks.HistoryEntry) string {
	a, d := e.Attempt, e.Delivery
	what := fmt.Sprintf("status %d", a.Status)
	if a.Error != "" {
		what = terminal.Visible(a.Error)
	} else if !a.Delivered() && a.Answer != "" {
		what += fmt.Sprintf(" %.100q", a.Answer)
	}
	after := ""
	switch {
	case a.Number < e.Attempts: // later attempts exist
	case !e.Next.IsZero():
		after = "; next " + e.Next.Format(time.RFC3339)
	default:
		after = "; " + e.Outcome
	}
	return fmt.Sprintf("%s %s %s %q to %q, attempt %d: %s (%v)%s",
		cfapi.FormatTime(a.Began), a.EventID, d.Event.Type, d.Event.Facts.ID,
		d.Webhook.Name, a.Number, what, a.Took.Round(time.Millisecond), after)
}
