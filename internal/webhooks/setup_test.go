package webhooks_test

import (
	"context"
	"encoding/base64"
	"errors"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

// signingKeyOf returns a signing key of one byte, repeated.
func signingKeyOf(b byte) string {
	return base64.StdEncoding.EncodeToString(slices.Repeat([]byte{b}, 32))
}

// webhookTo is a change that leads to a URL.
func webhookTo(url string) webhooks.WebhookChange { return webhooks.WebhookChange{URL: &url} }

// TestEnsureWebhookAtOnce: nodes that start concurrently, each with a separate database handle, create
// one webhook and one policy together, and one of them reports it as new.
func TestEnsureWebhookAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		nodes := []*imagestest.Core{imagestest.Open(t, images.Config{}, dsn)}
		for range 3 {
			node := imagestest.NewCore(images.Config{DB: sqldbtest.Open(t, dsn), Dir: t.TempDir()})
			t.Cleanup(node.Close)
			nodes = append(nodes, node)
		}
		for range 5 {
			ensureAtOnce(t, nodes)
		}
	})
}

func ensureAtOnce(t *testing.T, nodes []*imagestest.Core) {
	t.Helper()
	var (
		all   sync.WaitGroup
		mu    sync.Mutex
		news  int
		keys  = map[string]bool{}
		begin = make(chan struct{})
	)
	for i := range 4 * len(nodes) {
		all.Go(func() {
			<-begin
			w, made, err := nodes[i%len(nodes)].Webhooks.Ensure(t.Context(), imagestest.AccountID, "env",
				webhookTo("https://example.com/hook"), "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			if made {
				news++
			}
			keys[w.SigningKeys[0]] = true
		})
	}
	close(begin)
	all.Wait()
	webhooks, err := nodes[0].Webhooks.All(t.Context(), imagestest.AccountID)
	policies, err2 := nodes[0].Webhooks.Policies(t.Context(), imagestest.AccountID)
	if err = errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if len(webhooks) != 1 || len(policies) != 1 || news != 1 || len(keys) != 1 ||
		!slices.Equal(policies[0].Webhooks, []string{webhooks[0].ID}) {
		t.Fatalf("%d webhooks, %d policies, %d new, %d keys", len(webhooks), len(policies), news,
			len(keys))
	}
	if err := nodes[1].Webhooks.Remove(t.Context(), imagestest.AccountID, webhooks[0].ID); err != nil {
		t.Fatal(err)
	}
	if left, err := nodes[0].Webhooks.Policies(t.Context(), imagestest.AccountID); err != nil ||
		len(left) != 0 {
		t.Fatalf("policies without a webhook: %v, %v", left, err)
	}
}

// TestEnsureWebhookAgain: a later start gives the webhook what it is configured with now, and
// leaves the rest, and those of clients, alone.
func TestEnsureWebhookAgain(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx, account := t.Context(), imagestest.AccountID
		name, secret := "env", "canary"
		byClient := webhookTo("https://example.org/")
		byClient.Name = &name
		other, err := core.Webhooks.Add(ctx, account, byClient, nil)
		if err != nil {
			t.Fatal(err)
		}
		ensure := func(url, key string, secret *string) webhooks.Webhook {
			c := webhookTo(url)
			c.Secret = secret
			w, made, err := core.Webhooks.Ensure(ctx, account, name, c, key)
			if err != nil || made {
				t.Fatalf("made %v, %v", made, err)
			}
			return w
		}
		first, made, err := core.Webhooks.Ensure(ctx, account, name, webhookTo("http://a.example/"), "")
		if err != nil || !made || first.ID == other.ID {
			t.Fatalf("made %v of %s, %v", made, first.ID, err)
		}
		same := ensure("http://a.example/", "", &secret)
		if same.ID != first.ID || same.Secret != secret || !slices.Equal(same.SigningKeys,
			first.SigningKeys) {
			t.Errorf("the second start made %+v of %+v", same, first)
		}
		key := signingKeyOf(7)
		for range 2 { // the second time it is the same, and the one before still signs
			w := ensure("http://b.example/", key, nil)
			if w.URL != "http://b.example/" || w.Secret != "" ||
				!slices.Equal(w.SigningKeys, []string{key, first.SigningKeys[0]}) {
				t.Errorf("with a separate key: %+v", w)
			}
		}
		if w := ensure("http://b.example/", "", nil); w.SigningKeys[0] != key {
			t.Error("a start without a key changed it")
		}
		all, err := core.Webhooks.All(ctx, account)
		if err != nil || len(all) != 2 {
			t.Fatalf("%d webhooks, %v", len(all), err)
		}
		if left, err := core.Webhooks.ByID(ctx, account, other.ID); err != nil ||
			left.URL != "https://example.org/" {
			t.Errorf("the client's own webhook leads to %s, %v", left.URL, err)
		}
		_, _, err = core.Webhooks.Ensure(ctx, account, name, webhookTo("ftp://x"), "")
		imagestest.WantKind(t, err, errs.Invalid)
	})
}

