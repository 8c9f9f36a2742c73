package images_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// TestRetries covers all attempts of a delivery that always fails.
func TestRetries(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w := webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for i, least := range []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 10 * time.Hour, 0,
		} {
			all := claim(t, core, w)
			if len(all) != 1 || all[0].Attempt != i+1 {
				t.Fatalf("attempt %d: claimed %+v", i+1, all)
			}
			settle(t, core, attempt(all[0], 500))
			if least == 0 {
				break
			}
			clock.forward(least - time.Second)
			if all := claim(t, core, w); len(all) != 0 {
				t.Fatalf("attempt %d comes before %v", i+2, least)
			}
			clock.forward(least/5 + 2*time.Second)
		}
		clock.forward(48 * time.Hour)
		if all := claim(t, core, w); len(all) != 0 {
			t.Fatalf("a ninth attempt: %+v", all)
		}
		entries, total, err := core.History(t.Context(), account, images.HistoryQuery{Most: 100})
		if err != nil || total != 8 || len(entries) != 8 {
			t.Fatalf("the history has %d of %d, %v", len(entries), total, err)
		}
		newest := entries[0]
		if newest.Attempt.Number != 8 || newest.Outcome != "failed" || !newest.Next.IsZero() ||
			newest.Attempt.Status != 500 || newest.Attempt.Answer != "an answer" ||
			newest.Delivery.PolicyName != "uploads" || newest.Delivery.Webhook.Name != "hook" ||
			newest.Delivery.Event.Type != images.UploadSucceeded || newest.Delivery.AccountHash == "" ||
			newest.Delivery.Webhook.Secret != "" || newest.Delivery.Webhook.SigningKeys != nil {
			t.Errorf("the newest is %+v", newest)
		}
		seen, err := core.Webhook(t.Context(), account, w.ID)
		if err != nil || !seen.Failing || seen.LastFailure.IsZero() || !seen.LastSuccess.IsZero() ||
			!seen.Paused.IsZero() {
			t.Errorf("the webhook is %+v, %v", seen, err)
		}

		// Replayed, it has all its attempts before it, and the same id.
		n, err := core.Replay(t.Context(), account, images.ReplayQuery{Failed: true})
		if err != nil || n != 1 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		all := claim(t, core, w)
		if len(all) != 1 || all[0].Attempt != 9 || all[0].Event.ID != newest.Delivery.Event.ID {
			t.Fatalf("replayed %+v", all)
		}
		settle(t, core, attempt(all[0], 204))
		if seen, err = core.Webhook(t.Context(), account, w.ID); err != nil || seen.Failing ||
			seen.LastSuccess.IsZero() {
			t.Errorf("the webhook is %+v, %v", seen, err)
		}
	})
}

// TestAStreamIsRetriedSoon: its receiver is away for seconds, mostly, and what has failed comes again
// when it is opened.
func TestAStreamIsRetriedSoon(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w, err := core.OpenStream(t.Context(), account, "laptop", nil)
		if err != nil {
			t.Fatal(err)
		}
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		failures := 0
		for range 5 { // within three minutes
			settle(t, core, attempt(claim(t, core, w)[0], 502))
			failures++
			clock.forward(80 * time.Second)
		}
		again := func() {
			t.Helper()
			if _, err := core.OpenStream(t.Context(), account, "laptop", nil); err != nil {
				t.Fatal(err)
			}
			all := claim(t, core, w)
			if failures++; len(all) != 1 || all[0].Attempt != failures {
				t.Fatalf("opened again: %+v", all)
			}
			settle(t, core, attempt(all[0], 502))
		}
		again()
		for { // until it has failed for good
			clock.forward(13 * time.Hour)
			all := claim(t, core, w)
			if len(all) == 0 {
				break
			}
			settle(t, core, attempt(all[0], 502))
			failures++
			if _, err := core.Stream(t.Context(), account, "laptop"); err != nil {
				t.Fatal(err)
			}
		}
		again()
	})
}

