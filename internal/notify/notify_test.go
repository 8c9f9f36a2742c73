package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"calotype/internal/cfapi"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/notify"
	"calotype/internal/outbound"
	"calotype/internal/webhooks"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

func ptr[T any](v T) *T { return &v }

var loopback = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
}

// newNotifier returns a Notifier that reaches this machine only if it may.
func newNotifier(core *imagestest.Core, allow ...netip.Prefix) *notify.Notifier {
	return notify.New(notify.Config{
		Webhooks: core.Webhooks, Outbound: outbound.Config{Allow: allow, Time: time.Minute},
		URLs: cfapi.URLs{Delivery: "https://img.example.com"},
	})
}

// run runs the Notifier until stop is called, at the latest at the end of the test.
func run(t *testing.T, n *notify.Notifier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
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

// A message is what a receiver was sent.
type message struct {
	header http.Header
	body   []byte
}

// A receiver is a real HTTP server, which answers as the test sets it.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []message
	answer func(n int, w http.ResponseWriter, r *http.Request) // nil: 204
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.got = append(r.got, message{q.Header.Clone(), body})
		n, answer := len(r.got), r.answer
		r.mu.Unlock()
		if answer == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		answer(n, w, q)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]message(nil), r.got...)
}

// hook adds a webhook for a URL with a policy.
func hook(t *testing.T, core *imagestest.Core, url string, events ...webhooks.EventType) webhooks.Webhook {
	t.Helper()
	w, err := core.Webhooks.Create(t.Context(), account, webhooks.WebhookChange{
		Name: ptr("hook"), URL: &url, Secret: ptr("s3cret"), Events: events}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = core.Webhooks.CreatePolicy(t.Context(), account, webhooks.PolicyChange{
		Name: ptr("uploads"), Enabled: ptr(true), Webhooks: &[]string{w.ID}})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func upload(t *testing.T, core *imagestest.Core, d images.NewDraft, seed int) images.Image {
	t.Helper()
	_, ticket, err := core.CreateDraft(t.Context(), account, d)
	if err != nil {
		t.Fatal(err)
	}
	u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(imagestest.JPEG(t, seed)); err != nil {
		t.Fatal(err)
	}
	img, err := u.Finish(t.Context(), "cat.jpg")
	if err != nil {
		t.Fatal(err)
	}
	return img.Image
}

// eventually waits for what must come; a test that fails here would wait for ever.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func history(t *testing.T, core *imagestest.Core) []webhooks.HistoryEntry {
	t.Helper()
	entries, _, err := core.Webhooks.History(t.Context(), account, webhooks.HistoryQuery{Most: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestAnUploadIsTold(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	r := newReceiver(t)
	run(t, newNotifier(core, loopback...))
	w := hook(t, core, r.URL+"/hook?key=1")
	img := upload(t, core, images.NewDraft{
		Meta: json.RawMessage(`{"key":"value"}`), Creator: ptr("someone")}, 1)
	eventually(t, "the message", func() bool { return len(r.messages()) == 1 })
	m := r.messages()[0]

	// Both proofs: the secret as it is, and a signature that any change breaks.
	if got := m.header.Get("cf-webhook-auth"); got != "s3cret" {
		t.Errorf("cf-webhook-auth is %q", got)
	}
	verifier, err := standardwebhooks.NewWebhook(notify.SigningSecret(w.SigningKeys[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := verifier.Verify(m.body, m.header); err != nil {
		t.Errorf("the signature: %v", err)
	}
	changed := append([]byte(nil), m.body...)
	changed[len(changed)/2] ^= 1
	if err := verifier.Verify(changed, m.header); err == nil {
		t.Error("a changed body passes")
	}
	other, err := standardwebhooks.NewWebhook("whsec_" + strings.Repeat("A", 43) + "=")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Verify(m.body, m.header); err == nil {
		t.Error("another key's signature passes")
	}

	var got map[string]any
	if err := json.Unmarshal(m.body, &got); err != nil {
		t.Fatal(err)
	}
	data, _ := got["data"].(map[string]any)
	original, _ := data["original"].(map[string]any)
	for what, pair := range map[string][2]any{
		"name":         {got["name"], "uploads"},
		"account":      {got["account_id"], account},
		"type":         {got["alert_type"], "image_notification"},
		"alert event":  {got["alert_event"], "ALERT_STATE_EVENT_START"},
		"policy":       {got["policy_name"], "uploads"},
		"event":        {data["event"], "image.upload.succeeded"},
		"id":           {data["id"], img.ID},
		"filename":     {data["filename"], "cat.jpg"},
		"creator":      {data["creator"], "someone"},
		"meta":         {fmt.Sprint(data["meta"]), "map[key:value]"},
		"private":      {data["requireSignedURLs"], false},
		"format":       {original["format"], "jpeg"},
		"width":        {original["width"], 64.0},
		"sha256":       {original["sha256"], img.Original.SHA256},
		"content type": {m.header.Get("Content-Type"), "application/json"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v, want %v", what, pair[0], pair[1])
		}
	}
	variants, _ := data["variants"].([]any)
	if len(variants) != 1 || !strings.HasPrefix(fmt.Sprint(variants[0]), "https://img.example.com/") ||
		!strings.HasSuffix(fmt.Sprint(variants[0]), img.ID+"/public") {
		t.Errorf("the variants are %v", variants)
	}
	eventually(t, "the history", func() bool { return len(history(t, core)) == 1 })
	if h := history(t, core)[0]; h.Outcome != "delivered" || h.Attempt.Status != 204 {
		t.Errorf("the history is %+v", h)
	}
}

// TestDownThenFailingThenWell: a receiver that is away, then broken, then well, takes an event once.
func TestDownThenFailingThenWell(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		var ahead atomic.Int64
		core.SetNow(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		r := newReceiver(t)
		r.answer = func(n int, w http.ResponseWriter, _ *http.Request) {
			switch n {
			case 1:
				panic(http.ErrAbortHandler) // no answer at all
			case 2, 3:
				http.Error(w, "out of order", http.StatusInternalServerError)
			default:
				_, _ = io.WriteString(w, "thanks")
			}
		}
		var observed sync.Map
		n := notify.New(notify.Config{
			Webhooks: core.Webhooks, Outbound: outbound.Config{Allow: loopback},
			Observe: func(outcome string, _ time.Duration) {
				count, _ := observed.LoadOrStore(outcome, new(atomic.Int64))
				count.(*atomic.Int64).Add(1)
			},
		})
		run(t, n)
		hook(t, core, r.URL)
		upload(t, core, images.NewDraft{}, 1)
		for i := range 4 {
			eventually(t, "an attempt", func() bool { return len(history(t, core)) == i+1 })
			ahead.Add(int64(3 * time.Hour))
		}
		h := history(t, core)
		if h[0].Outcome != "delivered" || h[0].Attempt.Status != 200 || h[0].Attempt.Answer != "thanks" ||
			h[1].Attempt.Status != 500 || h[1].Attempt.Answer != "out of order\n" ||
			h[3].Attempt.Status != 0 || h[3].Attempt.Error == "" || strings.Contains(h[3].Attempt.Error, r.URL) {
			t.Errorf("the history is %+v", h)
		}
		all := r.messages()
		for _, m := range all {
			if m.header.Get("webhook-id") != all[0].header.Get("webhook-id") {
				t.Error("the id changed between attempts")
			}
		}
		for outcome, want := range map[string]int64{
			notify.Delivered: 1, notify.Rejected: 2, notify.NoAnswer: 1} {
			if count, there := observed.Load(outcome); !there || count.(*atomic.Int64).Load() != want {
				t.Errorf("%s was not observed %d times", outcome, want)
			}
		}
	})
}

// TestAReceiverThatIsWellAgain: what waited for it is sent some at a time, not one by one.
func TestAReceiverThatIsWellAgain(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const events = 6
		var ahead, well atomic.Int64
		core.SetNow(func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) })
		r, inside, both := newReceiver(t), make(chan struct{}, events), make(chan struct{})
		open := sync.OnceFunc(func() { close(both) })
		t.Cleanup(open)
		r.answer = func(_ int, w http.ResponseWriter, _ *http.Request) {
			switch {
			case ahead.Load() == 0:
				w.WriteHeader(http.StatusServiceUnavailable)
			case well.Add(1) > 1:
				inside <- struct{}{}
				<-both
			}
		}
		hook(t, core, r.URL)
		run(t, newNotifier(core, loopback...))
		for i := range events {
			upload(t, core, images.NewDraft{}, i)
		}
		eventually(t, "failures", func() bool { return len(history(t, core)) == events })
		ahead.Store(int64(time.Hour))
		eventually(t, "two messages at once", func() bool { return len(inside) > 1 })
		open()
		eventually(t, "the rest", func() bool { return len(history(t, core)) == 2*events })
	})
}

// TestAHangingReceiverDelaysNobody: while one receiver holds all that it gets, everything reaches
// the other.
func TestAHangingReceiverDelaysNobody(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: sends thousands of events")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const events = 1000
		hanging, well := newReceiver(t), newReceiver(t)
		release := make(chan struct{})
		hanging.answer = func(_ int, _ http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
			case <-r.Context().Done():
			}
		}
		n := newNotifier(core, loopback...)
		stop := run(t, n)
		defer stop()
		defer close(release)
		for range 20 {
			hook(t, core, hanging.URL, webhooks.ImageUpdated)
		}
		hook(t, core, well.URL, webhooks.ImageUpdated)
		img := upload(t, core, images.NewDraft{}, 1)
		for i := range events {
			meta := json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
			if _, err := core.EditImage(t.Context(), account, img.ID, images.Edit{Meta: &meta}); err != nil {
				t.Fatal(err)
			}
		}
		ids := map[string]bool{}
		eventually(t, "1000 messages", func() bool {
			for _, m := range well.messages() {
				ids[m.header.Get("webhook-id")] = true
			}
			return len(ids) == events
		})
		// None of the others was answered, and their host has no more than the account's share of it.
		held := poolStats(t, n, "posts_by_host").Largest
		if len(hanging.messages()) < 1 || held < 1 || held > 16 {
			t.Errorf("the hanging receiver got %d, %d posts are in flight",
				len(hanging.messages()), held)
		}
		for _, h := range history(t, core) {
			// On a slow machine an attempt may have reached its timeout.
			if h.Outcome != "delivered" && h.Attempt.Took < time.Minute {
				t.Errorf("the history has %+v", h)
			}
		}
	})
}

