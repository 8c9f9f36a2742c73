package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"calotype/internal/images/imagestest"
	"calotype/internal/notify"
)

const (
	alerting = "/alerting/v3/"
	hooks    = alerting + "destinations/webhooks"
	policies = alerting + "policies"
)

// A receiver is a real one, which remembers what it was sent.
type receiver struct {
	*httptest.Server
	status atomic.Int32 // what it answers; 0 for 204

	mu  sync.Mutex
	got []received
}

type received struct {
	header http.Header
	body   string
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	r.mu.Lock()
	r.got = append(r.got, received{q.Header, string(body)})
	r.mu.Unlock()
	if status := int(r.status.Load()); status != 0 {
		w.Header().Set("Location", "http://127.0.0.1/elsewhere")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "the receiver's answer")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *receiver) last(t *testing.T) received {
	t.Helper()
	all := r.all()
	if len(all) == 0 {
		t.Fatal("the receiver was sent nothing")
	}
	return all[len(all)-1]
}

// verify holds a message against a signing secret as a receiver does.
func (m received) verify(secret string) error {
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return verifier.Verify([]byte(m.body), m.header)
}

// json asks with a JSON body.
func (f *fixture) json(method, path, body string) reply {
	f.t.Helper()
	return f.ask(method, path, jsonType, body)
}

// hook makes a webhook for the receiver, with more fields if they are given.
func (f *fixture) hook(to *receiver, more string) (id, signing string) {
	f.t.Helper()
	r := f.json("POST", hooks, fmt.Sprintf(`{"name": "backend", "url": "%s/hook"%s}`, to.URL, more))
	f.want(r, 201, 0)
	made := result[createdWebhook](f.t, r)
	if len(made.ID) != 32 || !strings.HasPrefix(made.SigningSecret, "whsec_") {
		f.t.Fatalf("made %s", r.body)
	}
	return made.ID, made.SigningSecret
}

// policy makes a policy for a webhook.
func (f *fixture) policy(hook string) string {
	f.t.Helper()
	r := f.json("POST", policies, fmt.Sprintf(`{"name": "uploads", "alert_type": "image_notification",
		"enabled": true, "mechanisms": {"webhooks": [{"id": "%s"}]}}`, hook))
	f.want(r, 200, 0)
	return result[onlyID](f.t, r).ID
}

func (f *fixture) refused(r reply, status, code int, words ...string) {
	f.t.Helper()
	f.want(r, status, code)
	for _, word := range words {
		if !strings.Contains(r.body, word) {
			f.t.Errorf("%s\nwant it to name %s", r.body, word)
		}
	}
}

func TestWebhooks(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		if got := compactResult(t, f.ask("GET", hooks, "", "")); got != "[]" {
			t.Errorf("at first there are %s", got)
		}
		id, signing := f.hook(to, `, "secret": "free text: s3cret", "unknown": {}`)
		tested := to.last(t)
		if tested.header.Get("cf-webhook-auth") != "free text: s3cret" ||
			!strings.Contains(tested.body, `"event":"test"`) || tested.verify(signing) != nil {
			t.Errorf("the test event was %s, %v: %v", tested.body, tested.header, tested.verify(signing))
		}
		shown := result[destination](t, f.ask("GET", hooks+"/"+id, "", ""))
		if shown.ID != id || shown.Name != "backend" || shown.Type != "generic" ||
			shown.URL != to.URL+"/hook" || shown.LastFailure != nil || shown.Paused != nil ||
			len(shown.Events) != 2 {
			t.Errorf("shown %+v", shown)
		}
		// A change of what is not the URL needs no test.
		before := len(to.all())
		f.want(f.json("PUT", hooks+"/"+id,
			`{"name": "renamed", "events": ["image.deleted"], "secret": null}`), 200, 0)
		all := result[[]destination](t, f.ask("GET", hooks, "", ""))
		if len(all) != 1 || all[0].Name != "renamed" || fmt.Sprint(all[0].Events) != "[image.deleted]" ||
			all[0].URL != to.URL+"/hook" || len(to.all()) != before {
			t.Errorf("after the change: %+v, %d messages", all, len(to.all()))
		}
		// As a form, and as SDKs send lists in one.
		f.want(f.ask("PUT", hooks+"/"+id, urlencoded,
			"name=form&events=image.deleted,image.updated"), 200, 0)
		f.want(f.ask("PUT", hooks+"/"+id, urlencoded,
			"events[]=image.deleted&events[]=image.draft.expired"), 200, 0)
		if got := result[destination](t, f.ask("GET", hooks+"/"+id, "", "")); got.Name != "form" ||
			fmt.Sprint(got.Events) != "[image.deleted image.draft.expired]" {
			t.Errorf("after the forms: %+v", got)
		}
		for _, log := range []string{f.log.String(), f.ask("GET", hooks, "", "").body} {
			if strings.Contains(log, "s3cret") || strings.Contains(log, signing[6:]) {
				t.Errorf("the log holds a secret: %s", log)
			}
		}
		if strings.Contains(f.log.String(), to.URL) {
			t.Error("the log holds the URL")
		}
		gone := f.ask("DELETE", hooks+"/"+id, "", "")
		f.want(gone, 200, 0)
		if string(gone.Result) != "null" {
			t.Errorf("the result of a deletion is %s", gone.Result)
		}
		f.want(f.ask("DELETE", hooks+"/"+id, "", ""), 404, 5404)
	})
}

