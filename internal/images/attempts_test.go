package images_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// TestAReportCountsOnce: a client that has got no answer reports again, and so do two at once.
func TestAReportCountsOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w := webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		failed := attempt(claim(t, core, w)[0], 500)
		var settled atomic.Int64
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				n, err := core.CompleteDeliveries(t.Context(), []images.Attempt{failed, failed})
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
		clock.forward(7 * time.Second) // as after one failure
		all := claim(t, core, w)
		if len(all) != 1 || all[0].Attempt != 2 {
			t.Fatalf("after one failure due are %+v", all)
		}

		// A replay is not settled by a report of what was before it.
		taken := attempt(all[0], 200)
		settle(t, core, taken)
		clock.forward(2 * images.DeliveryLease)
		if n, err := core.Replay(t.Context(), account, images.ReplayQuery{Webhook: w.ID}); err != nil ||
			n != 1 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		for _, late := range []images.Attempt{taken, attempt(all[0], 500)} {
			n, err := core.CompleteDeliveries(t.Context(), []images.Attempt{late})
			if err != nil || n != 0 {
				t.Errorf("a late report settled %d, %v", n, err)
			}
		}
		if all = claim(t, core, w); len(all) != 1 || all[0].Attempt != 3 {
			t.Errorf("replayed is %+v", all)
		}
	})
}

// fill writes events with pending deliveries to a webhook, each of another image and creator, and due a
// microsecond after the previous one.
func fill(t testing.TB, core *imagestest.Core, w images.Webhook, events int) {
	t.Helper()
	now := core.Now().Add(-time.Hour).UnixMicro()
	for _, statement := range []string{
		`INSERT INTO events (id, account, type, image, id_sha256, creator, created, erasure, facts)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)
			SELECT 'evt_' || CAST(?1 AS TEXT) || '_' || i, CAST(?2 AS TEXT), 'image.updated', 'key' || i,
				'sum' || i, 'creator' || i, CAST(?3 AS BIGINT) + i, 0, '{"id":"filled"}' FROM n`,
		`INSERT INTO deliveries (event, webhook, account, created, policy, policy_name, due, attempt,
			failures, outcome)
			WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?4)
			SELECT 'evt_' || CAST(?1 AS TEXT) || '_' || i, CAST(?1 AS TEXT), CAST(?2 AS TEXT),
				CAST(?3 AS BIGINT) + i, '', '', CAST(?3 AS BIGINT) + i, 0, 0, 'pending' FROM n`,
	} {
		if _, err := core.DB.Exec(t.Context(), statement, w.ID, w.Account, now, events); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAReplayTakesEachOnce: a delivery that is sent during a long replay is not replayed again.
func TestAReplayTakesEachOnce(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const events = 2500
		w := webhook(t, core)
		fill(t, core, w, events)
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
		n, err := core.Replay(t.Context(), account, images.ReplayQuery{Webhook: w.ID})
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
		w := webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		if _, err := core.DB.Exec(t.Context(), `UPDATE events SET facts = '{"id":7}'`); err != nil {
			t.Fatal(err)
		}
		img := upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		all := claim(t, core, w)
		if len(all) != 1 || all[0].Event.Image.ID != img.ID {
			t.Errorf("claimed %+v", all)
		}
	})
}

// TestAnotherURLStartsAfresh: what the old one did not take is not held against it, and a
// change of something else ends no pause.
func TestAnotherURLStartsAfresh(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		first := claim(t, core, w)[0]
		settle(t, core, attempt(first, 500))
		passes := func(context.Context, images.Webhook) error { return nil }
		_, err := core.ChangeWebhook(t.Context(), account, w.ID,
			images.WebhookChange{URL: ptr("https://example.com/new")}, passes)
		if err != nil {
			t.Fatal(err)
		}
		if w, err = core.Webhook(t.Context(), account, w.ID); err != nil || w.Failing {
			t.Errorf("the webhook with a new URL is %+v, %v", w, err)
		}

		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		second := claim(t, core, w)[0]
		settle(t, core, attempt(second, 410))
		_, err = core.ChangeWebhook(t.Context(), account, w.ID,
			images.WebhookChange{Name: ptr("renamed")}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if w, err = core.Webhook(t.Context(), account, w.ID); err != nil || w.Paused.IsZero() ||
			w.Name != "renamed" {
			t.Errorf("a paused webhook that was renamed is %+v, %v", w, err)
		}
	})
}
