package images_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestTheOutboxUnderFire mixes all writers of the outbox: images that are created, changed and deleted,
// two senders of each webhook, whose reports are late, repeated or missing, replays, webhooks that are
// created, deleted and paused, policies that are changed, erasures, and retention, while the clock leaps ahead
// with each image that is made: by hours in all, which is less than the retries of a delivery take. Afterwards every row has its parent, no erased data is left, and the remaining
// webhook has got all events of the remaining images.
func TestTheOutboxUnderFire(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: races all writers of the outbox")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		f := &fire{T: t, core: core, received: map[string]bool{}, done: make(chan struct{})}
		core.SetNow(func() time.Time { return time.Now().Add(time.Duration(f.ahead.Load())) })
		f.stays = imagestest.Webhook(t, core, webhooks.EventTypes...)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { f.repeat(f.receive) })
		}
		for _, fn := range []func(){f.churnWebhooks, f.replay, f.forget, f.churnWebhooks} {
			group.Go(func() { f.repeat(fn) })
		}
		var makers sync.WaitGroup
		for i := range 4 {
			makers.Go(func() {
				for n := range 6 {
					f.makeImages(fmt.Sprintf("%d-%d", i, n))
				}
			})
		}
		makers.Wait()
		close(f.done)
		group.Wait()
		f.check()
	})
}

type fire struct {
	*testing.T
	core  *imagestest.Core
	stays webhooks.Webhook
	ahead atomic.Int64
	done  chan struct{}

	mu       sync.Mutex
	received map[string]bool // by the id of the image, of uploads and changes at stays
	kept     []string        // ids of images that stay
}

func (f *fire) repeat(fn func()) {
	for {
		select {
		case <-f.done:
			return
		default:
			fn()
		}
	}
}

// ok fails the test for errors of other kinds.
func (f *fire) ok(err error, kinds ...errs.Kind) {
	f.Helper()
	if err == nil {
		return
	}
	for _, kind := range kinds {
		if errs.AsError(err).Kind == kind {
			return
		}
	}
	f.Error(err)
}

// makeImages makes one image that stays, one that is deleted and one that is erased.
func (f *fire) makeImages(name string) {
	for _, creator := range []string{"stays", "deleted", "erased " + name} {
		img, err := f.core.MakeImage(f.Context(), account, images.NewDraft{Creator: &creator})
		if err != nil {
			f.Error(err)
			return
		}
		for range 3 {
			meta := json.RawMessage(fmt.Appendf(nil, `{"n":%d}`, rand.IntN(1000)))
			_, err = f.core.EditImage(f.Context(), account, img.ID, images.Edit{Meta: &meta})
			f.ok(err)
			f.ahead.Add(int64(2 * time.Minute))
		}
		switch creator {
		case "stays":
			f.mu.Lock()
			f.kept = append(f.kept, img.ID)
			f.mu.Unlock()
		case "deleted":
			f.ok(f.core.DeleteImage(f.Context(), account, img.ID))
		default:
			_, err := f.core.Erase(f.Context(), account, images.ErasureQuery{Creator: creator})
			f.ok(err)
		}
	}
}

// receive claims and reports as an unreliable claimer does.
func (f *fire) receive() {
	due, err := f.core.Webhooks.Due(f.Context())
	f.ok(err)
	for _, w := range due {
		all, err := f.core.Webhooks.Claim(f.Context(), w.ID, 1+rand.IntN(32))
		f.ok(err)
		var attempts []webhooks.Attempt
		for _, d := range all {
			status := []int{200, 200, 200, 500}[rand.IntN(4)]
			switch rand.IntN(20) {
			case 0:
				continue // its claimer was killed
			case 1:
				f.ok(f.core.Webhooks.Release(f.Context(), []webhooks.Delivery{d}))
				continue
			}
			a := imagestest.Attempt(d, status)
			a.Answer = fmt.Sprint(d.Event.Facts.Creator)
			attempts = append(attempts, a)
			if w.ID == f.stays.ID && status == 200 {
				f.mu.Lock()
				f.received[d.Event.Facts.ID] = true
				f.mu.Unlock()
			}
		}
		for range 1 + rand.IntN(2) {
			_, err = f.core.Webhooks.Complete(f.Context(), attempts)
			f.ok(err)
		}
	}
}

// churnWebhooks creates a subscribed webhook, and deletes it while a policy is changed to name it.
func (f *fire) churnWebhooks() {
	c := webhooks.WebhookChange{Name: imagestest.Ptr("comes and goes"), URL: imagestest.Ptr("https://example.com/"),
		Events: webhooks.EventTypes}
	w, err := f.core.Webhooks.Add(f.Context(), account, c, nil)
	if err != nil {
		f.ok(err)
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		p, err := f.core.Webhooks.CreatePolicy(f.Context(), account, webhooks.PolicyChange{
			Name: imagestest.Ptr("late"), Enabled: imagestest.Ptr(true), Webhooks: &[]string{w.ID}})
		if err == nil {
			// It may have gone with its webhook.
			f.ok(f.core.Webhooks.DeletePolicy(f.Context(), account, p.ID), errs.PolicyNotFound)
			return
		}
		f.ok(err, errs.Invalid)
	})
	_, err = f.core.Webhooks.RotateKey(f.Context(), account, w.ID)
	f.ok(err)
	f.ok(f.core.Webhooks.Remove(f.Context(), account, w.ID))
	both.Wait()
}