// TestLease: who comes too late settles nothing, and what was not settled is due again.
func TestLease(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w := webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		slow := claim(t, core, w)
		clock.forward(images.DeliveryLease - time.Second)
		if again := claim(t, core, w); len(again) != 0 {
			t.Fatal("a delivery was claimed while another had it")
		}
		clock.forward(2 * time.Second)
		quick := claim(t, core, w)
		if len(slow) != 1 || len(quick) != 1 || quick[0].Attempt != 2 ||
			quick[0].Event.ID != slow[0].Event.ID {
			t.Fatalf("claimed %+v and %+v", slow, quick)
		}
		n, err := core.CompleteDeliveries(t.Context(), attemptAll(slow, 500))
		if err != nil || n != 0 {
			t.Errorf("who came too late settled %d, %v", n, err)
		}
		settle(t, core, attempt(quick[0], 200))
		n, err = core.CompleteDeliveries(t.Context(), attemptAll(quick, 500))
		if err != nil || n != 0 {
			t.Errorf("a delivery was settled twice: %d, %v", n, err)
		}
		clock.forward(time.Hour)
		if again := claim(t, core, w); len(again) != 0 {
			t.Errorf("it is due again: %+v", again)
		}
		_, total, err := core.History(t.Context(), account, images.HistoryQuery{Most: 1})
		if err != nil || total != 2 {
			t.Errorf("the history has %d attempts, %v", total, err)
		}
	})
}

// TestRelease: what is given back is due at once, unless another has it by now.
func TestRelease(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w := webhook(t, core)
		for i := range 3 {
			upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
		}
		first := claim(t, core, w)
		settle(t, core, attempt(first[0], 200))
		if err := core.ReleaseDeliveries(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		second := claim(t, core, w)
		if len(second) != 2 || second[0].Attempt != 2 {
			t.Fatalf("given back are %+v, want the two that were not settled", second)
		}
		if err := core.ReleaseDeliveries(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if third := claim(t, core, w); len(third) != 0 {
			t.Errorf("what another has was given back: %+v", third)
		}
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		gone, dead := webhook(t, core), webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		settle(t, core, attempt(claim(t, core, gone)[0], 410))
		paused, err := core.Webhook(t.Context(), account, gone.ID)
		if err != nil || paused.Paused.IsZero() || !strings.Contains(paused.PauseReason, "410") {
			t.Fatalf("the webhook is %+v, %v", paused, err)
		}
		// A week of failures, of several events.
		for range 8 {
			for _, d := range claim(t, core, dead) {
				settle(t, core, images.Attempt{EventID: d.Event.ID, WebhookID: dead.ID,
					Number: d.Attempt, Began: clock.now(), Error: "no answer"})
			}
			seen, err := core.Webhook(t.Context(), account, dead.ID)
			if err != nil || !seen.Paused.IsZero() {
				t.Fatalf("paused too early: %+v, %v", seen, err)
			}
			clock.forward(21 * time.Hour)
			upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		}
		all := claim(t, core, dead)
		settle(t, core, images.Attempt{EventID: all[0].Event.ID, WebhookID: dead.ID,
			Number: all[0].Attempt, Began: clock.now(), Error: "no answer"})
		seen, err := core.Webhook(t.Context(), account, dead.ID)
		if err != nil || seen.Paused.IsZero() || !strings.Contains(seen.PauseReason, "week") {
			t.Fatalf("not paused after a week: %+v, %v", seen, err)
		}

		// Events of that time wait, and are sent when the receiver is back.
		if all := claim(t, core, gone); len(all) != 0 {
			t.Fatalf("a paused webhook got %q", types(all))
		}
		if due, err := core.DueWebhooks(t.Context()); err != nil || len(due) != 0 {
			t.Errorf("paused webhooks are due: %+v, %v", due, err)
		}
		if err := core.ResumeWebhook(t.Context(), account, gone.ID); err != nil {
			t.Fatal(err)
		}
		if due, err := core.DueWebhooks(t.Context()); err != nil || len(due) != 1 || due[0].Failing {
			t.Errorf("after it was resumed due are: %+v, %v", due, err)
		}
		if all := claim(t, core, gone); len(all) != 9 {
			t.Errorf("after it was resumed there are %d deliveries, want 9", len(all))
		}
	})
}

// TestClaimsDoNotOverlap: however many nodes claim at once, each delivery is one's.
func TestClaimsDoNotOverlap(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const events, claimers = 120, 8
		w := webhook(t, core, images.ImageUpdated)
		img := upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for i := range events {
			meta := fmt.Appendf(nil, `{"n":%d}`, i)
			_, err := core.EditImage(t.Context(), account, img.ID,
				images.Edit{Meta: ptr(rawJSON(meta))})
			if err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		seen := map[string]int{}
		var group sync.WaitGroup
		for range claimers {
			group.Go(func() {
				for idle := 0; idle < 3; {
					some, err := core.ClaimDeliveries(t.Context(), w.ID, 7)
					if err != nil {
						t.Error(err)
						return
					}
					if len(some) == 0 {
						idle++
						continue
					}
					n, err := core.CompleteDeliveries(t.Context(), attemptAll(some, 200))
					if err != nil || n != len(some) {
						t.Errorf("settled %d of %d, %v", n, len(some), err)
					}
					mu.Lock()
					for _, d := range some {
						seen[d.Event.ID]++
					}
					mu.Unlock()
				}
			})
		}
		group.Wait()
		if left := claim(t, core, w); len(seen)+len(left) != events {
			t.Errorf("%d were claimed and %d left, want %d", len(seen), len(left), events)
		}
		for id, n := range seen {
			if n != 1 {
				t.Errorf("%s was claimed %d times", id, n)
			}
		}
	})
}

