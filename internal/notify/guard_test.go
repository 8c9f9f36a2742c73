package notify_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestGuard: no receiver is on this machine or in its cloud unless it may be, however it is written
// and hosts that redirect to it.
func TestGuard(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	inside := newReceiver(t)
	port := inside.URL[strings.LastIndexByte(inside.URL, ':'):]
	closed := newNotifier(core)
	for _, url := range []string{
		inside.URL, "http://localhost" + port, "http://[::ffff:127.0.0.1]" + port,
		"http://[::ffff:7f00:1]" + port, "http://169.254.169.254/latest/meta-data",
		"http://[::1]" + port, "http://0.0.0.0" + port, "http://10.0.0.1/",
	} {
		err := closed.Test(t.Context(), webhooks.Webhook{Name: "n", URL: url})
		e := new(errs.Error)
		if !errors.As(err, &e) || e.Kind != errs.WebhookRefused || !strings.Contains(e.Msg, "-outbound-allow") {
			t.Errorf("at save, %s: %v", url, err)
		}
	}
	// A receiver that may be reached, and redirects to one that may not: it is an answer like others.
	redirect := newReceiver(t)
	redirect.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/", http.StatusTemporaryRedirect)
	}
	open := newNotifier(core, loopback...)
	err := open.Test(t.Context(), webhooks.Webhook{Name: "n", URL: redirect.URL})
	if errs.AsError(err).Kind != errs.WebhookRefused || !strings.Contains(err.Error(), "307") {
		t.Errorf("a redirect: %v", err)
	}
	// What was saved while it might be reached is refused when it is sent.
	hook(t, core, inside.URL)
	hook(t, core, redirect.URL)
	upload(t, core, images.NewDraft{}, 1)
	stop := run(t, closed)
	eventually(t, "two refusals", func() bool { return len(history(t, core)) == 2 })
	stop()
	for _, h := range history(t, core) {
		if h.Attempt.Status != 0 || !strings.Contains(h.Attempt.Error, "-outbound-allow") {
			t.Errorf("at send: %+v", h.Attempt)
		}
	}
	if n := len(inside.messages()); n != 0 {
		t.Errorf("the receiver inside got %d messages", n)
	}
}

func TestTest(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	r := newReceiver(t)
	n := newNotifier(core, loopback...)
	w := webhooks.Webhook{Name: "n", URL: r.URL, Secret: "s", Account: account,
		SigningKeys: []string{strings.Repeat("A", 43) + "="}}
	if err := n.Test(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	m := r.messages()[0]
	verifier, err := standardwebhooks.NewWebhook(w.SigningKeys[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(m.body, m.header); err != nil || m.header.Get("cf-webhook-auth") != "s" ||
		!strings.Contains(string(m.body), `"text":"This is a test`) {
		t.Errorf("the test event %s: %v", m.body, err)
	}
	r.answer = func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	err = n.Test(t.Context(), w)
	if errs.AsError(err).Kind != errs.WebhookRefused || !strings.Contains(err.Error(), "418") {
		t.Errorf("a receiver that does not take it: %v", err)
	}
}