func (f *fire) replay() {
	_, err := f.core.Webhooks.Replay(f.Context(), account, webhooks.ReplayQuery{Failed: rand.IntN(2) == 0})
	f.ok(err)
	_, _, err = f.core.Webhooks.History(f.Context(), account, webhooks.HistoryQuery{Most: 10})
	f.ok(err)
	_, err = f.core.Webhooks.Counts(f.Context())
	f.ok(err)
}

func (f *fire) forget() { f.ok(f.core.Webhooks.DeleteOldEvents(f.Context())) }

// check delivers all pending events, and checks the remaining rows.
func (f *fire) check() {
	f.ok(f.core.Webhooks.DeleteOldEvents(f.Context()))
	// There is more on a fast machine than on a slow one.
	for left := -1; left != 0; {
		f.ahead.Add(int64(time.Hour))
		all := imagestest.Claim(f.T, f.core, f.stays)
		for _, d := range all {
			imagestest.Complete(f.T, f.core, imagestest.Attempt(d, 200))
			f.received[d.Event.Facts.ID] = true
		}
		left = len(all)
	}
	for _, id := range f.kept {
		if !f.received[id] {
			f.Errorf("image %s has no event", id)
		}
	}
	for what, query := range map[string]string{
		"deliveries that have not ended": `deliveries WHERE due IS NOT NULL OR outcome = 'pending'`,
		"deliveries without an event": `deliveries d
			WHERE NOT EXISTS (SELECT 1 FROM events WHERE id = d.event)`,
		"attempts without a delivery": `delivery_attempts a WHERE NOT EXISTS (SELECT 1
			FROM deliveries d WHERE d.event = a.event AND d.webhook = a.webhook)`,
		"targets without a webhook": `notification_targets t
			WHERE NOT EXISTS (SELECT 1 FROM webhooks WHERE id = t.webhook)`,
		"targets without a policy": `notification_targets t
			WHERE NOT EXISTS (SELECT 1 FROM notification_policies WHERE id = t.policy)`,
		"events of the erased": `events WHERE creator LIKE 'erased%' OR facts LIKE '%erased%'
			OR erasure = 1`,
		"answers about the erased": `delivery_attempts WHERE answer LIKE '%erased%'`,
	} {
		if n := imagestest.Count(f.T, f.core, query); n != 0 {
			f.Errorf("there are %d %s", n, what)
		}
	}
}

// TestADeletedWebhookIsInNoPolicy races deletions with the policies that name them.
func TestADeletedWebhookIsInNoPolicy(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		stays := imagestest.Webhook(t, core)
		p := imagestest.Policy(t, core, "all", stays.ID)
		for range 30 {
			w, err := core.Webhooks.Create(t.Context(), account, webhooks.WebhookChange{
				Name: imagestest.Ptr("goes"), URL: imagestest.Ptr("https://example.com/")}, nil)
			if err != nil {
				t.Fatal(err)
			}
			var both sync.WaitGroup
			both.Go(func() {
				_, err := core.Webhooks.UpdatePolicy(t.Context(), account, p.ID,
					webhooks.PolicyChange{Webhooks: &[]string{stays.ID, w.ID}})
				if err != nil && errs.AsError(err).Kind != errs.Invalid {
					t.Error(err)
				}
			})
			if err := core.Webhooks.Delete(t.Context(), account, w.ID); err != nil {
				t.Error(err)
			}
			both.Wait()
		}
		p, err := core.Webhooks.Policy(t.Context(), account, p.ID)
		if err != nil || len(p.Webhooks) != 1 {
			t.Errorf("the policy is %+v, %v", p, err)
		}
	})
}

// TestErasuresGoWithTheirWebhook: the event of an erasure is deleted with its last subscribed webhook.
func TestErasuresGoWithTheirWebhook(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		a, b := imagestest.Webhook(t, core, webhooks.ImageDeleted), imagestest.Webhook(t, core, webhooks.ImageDeleted)
		imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 1))
		imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		for i, w := range []webhooks.Webhook{a, b} {
			if err := core.Webhooks.Delete(t.Context(), account, w.ID); err != nil {
				t.Fatal(err)
			}
			if n := imagestest.Count(t, core, "events"); n != 1-i {
				t.Errorf("after %d webhooks were deleted there are %d events", i+1, n)
			}
		}
	})
}

// TestErasureOfAFormerID: of an image that is gone nothing is left under its other ids, and one
// that is there keeps what happened under its present id.
func TestErasureOfAFormerID(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core, webhooks.EventTypes...)
		var former, now [2]string
		for i := range former {
			img := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("other")}, imagestest.JPEG(t, i))
			former[i] = img.ID
			img, err := core.EditImage(t.Context(), account, img.ID,
				images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
			if err != nil {
				t.Fatal(err)
			}
			now[i] = img.ID
		}
		if err := core.DeleteImage(t.Context(), account, now[0]); err != nil {
			t.Fatal(err)
		}
		imagestest.Erase(t, core, images.ErasureQuery{ID: now[0]})    // gone already
		imagestest.Erase(t, core, images.ErasureQuery{ID: former[1]}) // lives on
		all := imagestest.Claim(t, core, w)
		if len(all) != 1 || all[0].Event.Facts.ID != now[1] || all[0].Event.Type != webhooks.ImageUpdated {
			t.Errorf("left is %q: %+v", imagestest.Types(all), all)
		}
	})
}
