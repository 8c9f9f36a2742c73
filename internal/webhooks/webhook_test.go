package webhooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

func TestWebhooks(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		errTest := errors.New("the receiver is away")
		change := webhooks.WebhookChange{Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https://example.com/a?b"),
			Secret: imagestest.Ptr("s3cret")}
		_, err := core.Webhooks.Create(ctx, account, change,
			func(context.Context, webhooks.Webhook) error { return errTest })
		if !errors.Is(err, errTest) {
			t.Errorf("made without its test: %v", err)
		}
		if all, err := core.Webhooks.All(ctx, account); err != nil || len(all) != 0 {
			t.Errorf("there are %+v, %v", all, err)
		}
		var tested webhooks.Webhook
		pass := func(_ context.Context, w webhooks.Webhook) error { tested = w; return nil }
		w, err := core.Webhooks.Create(ctx, account, change, pass)
		if err != nil {
			t.Fatal(err)
		}
		if tested.URL != w.URL || tested.Secret != "s3cret" || len(tested.SigningKeys[0]) != 44 ||
			!slices.Equal(w.Events, webhooks.DefaultEvents) {
			t.Errorf("tested was %+v, made %+v", tested, w)
		}

		// The secret stays, but does not go to another host.
		_, err = core.Webhooks.Update(ctx, account, w.ID,
			webhooks.WebhookChange{URL: imagestest.Ptr("https://example.org/a")}, pass)
		imagestest.WantKind(t, err, errs.Invalid)
		_, err = core.Webhooks.Update(ctx, account, w.ID,
			webhooks.WebhookChange{URL: imagestest.Ptr("http://example.com/a")}, pass) // in the clear
		imagestest.WantKind(t, err, errs.Invalid)
		tested = webhooks.Webhook{}
		seen, err := core.Webhooks.Update(ctx, account, w.ID, webhooks.WebhookChange{Name: imagestest.Ptr("m")}, pass)
		if err != nil || tested.ID != "" || seen.Secret != "s3cret" || seen.Name != "m" {
			t.Errorf("changed to %+v, tested %+v, %v", seen, tested, err)
		}
		// Some clients send an empty one with every change.
		seen, err = core.Webhooks.Update(ctx, account, w.ID, webhooks.WebhookChange{
			URL: imagestest.Ptr("https://example.com/b"), Secret: imagestest.Ptr("")}, pass)
		if err != nil || seen.Secret != "s3cret" {
			t.Errorf("changed to %+v, %v", seen, err)
		}
		seen, err = core.Webhooks.Update(ctx, account, w.ID, webhooks.WebhookChange{
			URL: imagestest.Ptr("https://example.org/a"), Secret: imagestest.Ptr("")}, pass)
		if err != nil || tested.URL != "https://example.org/a" || seen.Secret != "" {
			t.Errorf("changed to %+v, tested %+v, %v", seen, tested, err)
		}
		_, err = core.Webhooks.Update(ctx, account, w.ID,
			webhooks.WebhookChange{URL: imagestest.Ptr("https://example.org/b")},
			func(context.Context, webhooks.Webhook) error { return errTest })
		if now, _ := core.Webhooks.ByID(ctx, account, w.ID); !errors.Is(err, errTest) || now.URL != seen.URL {
			t.Errorf("changed without its test: %+v, %v", now, err)
		}

		// Other accounts cannot access it.
		other := strings.Repeat("a", 32)
		_, err = core.Webhooks.ByID(ctx, other, w.ID)
		imagestest.WantKind(t, err, errs.WebhookNotFound)
		imagestest.WantKind(t, core.Webhooks.Delete(ctx, other, w.ID), errs.WebhookNotFound)
		imagestest.WantKind(t, core.Webhooks.Resume(ctx, other, w.ID), errs.WebhookNotFound)
		_, err = core.Webhooks.RotateKey(ctx, other, w.ID)
		imagestest.WantKind(t, err, errs.WebhookNotFound)

		p := imagestest.Policy(t, core, "p", w.ID)
		if err := core.Webhooks.Delete(ctx, account, w.ID); err != nil {
			t.Fatal(err)
		}
		imagestest.WantKind(t, core.Webhooks.Delete(ctx, account, w.ID), errs.WebhookNotFound)
		left, err := core.Webhooks.Policy(ctx, account, p.ID)
		if err != nil || len(left.Webhooks) != 0 {
			t.Errorf("the policy has %+v, %v", left, err)
		}
		if _, err = core.Webhooks.UpdatePolicy(ctx, account, p.ID,
			webhooks.PolicyChange{Name: imagestest.Ptr("q")}); err != nil {
			t.Errorf("a policy whose webhooks are gone cannot be changed: %v", err)
		}
	})
}

