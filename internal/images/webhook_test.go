package images_test

import (
	"context"
	"encoding/json"
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
)

func rawJSON(text []byte) json.RawMessage { return text }

func TestWebhooks(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx := t.Context()
		errTest := errors.New("the receiver is away")
		change := images.WebhookChange{Name: ptr("n"), URL: ptr("https://example.com/a?b"),
			Secret: ptr("s3cret")}
		_, err := core.CreateWebhook(ctx, account, change,
			func(context.Context, images.Webhook) error { return errTest })
		if !errors.Is(err, errTest) {
			t.Errorf("made without its test: %v", err)
		}
		if all, err := core.Webhooks(ctx, account); err != nil || len(all) != 0 {
			t.Errorf("there are %+v, %v", all, err)
		}
		var tested images.Webhook
		pass := func(_ context.Context, w images.Webhook) error { tested = w; return nil }
		w, err := core.CreateWebhook(ctx, account, change, pass)
		if err != nil {
			t.Fatal(err)
		}
		if tested.URL != w.URL || tested.Secret != "s3cret" || len(tested.SigningKeys[0]) != 44 ||
			!slices.Equal(w.Events, images.DefaultEvents) {
			t.Errorf("tested was %+v, made %+v", tested, w)
		}

		// The secret stays, but does not go to another host.
		_, err = core.ChangeWebhook(ctx, account, w.ID,
			images.WebhookChange{URL: ptr("https://example.org/a")}, pass)
		wantKind(t, err, errs.Invalid)
		_, err = core.ChangeWebhook(ctx, account, w.ID,
			images.WebhookChange{URL: ptr("http://example.com/a")}, pass) // in the clear
		wantKind(t, err, errs.Invalid)
		tested = images.Webhook{}
		seen, err := core.ChangeWebhook(ctx, account, w.ID, images.WebhookChange{Name: ptr("m")}, pass)
		if err != nil || tested.ID != "" || seen.Secret != "s3cret" || seen.Name != "m" {
			t.Errorf("changed to %+v, tested %+v, %v", seen, tested, err)
		}
		// Some clients send an empty one with every change.
		seen, err = core.ChangeWebhook(ctx, account, w.ID, images.WebhookChange{
			URL: ptr("https://example.com/b"), Secret: ptr("")}, pass)
		if err != nil || seen.Secret != "s3cret" {
			t.Errorf("changed to %+v, %v", seen, err)
		}
		seen, err = core.ChangeWebhook(ctx, account, w.ID, images.WebhookChange{
			URL: ptr("https://example.org/a"), Secret: ptr("")}, pass)
		if err != nil || tested.URL != "https://example.org/a" || seen.Secret != "" {
			t.Errorf("changed to %+v, tested %+v, %v", seen, tested, err)
		}
		_, err = core.ChangeWebhook(ctx, account, w.ID,
			images.WebhookChange{URL: ptr("https://example.org/b")},
			func(context.Context, images.Webhook) error { return errTest })
		if now, _ := core.Webhook(ctx, account, w.ID); !errors.Is(err, errTest) || now.URL != seen.URL {
			t.Errorf("changed without its test: %+v, %v", now, err)
		}

		// Other accounts cannot access it.
		other := strings.Repeat("a", 32)
		_, err = core.Webhook(ctx, other, w.ID)
		wantKind(t, err, errs.WebhookNotFound)
		wantKind(t, core.DeleteWebhook(ctx, other, w.ID), errs.WebhookNotFound)
		wantKind(t, core.ResumeWebhook(ctx, other, w.ID), errs.WebhookNotFound)
		_, err = core.RotateWebhookKey(ctx, other, w.ID)
		wantKind(t, err, errs.WebhookNotFound)

		p := policy(t, core, "p", w.ID)
		if err := core.DeleteWebhook(ctx, account, w.ID); err != nil {
			t.Fatal(err)
		}
		wantKind(t, core.DeleteWebhook(ctx, account, w.ID), errs.WebhookNotFound)
		left, err := core.NotificationPolicy(ctx, account, p.ID)
		if err != nil || len(left.Webhooks) != 0 {
			t.Errorf("the policy has %+v, %v", left, err)
		}
		if _, err = core.ChangeNotificationPolicy(ctx, account, p.ID,
			images.PolicyChange{Name: ptr("q")}); err != nil {
			t.Errorf("a policy whose webhooks are gone cannot be changed: %v", err)
		}
	})
}