// TestEnsureWebhookPaused: only another URL ends a pause.
func TestEnsureWebhookPaused(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx, account := t.Context(), imagestest.AccountID
		w, _, err := core.Webhooks.Ensure(ctx, account, "env", webhookTo("http://a.example/"), "")
		if err != nil {
			t.Fatal(err)
		}
		settleOne(t, core, w, 410)
		w, _, err = core.Webhooks.Ensure(ctx, account, "env", webhookTo("http://a.example/"), "")
		if err != nil || w.Paused.IsZero() {
			t.Errorf("after a start with the same URL: %+v, %v", w, err)
		}
		counts, err := core.Webhooks.Counts(ctx)
		if err != nil || counts.Paused != 1 || counts.Healthy != 0 || counts.Pending != 0 {
			t.Errorf("counts %+v, %v", counts, err)
		}
		w, _, err = core.Webhooks.Ensure(ctx, account, "env", webhookTo("http://b.example/"), "")
		if err != nil || !w.Paused.IsZero() || w.PauseReason != "" || w.Failing {
			t.Errorf("after a start with another URL: %+v, %v", w, err)
		}
		pending, err := core.Webhooks.PendingDeliveries(ctx, account)
		counts, err2 := core.Webhooks.Counts(ctx)
		if err = errors.Join(err, err2); err != nil || pending[w.ID] != 1 || counts.Pending != 1 ||
			counts.Healthy != 1 || time.Since(counts.Oldest) > time.Hour {
			t.Errorf("pending %v, counts %+v, %v", pending, counts, err)
		}
	})
}

// settleOne makes an event and has the webhook answer it with a status.
func settleOne(t *testing.T, core *imagestest.Core, w webhooks.Webhook, status int) {
	t.Helper()
	ctx := t.Context()
	everything := webhooks.WebhookChange{Events: webhooks.EventTypes}
	if _, err := core.Webhooks.Update(ctx, w.Account, w.ID, everything, nil); err != nil {
		t.Fatal(err)
	}
	draft, _, err := core.CreateDraft(ctx, w.Account, images.NewDraft{})
	if err != nil {
		t.Fatal(err)
	}
	if err := core.DeleteImage(ctx, w.Account, draft.ID); err != nil {
		t.Fatal(err)
	}
	claimed, err := core.Webhooks.Claim(ctx, w.ID, 10)
	if err != nil || len(claimed) != 1 {
		t.Fatalf("%d claimed, %v", len(claimed), err)
	}
	_, err = core.Webhooks.Complete(ctx, []webhooks.Attempt{{
		Account: w.Account, EventID: claimed[0].Event.ID, WebhookID: w.ID, Number: claimed[0].Attempt,
		Began: time.Now(), Status: status,
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// TestAddWebhook: a webhook that is not made leaves no policy behind, and the other way round.
func TestAddWebhook(t *testing.T) {
	t.Parallel()
	core := imagestest.Open(t, images.Config{}, filepath.Join(t.TempDir(), "calotype.db"))
	ctx, account := t.Context(), imagestest.AccountID
	name := "backend"
	c := webhookTo("https://example.com/hook")
	c.Name = &name
	refused := errs.Errorf(errs.WebhookRefused, "no")
	_, err := core.Webhooks.Add(ctx, account, c, func(context.Context, webhooks.Webhook) error {
		return refused
	})
	if !errors.Is(err, refused) {
		t.Errorf("a refused test: %v", err)
	}
	w, err := core.Webhooks.Add(ctx, account, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	targets, enabled := []string{w.ID}, true
	for err == nil {
		_, err = core.Webhooks.CreatePolicy(ctx, account,
			webhooks.PolicyChange{Name: &name, Enabled: &enabled, Webhooks: &targets})
	}
	imagestest.WantKind(t, err, errs.LimitReached)
	_, err = core.Webhooks.Add(ctx, account, c, nil)
	imagestest.WantKind(t, err, errs.LimitReached)
	if all, err := core.Webhooks.All(ctx, account); err != nil || len(all) != 1 {
		t.Errorf("%d webhooks, %v", len(all), err)
	}
}