func TestWebhooksAreRefused(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to, other := newReceiver(t), newReceiver(t)
		right := `{"url": "` + to.URL + `", "name": `
		for body, words := range map[string]string{
			`{}`:                               "`name`",
			`{"name": "x"}`:                    "`url`",
			`{"url": "` + to.URL + `"}`:        "`name`",
			`{"name": "x", "url": "ftp://h/"}`: "https://example.com/hook",
			`{"name": "x", "url": "https://u:canary@h/"}`: "cf-webhook-auth",
			right + `5}`: "name must be a string",
			right + `"` + strings.Repeat("x", 256) + `"}`:         "name must be 1 to 255",
			right + `"x", "events": ["image.eaten"]}`:             "image.eaten",
			right + `"x", "events": []}`:                          "events must name",
			right + `"x", "events": {"a": 1}}`:                    "events must be a list",
			right + `"x", "events": [1]}`:                         "events must be a list",
			right + `"x", "secret": "a\nb"}`:                      "secret must be",
			right + `"x", "secret": 5}`:                           "secret must be a string",
			`{"name": "x", "name": "y", "url": "` + to.URL + `"}`: "twice",
		} {
			f.refused(f.json("POST", hooks, body), 400, 5400, words)
		}
		if len(to.all()) != 0 {
			t.Error("a receiver was asked about what is not valid")
		}
		// The receiver must take the test.
		to.status.Store(500)
		f.refused(f.json("POST", hooks, `{"name": "x", "url": "`+to.URL+`"}`), 400, 5402, "500")
		if got := compactResult(t, f.ask("GET", hooks, "", "")); got != "[]" {
			t.Errorf("a refused webhook was saved: %s", got)
		}
		to.status.Store(0)
		id, _ := f.hook(to, `, "secret": "s3cret"`)
		path := hooks + "/" + id
		// A secret never goes to another host than the one that it was given for.
		asked := len(other.all())
		f.refused(f.json("PUT", path, `{"url": "`+other.URL+`"}`), 400, 5400, "another host", "secret")
		if len(other.all()) != asked {
			t.Error("the other host was asked")
		}
		other.status.Store(404)
		f.refused(f.json("PUT", path, `{"url": "`+other.URL+`", "secret": "new"}`), 400, 5402, "404")
		other.status.Store(0)
		if got := result[destination](t, f.ask("GET", path, "", "")); got.URL != to.URL+"/hook" {
			t.Errorf("a refused change was saved: %+v", got)
		}
		f.want(f.json("PUT", path, `{"url": "`+other.URL+`", "secret": "new"}`), 200, 0)
		if got := other.last(t).header.Get("cf-webhook-auth"); got != "new" {
			t.Errorf("the other host was sent the secret %q", got)
		}
		f.want(f.json("PUT", path, `{"url": "`+to.URL+`", "secret": ""}`), 200, 0)
		if got := to.last(t).header.Values("cf-webhook-auth"); len(got) != 0 {
			t.Errorf("without a secret there is %q", got)
		}
	})
}

