// Package listen forwards the events of a stream from the API to a program on this machine.
package listen

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
	"regexp"
	"strings"
	"sync"
	"time"

	"calotype/internal/webhooks"
)

const (
	forwardsAtOnce = 16
	forwardTime    = 10 * time.Second // as long as the server waits for a webhook
	// reportTime is less than the server's lease, after which another client may claim the event.
	reportTime  = webhooks.DeliveryLease - 10*time.Second
	lastReports = 3 // tries after Ctrl-C
	retryFirst  = 500 * time.Millisecond
	retryMost   = 15 * time.Second
)

// Config configures Run. All fields except Events must be set.
type Config struct {
	BaseURL   string   // of the API
	Token     string   // a token with the scope write
	Account   string   // the ID
	Stream    string   // the name; Run creates a missing stream
	Events    []string // types of events; empty for all
	ForwardTo string   // URL that receives the events

	Say    func(format string, args ...any) // prints a line; its text may hold any character
	Signed func(secret string)              // prints the signing secret of the stream, also of a new one
}

// Run claims events, each with a lease, and forwards them until ctx ends. Then it reports what is in flight.
// An event without a result in time can be claimed again, so no event is lost if the connection, the server
// or this program ends. The error is that of a request which no retry can help, nil when ctx has ended.
func Run(ctx context.Context, c Config) error {
	l := &listener{
		Config: c, api: newStreamClient(c),
		client: &http.Client{
			Timeout: forwardTime, Transport: &http.Transport{MaxIdleConnsPerHost: forwardsAtOnce},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		slots: make(chan struct{}, forwardsAtOnce),
	}
	defer l.client.CloseIdleConnections()
	defer l.inFlight.Wait()
	if err := l.run(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9.]+`)

// StreamName returns the name of the stream of one machine and URL, at most 89 bytes. A secret in the URL is
// in the name only as a hash.
func StreamName(host string, to *url.URL) string {
	sum := sha256.Sum256([]byte(to.String()))
	plain := strings.Trim(notInNames.ReplaceAllString(host+"-"+to.Host+to.Path, "-"), "-")
	return plain[:min(len(plain), 80)] + "-" + hex.EncodeToString(sum[:4])
}

// A listener is a running Run.
type listener struct {
	Config
	api    *streamClient
	client *http.Client // of the program that is forwarded to

	slots    chan struct{} // one in it for each delivery that is claimed or may be by the next claim
	inFlight sync.WaitGroup
	secret   string // as it was printed
}

// run opens the stream, and claims and forwards until ctx ends or it is pointless.
func (l *listener) run(ctx context.Context) error {
	if err := l.open(ctx); err != nil {
		return err
	}
	wait := backOff{say: l.Say}
	for ctx.Err() == nil {
		n := l.takeSlots(ctx)
		claimed, err := l.api.claim(ctx, n)
		at := time.Now()
		for range n - len(claimed) {
			<-l.slots
		}
		for _, d := range claimed {
			l.inFlight.Go(func() {
				defer func() { <-l.slots }()
				l.report(ctx, at, l.forward(ctx, d))
			})
		}
		switch failed := new(apiError); {
		case err == nil:
			if wait.end() {
				l.Say("connected again")
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

// takeSlots waits for one slot, and takes all free ones.
func (l *listener) takeSlots(ctx context.Context) (n int) {
	select {
	case l.slots <- struct{}{}:
		n++
	case <-ctx.Done():
		return 0
	}
	for ; n < forwardsAtOnce; n++ {
		select {
		case l.slots <- struct{}{}:
		default:
			return n
		}
	}
	return n
}

// open opens the stream, with retries, and prints how to verify the messages.
func (l *listener) open(ctx context.Context) error {
	for wait := (backOff{say: l.Say}); ; {
		secret, err := l.api.open(ctx, l.Events)
		switch {
		case err == nil && secret != l.secret:
			l.secret = secret
			l.Signed(secret)
			return nil
		case err == nil, ctx.Err() != nil, isFinal(err):
			return err
		}
		if wait.sleep(ctx, err); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// A backOff increases the times between retries, and prints their reason.
type backOff struct {
	next time.Duration
	say  func(format string, args ...any)
}

// end ends a series of retries after a success, and reports whether there were failures.
func (b *backOff) end() (failed bool) {
	failed = b.next > 0
	b.next = 0
	return failed
}

func (b *backOff) sleep(ctx context.Context, err error) {
	b.next = min(max(2*b.next, retryFirst), retryMost)
	b.say("no connection: %v; next try in %v", err, b.next)
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
	result, failed := fmt.Sprint(status), status < 200 || status > 299 // a missing status is 0
	if line := firstLine(answer); failed && line != "" {
		result += " " + line
	}
	if err != nil {
		a.Error = err.Error()
		result = "no answer: " + a.Error
	}
	var about struct {
		Data struct{ Event, ID string }
	}
	// Of what is no such JSON the line lacks the names; it was forwarded all the same.
	_ = json.Unmarshal([]byte(d.Body), &about)
	line := fmt.Sprintf("%s %s %s %v", about.Data.Event, about.Data.ID, result, took.Round(time.Millisecond))
	if failed {
		line += "; " + d.EventID + " will be tried again"
	}
	l.Say("%s", line)
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
	first, err := io.ReadAll(io.LimitReader(response.Body, webhooks.MaxAnswer))
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
	l.Say("%s could not be reported, so it will come again: %v", a.EventID, err)
}