func TestWebhookRules(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	for name, c := range map[string]webhooks.WebhookChange{
		"no name":         {URL: imagestest.Ptr("https://example.com")},
		"no url":          {Name: imagestest.Ptr("n")},
		"no host":         {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https:///x")},
		"ftp":             {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("ftp://example.com")},
		"a login":         {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https://canary:canary@example.com")},
		"a long url":      {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https://example.com/" + strings.Repeat("x", 2048))},
		"a line break":    {Name: imagestest.Ptr("n\nm"), URL: imagestest.Ptr("https://example.com")},
		"a header break":  {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https://example.com"), Secret: imagestest.Ptr("a\r\nb: c")},
		"an unknown type": {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https://example.com"), Events: []webhooks.EventType{"x"}},
		"no types":        {Name: imagestest.Ptr("n"), URL: imagestest.Ptr("https://example.com"), Events: []webhooks.EventType{}},
	} {
		_, err := core.Webhooks.Create(t.Context(), account, c, nil)
		if err == nil || errs.AsError(err).Kind != errs.Invalid || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := core.Webhooks.CreatePolicy(t.Context(), account, webhooks.PolicyChange{
		Name: imagestest.Ptr("n"), Webhooks: &[]string{"unknown"}})
	imagestest.WantKind(t, err, errs.Invalid)
	_, err = core.Webhooks.CreatePolicy(t.Context(), account, webhooks.PolicyChange{Name: imagestest.Ptr("n")})
	imagestest.WantKind(t, err, errs.Invalid)
}

func TestSigningKeysRotate(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		first := w.SigningKeys[0]
		rotated, err := core.Webhooks.RotateKey(t.Context(), account, w.ID)
		if err != nil || len(rotated.SigningKeys) != 2 || rotated.SigningKeys[1] != first ||
			rotated.SigningKeys[0] == first {
			t.Errorf("rotated to %v, %v", rotated.SigningKeys, err)
		}
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		if all := imagestest.Claim(t, core, w); len(all[0].Webhook.SigningKeys) != 2 {
			t.Errorf("a message would be signed by %v", all[0].Webhook.SigningKeys)
		}
		clock.Forward(25 * time.Hour)
		later, err := core.Webhooks.ByID(t.Context(), account, w.ID)
		if err != nil || !slices.Equal(later.SigningKeys, rotated.SigningKeys[:1]) {
			t.Errorf("a day later there are %v, %v", later.SigningKeys, err)
		}
	})
}

// TestNoMoreWebhooksThanAllowed: however many ask at once, the limits hold.
func TestNoMoreWebhooksThanAllowed(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		var group sync.WaitGroup
		var made, refused atomic.Int64
		for i := range webhooks.MaxStreams + 6 {
			group.Go(func() {
				_, err := core.Webhooks.OpenStream(t.Context(), account, fmt.Sprint("stream ", i), nil)
				switch {
				case err == nil:
					made.Add(1)
				case errs.AsError(err).Kind == errs.LimitReached:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		group.Wait()
		if made.Load() != webhooks.MaxStreams || refused.Load() != 6 {
			t.Errorf("%d were made and %d refused", made.Load(), refused.Load())
		}
		if all, err := core.Webhooks.Streams(t.Context(), account); err != nil || len(all) != webhooks.MaxStreams {
			t.Errorf("there are %d, %v", len(all), err)
		}
	})
}

// TestAStreamIsOpenedOnce: of askers for one name all get the same one.
func TestAStreamIsOpenedOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ids := make([]string, 8)
		var group sync.WaitGroup
		for i := range ids {
			group.Go(func() {
				w, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil)
				if err != nil {
					t.Error(err)
				}
				ids[i] = w.ID + w.SigningKeys[0]
			})
		}
		group.Wait()
		if slices.Sort(ids); len(slices.Compact(ids)) != 1 {
			t.Errorf("opened %v", ids)
		}
		// A stream needs no policy, gets all events, and is not listed as a webhook.
		w, err := core.Webhooks.Stream(t.Context(), account, "laptop")
		if err != nil {
			t.Fatal(err)
		}
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		if all := imagestest.Claim(t, core, w); imagestest.Types(all) != "upload.succeeded" || all[0].PolicyID != "" {
			t.Errorf("claimed %+v", all)
		}
		if due, err := core.Webhooks.Due(t.Context()); err != nil || len(due) != 0 {
			t.Errorf("due are %+v, %v", due, err)
		}
		if all, err := core.Webhooks.All(t.Context(), account); err != nil || len(all) != 0 {
			t.Errorf("the webhooks are %+v, %v", all, err)
		}
		_, err = core.Webhooks.ByID(t.Context(), account, w.ID)
		imagestest.WantKind(t, err, errs.WebhookNotFound)
	})
}
