package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"calotype/internal/images"
)

const (
	forwardsAtOnce = 16
	forwardTime    = 10 * time.Second // as long as the server waits for a webhook
	// reportTime is less than the server's lease, after which another client may claim the event.
	reportTime  = images.DeliveryLease - 10*time.Second
	lastReports = 3 // tries after Ctrl-C
	retryFirst  = 500 * time.Millisecond
	retryMost   = 15 * time.Second
)

// listenCommand forwards events from a server that cannot reach this machine to a program here. It
// claims events of a stream by the API, each with a lease. An event without a result in time can be
// claimed again, so no event is lost if the connection, the server or this program ends.
type listenCommand struct {
	ForwardTo string `help:"URL of your own server, as http://localhost:3000/hook." required:"" env:"-"`
	BaseURL   string `help:"Base URL of the API." env:"CLOUDFLARE_BASE_URL"`
	APIToken  string `help:"Token that may write." env:"CLOUDFLARE_API_TOKEN"`
	AccountID string `help:"Account id." env:"CLOUDFLARE_ACCOUNT_ID"`

	Name   string   `help:"Name of the stream; from this machine's and --forward-to." env:"-"`
	Events []string `help:"Types of events: a,b; all if not given." env:"-"`
}

// Run forwards until ctx ends, and then reports what is in flight.
func (c *listenCommand) Run(ctx context.Context) error {
	name, err := c.check()
	if err != nil {
		return err
	}
	l := &listener{
		listenCommand: c, api: newStreamClient(c, name),
		client: &http.Client{
			Timeout: forwardTime, Transport: &http.Transport{MaxIdleConnsPerHost: forwardsAtOnce},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		room: make(chan struct{}, forwardsAtOnce),
	}
	defer l.client.CloseIdleConnections()
	defer l.inFlight.Wait()
	show(os.Stdout, "Forwarding the events of account %s, as the stream %s of %s,\nto %s; Ctrl-C ends it.\n",
		c.AccountID, name, c.BaseURL, c.ForwardTo)
	err = l.run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// check refuses what could not work, and returns the name of the stream.
func (c *listenCommand) check() (name string, err error) {
	const set = `: eval "$(calotype env)" sets it beside a server; docs/webhooks.md says what to set ` +
		`for one elsewhere`
	to, err := url.Parse(c.ForwardTo)
	base, baseErr := url.Parse(c.BaseURL)
	switch {
	case c.BaseURL == "":
		return "", errors.New("neither --base-url nor CLOUDFLARE_BASE_URL is given" + set)
	case baseErr != nil || !isWebURL(base):
		return "", errors.New("the base URL is not valid: it should be like " +
			"https://images.example.com/client/v4")
	case c.APIToken == "":
		return "", errors.New("neither --api-token nor CLOUDFLARE_API_TOKEN is given" + set)
	case c.AccountID == "":
		return "", errors.New("neither --account-id nor CLOUDFLARE_ACCOUNT_ID is given" + set)
	case err != nil || !isWebURL(to):
		return "", errors.New("--forward-to is not valid: it should be like " +
			"http://localhost:3000/hook")
	case c.Name != "":
		return c.Name, nil
	}
	host, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("this machine has no name, so --name is needed: %w", err)
	}
	return streamName(host, to), nil
}

func isWebURL(u *url.URL) bool {
	return u.Host != "" && (u.Scheme == "http" || u.Scheme == "https")
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// streamName is the same for one machine and URL, and another for others. What may be secret in a
// URL is in it as a hash only.
func streamName(host string, to *url.URL) string {
	sum := sha256.Sum256([]byte(to.String()))
	plain := strings.Trim(notInNames.ReplaceAllString(host+"-"+to.Host+to.Path, "-"), "-")
	return plain[:min(len(plain), 80)] + "-" + hex.EncodeToString(sum[:4])
}

// A listener is a running listenCommand.
type listener struct {
	*listenCommand
	api    *streamClient
	client *http.Client // of the program that is forwarded to

	room     chan struct{} // one in it for each delivery that is claimed or may be by the next claim
	inFlight sync.WaitGroup
	secret   string // as it was printed
}

// run opens the stream, and claims and forwards until ctx ends or it is pointless.
func (l *listener) run(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	var wait backOff
	for ctx.Err() == nil {
		n := l.takeRoom(ctx)
		claimed, err := l.api.claim(ctx, n)
		at := time.Now()
		for range n - len(claimed) {
			<-l.room
		}
		for _, d := range claimed {
			l.inFlight.Go(func() {
				defer func() { <-l.room }()
				l.report(ctx, at, l.forward(ctx, d))
			})
		}
		switch failed := new(apiError); {
		case err == nil:
			if wait.end() {
				say("connected again")
			}
		case ctx.Err() != nil:
		case errors.As(err, &failed) && failed.status == http.StatusNotFound:
			err = l.open(ctx) // the stream is gone, if not the account
		case isFinal(err):
			return err
		default:
			wait.sleep(ctx, err)
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeRoom waits for room for one delivery, and takes what there is.
func (l *listener) takeRoom(ctx context.Context) (n int) {
	select {
	case l.room <- struct{}{}:
		n++
	case <-ctx.Done():
		return 0
	}
	for ; n < forwardsAtOnce; n++ {
		select {
		case l.room <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

// open opens the stream, as often as it takes, and says how to verify what comes.
func (l *listener) open(ctx context.Context) error {
	for wait := (backOff{}); ; {
		secret, err := l.api.open(ctx, l.Events)
		switch {
		case err == nil && secret != l.secret:
			l.secret = secret
			show(os.Stdout, "The messages are signed. Have your server verify them, by a library of "+
				"Standard Webhooks:\ndocs/webhooks.md shows how. The examples read the secret so:\n\n"+
				"  export WEBHOOK_SIGNING_SECRET=%s\n\n", shellQuote(secret))
			return nil
		case err == nil, ctx.Err() != nil, isFinal(err):
			return err
		}
		if wait.sleep(ctx, err); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// say prints a line with the time.
func say(format string, args ...any) {
	showLine(os.Stdout, time.Now().Format("15:04:05 ")+format, args...)
}

// A backOff makes the times between tries longer, and says why there are any.
type backOff struct{ next time.Duration }

// end says that a try succeeded, and reports whether others had failed.
func (b *backOff) end() (failed bool) {
	failed = b.next > 0
	b.next = 0
	return failed
}

func (b *backOff) sleep(ctx context.Context, err error) {
	b.next = min(max(2*b.next, retryFirst), retryMost)
	say("no connection: %v; next try in %v", err, b.next)
	select {
	case <-time.After(b.next):
	case <-ctx.Done():
	}
}

// forward posts a delivery, and prints a line. It is bounded in time by the client.
func (l *listener) forward(ctx context.Context, d claimedEvent) streamAttempt {
	a := streamAttempt{EventID: d.EventID, Attempt: d.Attempt}
	began := time.Now()
	status, answer, err := l.post(context.WithoutCancel(ctx), d)
	took := time.Since(began)
	a.Status, a.Answer, a.DurationMS = status, answer, took.Milliseconds()
	result := fmt.Sprint(status)
	switch {
	case err != nil:
		a.Error = err.Error()
		result = "no answer: " + a.Error
	case status < 200 || status > 299:
		if line := firstLine(answer); line != "" {
			result += " " + line
		}
	}
	var about struct {
		Data struct{ Event, ID string }
	}
	// Of what is no such JSON the line lacks the names; it was forwarded all the same.
	_ = json.Unmarshal([]byte(d.Body), &about)
	if err != nil || status < 200 || status > 299 {
		say("%s %s %s %v; %s will be tried again", about.Data.Event, about.Data.ID, result,
			took.Round(time.Millisecond), d.EventID)
		return a
	}
	say("%s %s %s %v", about.Data.Event, about.Data.ID, result, took.Round(time.Millisecond))
	return a
}

// firstLine returns the first line of an answer, at most a hundred characters.
func firstLine(answer string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(answer), "\n")
	if runes := []rune(line); len(runes) > 100 {
		return string(runes[:100]) + "..."
	}
	return line
}

func (l *listener) post(ctx context.Context, d claimedEvent) (status int, answer string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.ForwardTo, strings.NewReader(d.Body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("User-Agent", "Calotype") // as the server sends it itself
	for name, value := range d.Headers {
		r.Header.Set(name, value)
	}
	response, err := l.client.Do(r)
	if err != nil {
		return 0, "", withoutURL(err)
	}
	defer response.Body.Close()
	first, err := io.ReadAll(io.LimitReader(response.Body, images.MaxAnswer))
	if err != nil {
		return 0, "", fmt.Errorf("reading the answer: %w", err)
	}
	return response.StatusCode, string(bytes.ToValidUTF8(first, []byte("\uFFFD"))), nil
}

// withoutURL is the error of a request without its URL, which may hold a secret.
func withoutURL(err error) error {
	if wrapped := new(url.Error); errors.As(err, &wrapped) {
		if wrapped.Timeout() {
			return errors.New("it took too long")
		}
		return wrapped.Err
	}
	return err
}

// report reports the result of a delivery that was claimed at a time. It retries until the server
// accepts or refuses the report, or the lease ends.
func (l *listener) report(ctx context.Context, claimed time.Time, a streamAttempt) {
	wait := retryFirst
	var err error
	for late := 0; time.Since(claimed) < reportTime && late < lastReports; {
		if err = l.api.report(context.WithoutCancel(ctx), a); err == nil {
			return
		}
		if isFinal(err) {
			break
		}
		if ctx.Err() != nil {
			late++
		}
		time.Sleep(wait)
		wait = min(2*wait, 4*time.Second)
	}
	say("%s could not be reported, so it will come again: %v", a.EventID, err)
}