// TestReceiversThatMayNotBeReached tries addresses that the operator has not opened.
func TestReceiversThatMayNotBeReached(t *testing.T) {
	each(t, func(t *testing.T, open *fixture) {
		closed := newServer(t, open.core, Config{
			Notifier: newNotifier(t, Config{Core: open.core.Service}, "127.0.0.2"),
		})
		to := newReceiver(t)
		port := to.Listener.Addr().(*net.TCPAddr).Port
		for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "localhost"} {
			closed.refused(closed.json("POST", hooks, fmt.Sprintf(
				`{"name": "x", "url": "http://%s:%d/"}`, host, port)), 400, 5402, "-outbound-allow")
		}
		closed.refused(closed.json("POST", hooks,
			`{"name": "x", "url": "http://169.254.169.254/latest"}`), 400, 5402, "-outbound-allow")
		// A redirect is not an answer 2xx.
		listener, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		redirecting := httptest.NewUnstartedServer(
			http.RedirectHandler(to.URL, http.StatusTemporaryRedirect))
		redirecting.Listener.Close()
		redirecting.Listener = listener
		redirecting.Start()
		t.Cleanup(redirecting.Close)
		closed.refused(closed.json("POST", hooks, `{"name": "x", "url": "`+redirecting.URL+`"}`),
			400, 5402, "307")
		if got := compactResult(t, closed.ask("GET", hooks, "", "")); got != "[]" || len(to.all()) != 0 {
			t.Errorf("saved %s, sent %d messages", got, len(to.all()))
		}
	})
}

// TestSigningSecretsRotate: for a day both are good.
func TestSigningSecretsRotate(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		id, first := f.hook(to, "")
		rotated := result[createdWebhook](t, f.ask("POST", hooks+"/"+id+"/signing_secret", "", ""))
		if rotated.ID != id || rotated.SigningSecret == first {
			t.Fatalf("the new secret is %+v", rotated)
		}
		tested := func() received {
			r := f.ask("POST", hooks+"/"+id+"/test", "", "")
			f.want(r, 200, 0)
			if result[destination](t, r).LastSuccess == nil {
				t.Errorf("after a test: %s", r.body)
			}
			return to.last(t)
		}
		m := tested()
		for _, secret := range []string{first, rotated.SigningSecret} {
			if err := m.verify(secret); err != nil {
				t.Errorf("in the first day: %v", err)
			}
		}
		m.body += " "
		if m.verify(first) == nil {
			t.Error("a changed byte was not seen")
		}
		later := time.Now().Add(25 * time.Hour)
		f.now.at.Store(&later)
		m = tested()
		if signatures := strings.Fields(m.header.Get("webhook-signature")); len(signatures) != 1 {
			t.Errorf("a day later there are %d signatures", len(signatures))
		}
		to.status.Store(503)
		f.refused(f.ask("POST", hooks+"/"+id+"/test", "", ""), 400, 5402, "503")
	})
}