// TestASuspendedAccountIsNotTold: its pending deliveries wait until it is resumed.
func TestASuspendedAccountIsNotTold(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := webhook(t, core)
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for _, suspended := range []bool{true, false} {
			if err := core.Accounts.Suspend(t.Context(), account, suspended); err != nil {
				t.Fatal(err)
			}
			due, err := core.DueWebhooks(t.Context())
			if err != nil || (len(due) == 0) != suspended {
				t.Errorf("suspended %t: due are %+v, %v", suspended, due, err)
			}
			// A sender that began before the suspension gets no further deliveries.
			if all := claim(t, core, w); (len(all) == 0) != suspended {
				t.Errorf("suspended %t: claimed %+v", suspended, all)
			}
		}
	})
}

func TestReplay(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		a, b := webhook(t, core), webhook(t, core)
		var at []time.Time
		for i := range 3 {
			clock.forward(time.Hour)
			at = append(at, clock.now())
			upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
		}
		ofA := claim(t, core, a)
		settle(t, core, attemptAll(ofA[:2], 200)...)
		settle(t, core, attempt(ofA[2], 500)) // waits for its next attempt
		settle(t, core, attemptAll(claim(t, core, b), 200)...)
		clock.forward(time.Second)
		for _, test := range []struct {
			name string
			q    images.ReplayQuery
			want int
		}{
			{"another account's event", images.ReplayQuery{Event: "evt_x"}, 0},
			{"one event at one webhook",
				images.ReplayQuery{Event: ofA[0].Event.ID, Webhook: a.ID}, 1},
			{"from the second on", images.ReplayQuery{Webhook: b.ID, From: at[1]}, 2},
			{"before the first", images.ReplayQuery{To: at[0]}, 0},
			{"the one before the second", images.ReplayQuery{To: at[1]}, 1}, // the other is due
		} {
			n, err := core.Replay(t.Context(), account, test.q)
			if err != nil || n != test.want {
				t.Errorf("%s: replayed %d, want %d, %v", test.name, n, test.want, err)
			}
		}
		other, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := core.Replay(t.Context(), other.ID, images.ReplayQuery{}); err != nil || n != 0 {
			t.Errorf("another account replayed %d, %v", n, err)
		}
		if got := len(claim(t, core, a)); got != 1 {
			t.Errorf("%d are due for a, want 1", got)
		}
		if got := len(claim(t, core, b)); got != 3 {
			t.Errorf("%d are due for b, want 3", got)
		}
	})
}

func TestEventsAreForgotten(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := newClock()
		core.SetNow(clock.now)
		w := webhook(t, core)
		stream, err := core.OpenStream(t.Context(), account, "laptop", nil)
		if err != nil {
			t.Fatal(err)
		}
		upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		settle(t, core, attempt(claim(t, core, w)[0], 500))
		clock.forward(29 * 24 * time.Hour)
		young := upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		if _, err := core.Stream(t.Context(), account, "laptop"); err != nil {
			t.Fatal(err)
		}
		clock.forward(25 * time.Hour)
		if err := core.ForgetEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, to := range []images.Webhook{w, stream} {
			all := claim(t, core, to)
			if len(all) != 1 || all[0].Event.Image.ID != young.ID {
				t.Errorf("left is %+v", all)
			}
		}
		if _, total, err := core.History(t.Context(), account, images.HistoryQuery{Most: 1}); err != nil ||
			total != 0 {
			t.Errorf("the history has %d attempts, %v", total, err)
		}
		clock.forward(8 * 24 * time.Hour)
		if err := core.EndStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = core.Stream(t.Context(), account, "laptop")
		wantKind(t, err, errs.WebhookNotFound)
		if counts, err := core.OutboxCounts(t.Context()); err != nil || counts.Pending != 1 {
			t.Errorf("the outbox holds %+v, %v: deliveries of a deleted stream are left", counts, err)
		}
	})
}