// TestTestsAreBounded: receivers that hang hold no more than an account's share.
func TestTestsAreBounded(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	r := newReceiver(t)
	release := make(chan struct{})
	r.answer = func(int, http.ResponseWriter, *http.Request) { <-release }
	n := newNotifier(core, loopback...)
	w := webhooks.Webhook{Name: "n", URL: r.URL, Account: account}
	var group sync.WaitGroup
	const most = 16
	for range most {
		group.Go(func() {
			if err := n.Test(t.Context(), w); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "tests", func() bool { return len(r.messages()) == most })
	if err := n.Test(t.Context(), w); kindOf(err) != errs.Busy {
		t.Errorf("one more: %v", err)
	}
	w.Account = "another"
	group.Go(func() {
		if err := n.Test(t.Context(), w); err != nil {
			t.Errorf("another account: %v", err)
		}
	})
	eventually(t, "another account", func() bool { return len(r.messages()) == most+1 })
	close(release)
	group.Wait()
	if err := n.Test(t.Context(), w); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestShutdown: what is being sent when the server ends is settled, and not sent again.
func TestShutdown(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	r := newReceiver(t)
	begun, release := make(chan struct{}), make(chan struct{})
	r.answer = func(int, http.ResponseWriter, *http.Request) {
		close(begun)
		<-release
	}
	n := newNotifier(core, loopback...)
	stop := run(t, n)
	hook(t, core, r.URL)
	upload(t, core, images.NewDraft{}, 1)
	<-begun
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	eventually(t, "the end of Run to begin", func() bool {
		_, err := n.Claim(t.Context(), webhooks.Webhook{}, 1, 0)
		return kindOf(err) == errs.Busy
	})
	select {
	case <-stopped:
		t.Fatal("it did not wait for what was being sent")
	default:
	}
	close(release)
	<-stopped
	if h := history(t, core); len(h) != 1 || h[0].Outcome != "delivered" {
		t.Errorf("the history is %+v", h)
	}
}

func TestSigningSecret(t *testing.T) {
	t.Parallel()
	for secret, ok := range map[string]bool{
		notify.SigningSecret(strings.Repeat("A", 43) + "="): true, "whsec_" + strings.Repeat("A", 32): true,
		"whsec_" + strings.Repeat("A", 28): false, strings.Repeat("A", 44): false,
		"whsec_!" + strings.Repeat("A", 43): false, "": false, "whsec_" + strings.Repeat("A", 100): false,
	} {
		if key, got := notify.SigningKey(secret); got != ok || ok && notify.SigningSecret(key) != secret {
			t.Errorf("%q: %q, %t", secret, key, got)
		}
	}
}