// TestSigningSecretBeforeTheTest: a receiver that verifies can be given its secret before the test
// event, in both ways, and no other text passes for a secret.
func TestSigningSecretBeforeTheTest(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		create := func(secret string) reply {
			return f.json("POST", hooks, fmt.Sprintf(`{"name": "backend", "url": "%s/hook",
				"signing_secret": %q}`, to.URL, secret))
		}
		for _, wrong := range []string{"", "whsec_", "whsec_AAAA", "whsec_no base64", "s3cret-canary",
			"whsec_" + strings.Repeat("A", 88)} {
			r := create(wrong)
			f.refused(r, 400, 5400, "signing secret", "whsec_")
			if wrong != "" && wrong != "whsec_" && strings.Contains(r.body, wrong) {
				t.Errorf("the refusal quotes a secret: %s", r.body)
			}
		}
		const known = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
		r := create(known)
		f.want(r, 201, 0)
		if m := to.last(t); len(to.all()) != 1 || m.verify(known) != nil ||
			result[createdWebhook](t, r).SigningSecret != known {
			t.Errorf("the test event is not signed with the secret that was given: %s", r.body)
		}
		id := result[createdWebhook](t, r).ID
		f.refused(f.json("PUT", hooks+"/"+id, `{"signing_secret": "new"}`), 400, 5400, "signing_secret")

		to.status.Store(401)
		r = create("new")
		f.want(r, 201, 0)
		made := result[createdWebhook](t, r)
		shown := result[destination](t, f.ask("GET", hooks+"/"+made.ID, "", ""))
		if len(to.all()) != 1 || shown.Paused == nil || !strings.Contains(shown.Paused.Reason, "test event") {
			t.Errorf("before the test there is %+v, and %d messages were sent", shown, len(to.all()))
		}
		f.refused(f.ask("POST", hooks+"/"+made.ID+"/test", "", ""), 400, 5402, "401")
		to.status.Store(0)
		tested := result[destination](t, f.ask("POST", hooks+"/"+made.ID+"/test", "", ""))
		if m := to.last(t); tested.Paused != nil || m.verify(made.SigningSecret) != nil {
			t.Errorf("after the test there is %+v", tested)
		}
	})
}

// TestAPausedWebhookResumes: by a test that its receiver takes.
func TestAPausedWebhookResumes(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		to := newReceiver(t)
		id, _ := f.hook(to, "")
		f.policy(id)
		stop := f.run()
		to.status.Store(http.StatusGone)
		f.upload(f.draft(), "a.jpg", imagestest.JPEG(t, 1))
		show := func() destination {
			return result[destination](t, f.ask("GET", hooks+"/"+id, "", ""))
		}
		f.eventually("the pause", func() bool { return show().Paused != nil })
		stop()
		paused := show()
		if !strings.Contains(paused.Paused.Reason, "410") || paused.LastFailure == nil {
			t.Errorf("paused: %+v", paused)
		}
		f.refused(f.ask("POST", hooks+"/"+id+"/test", "", ""), 400, 5402, "410")
		if show().Paused == nil {
			t.Error("resumed by a test that failed")
		}
		to.status.Store(0)
		f.want(f.ask("POST", hooks+"/"+id+"/test", "", ""), 200, 0)
		if got := show(); got.Paused != nil || got.LastSuccess == nil {
			t.Errorf("resumed: %+v", got)
		}
	})
}

// run runs the Notifier until stop is called, at the latest at the end of the test.
func (f *fixture) run() (stop func()) { return runNotifier(f.t, f.notifier) }

func runNotifier(t *testing.T, n *notify.Notifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// eventually waits for what must come.
func (f *fixture) eventually(what string, come func() bool) {
	f.t.Helper()
	for range 3000 {
		if come() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	f.t.Fatalf("%s never came", what)
}

// TestOtherThingsAreNone asks all routes for names that nothing has.
func TestOtherThingsAreNone(t *testing.T) {
	each(t, func(t *testing.T, f *fixture) {
		for _, r := range (&api{}).alertingRoutes() {
			if !strings.Contains(r.pattern, "{name}") {
				continue
			}
			for _, name := range []string{"%00", "%FF%FE", "a%0Ab", "'%22%3B--", "%25zz",
				strings.Repeat("x", 5000)} {
				want := [2]int{404, 5404}
				body := `{"attempts": []}`
				if r.method == "PUT" && strings.Contains(r.pattern, "streams") {
					want = [2]int{400, 5400}
					if name[0] == '\'' || name == "%25zz" {
						continue // a name like another
					}
				}
				f.try(r, name[:min(9, len(name))], fill(r.pattern, testAccount, name), testToken,
					[2]string{jsonType, body}, want[0], want[1])
			}
		}
	})
}