func TestWebhookRules(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	for name, c := range map[string]images.WebhookChange{
		"no name":         {URL: ptr("https://example.com")},
		"no url":          {Name: ptr("n")},
		"no host":         {Name: ptr("n"), URL: ptr("https:///x")},
		"ftp":             {Name: ptr("n"), URL: ptr("ftp://example.com")},
		"a login":         {Name: ptr("n"), URL: ptr("https://canary:canary@example.com")},
		"a long url":      {Name: ptr("n"), URL: ptr("https://example.com/" + strings.Repeat("x", 2048))},
		"a line break":    {Name: ptr("n\nm"), URL: ptr("https://example.com")},
		"a header break":  {Name: ptr("n"), URL: ptr("https://example.com"), Secret: ptr("a\r\nb: c")},
		"an unknown type": {Name: ptr("n"), URL: ptr("https://example.com"), Events: []images.EventType{"x"}},
		"no types":        {Name: ptr("n"), URL: ptr("https://example.com"), Events: []images.EventType{}},
	} {
		_, err := core.CreateWebhook(t.Context(), account, c, nil)
		if err == nil || errs.AsError(err).Kind != errs.Invalid || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := core.CreateNotificationPolicy(t.Context(), account, images.PolicyChange{
		Name: ptr("n"), Webhooks: &[]string{"unknown"}})
	wantKind(t, err, errs.Invalid)
	_, err = core.CreateNotificationPolicy(t.Context(), account, images.PolicyChange{Name: ptr("n")})
	wantKind(t, err, errs.Invalid)
}

func TestSigningKeysRotate(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w := webhook(t, core)
		first := w.SigningKeys[0]
		rotated, err := core.RotateWebhookKey(t.Context(), account, w.ID)
		if err != nil || len(rotated.SigningKeys) != 2 || rotated.SigningKeys[1] != first ||
			rotated.SigningKeys[0] == first {
			t.Errorf("rotated to %v, %v", rotated.SigningKeys, err)
		}
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		if all := claim(t, core, w); len(all[0].Webhook.SigningKeys) != 2 {
			t.Errorf("a message would be signed by %v", all[0].Webhook.SigningKeys)
		}
		clock.forward(25 * time.Hour)
		later, err := core.Webhook(t.Context(), account, w.ID)
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
		for i := range images.MaxStreams + 6 {
			group.Go(func() {
				_, err := core.OpenStream(t.Context(), account, fmt.Sprint("stream ", i), nil)
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
		if made.Load() != images.MaxStreams || refused.Load() != 6 {
			t.Errorf("%d were made and %d refused", made.Load(), refused.Load())
		}
		if all, err := core.Streams(t.Context(), account); err != nil || len(all) != images.MaxStreams {
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
				w, err := core.OpenStream(t.Context(), account, "laptop", nil)
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
		w, err := core.Stream(t.Context(), account, "laptop")
		if err != nil {
			t.Fatal(err)
		}
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		if all := claim(t, core, w); types(all) != "upload.succeeded" || all[0].PolicyID != "" {
			t.Errorf("claimed %+v", all)
		}
		if due, err := core.DueWebhooks(t.Context()); err != nil || len(due) != 0 {
			t.Errorf("due are %+v, %v", due, err)
		}
		if all, err := core.Webhooks(t.Context(), account); err != nil || len(all) != 0 {
			t.Errorf("the webhooks are %+v, %v", all, err)
		}
		_, err = core.Webhook(t.Context(), account, w.ID)
		wantKind(t, err, errs.WebhookNotFound)
	})
}
