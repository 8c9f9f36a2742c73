package webhooks_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestAReportCountsOnce: a client that has got no answer reports again, and so do two at once.
func TestAReportCountsOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		failed := imagestest.Attempt(imagestest.Claim(t, core, w)[0], 500)
		var settled atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				n, err := core.Webhooks.Complete(t.Context(), []webhooks.Attempt{failed, failed})
				if err != nil {
					t.Error(err)
				}
				settled.Add(int64(n))
			})
		}
		group.Wait()
		if settled.Load() != 1 {
			t.Errorf("one attempt was settled %d times", settled.Load())
		}
		clock.Forward(7 * time.Second) // as after one failure
		all := imagestest.Claim(t, core, w)
		if len(all) != 1 || all[0].Attempt != 2 {
			t.Fatalf("after one failure due are %+v", all)
		}

		// A replay is not settled by a report of what was before it.
		taken := imagestest.Attempt(all[0], 200)
		imagestest.Complete(t, core, taken)
		clock.Forward(2 * webhooks.DeliveryLease)
		if n, err := core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{Webhook: w.ID}); err != nil ||
			n != 1 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		for _, late := range []webhooks.Attempt{taken, imagestest.Attempt(all[0], 500)} {
			n, err := core.Webhooks.Complete(t.Context(), []webhooks.Attempt{late})
			if err != nil || n != 0 {
				t.Errorf("a late report settled %d, %v", n, err)
			}
		}
		if all = imagestest.Claim(t, core, w); len(all) != 1 || all[0].Attempt != 3 {
			t.Errorf("replayed is %+v", all)
		}
	})
}

// TestAReplayTakesEachOnce: a delivery that is sent during a long replay is not replayed again.
func TestAReplayTakesEachOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const events = 2500
		w := imagestest.Webhook(t, core)
		imagestest.FillOutbox(t, core, w, events)
		_, err := core.DB.Exec(t.Context(), `UPDATE deliveries SET due = NULL, outcome = 'delivered',
			attempt = 1`)
		if err != nil {
			t.Fatal(err)
		}
		// A receiver that takes everything at once.
		done := make(chan struct{})
		var receiver sync.WaitGroup
		receiver.Go(func() {
			for {
				_, err := core.DB.Exec(t.Context(), `UPDATE deliveries SET due = NULL,
					outcome = 'delivered' WHERE due IS NOT NULL`)
				if err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
		n, err := core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{Webhook: w.ID})
		close(done)
		receiver.Wait()
		if err != nil || n != events {
			t.Errorf("replayed %d of %d, %v", n, events, err)
		}
	})
}

// TestAnEventThatCannotBeRead holds up no other of its webhook.
func TestAnEventThatCannotBeRead(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		if _, err := core.DB.Exec(t.Context(), `UPDATE events SET facts = '{"id":7}'`); err != nil {
			t.Fatal(err)
		}
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		all := imagestest.Claim(t, core, w)
		if len(all) != 1 || all[0].Event.Facts.ID != img.ID {
			t.Errorf("claimed %+v", all)
		}
	})
}

// TestAnotherURLStartsAfresh: what the old one did not take is not held against it, and a
// change of something else ends no pause.
func TestAnotherURLStartsAfresh(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		first := imagestest.Claim(t, core, w)[0]
		imagestest.Complete(t, core, imagestest.Attempt(first, 500))
		passes := func(context.Context, webhooks.Webhook) error { return nil }
		_, err := core.Webhooks.Update(t.Context(), account, w.ID,
			webhooks.WebhookChange{URL: imagestest.Ptr("https://example.com/new")}, passes)
		if err != nil {
			t.Fatal(err)
		}
		if w, err = core.Webhooks.ByID(t.Context(), account, w.ID); err != nil || w.Failing {
			t.Errorf("the webhook with a new URL is %+v, %v", w, err)
		}

		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		second := imagestest.Claim(t, core, w)[0]
		imagestest.Complete(t, core, imagestest.Attempt(second, 410))
		_, err = core.Webhooks.Update(t.Context(), account, w.ID,
			webhooks.WebhookChange{Name: imagestest.Ptr("renamed")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if w, err = core.Webhooks.ByID(t.Context(), account, w.ID); err != nil || w.Paused.IsZero() ||
			w.Name != "renamed" {
			t.Errorf("a paused webhook that was renamed is %+v, %v", w, err)
		}
	})
}
