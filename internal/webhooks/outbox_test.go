package webhooks_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestRetries covers all attempts of a delivery that always fails.
func TestRetries(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for i, least := range []time.Duration{
			5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
			10 * time.Hour, 10 * time.Hour, 0,
		} {
			all := imagestest.Claim(t, core, w)
			if len(all) != 1 || all[0].Attempt != i+1 {
				t.Fatalf("attempt %d: claimed %+v", i+1, all)
			}
			imagestest.Complete(t, core, imagestest.Attempt(all[0], 500))
			if least == 0 {
				break
			}
			clock.Forward(least - time.Second)
			if all := imagestest.Claim(t, core, w); len(all) != 0 {
				t.Fatalf("attempt %d comes before %v", i+2, least)
			}
			clock.Forward(least/5 + 2*time.Second)
		}
		clock.Forward(48 * time.Hour)
		if all := imagestest.Claim(t, core, w); len(all) != 0 {
			t.Fatalf("a ninth attempt: %+v", all)
		}
		entries, total, err := core.Webhooks.History(t.Context(), account, webhooks.HistoryQuery{Most: 100})
		if err != nil || total != 8 || len(entries) != 8 {
			t.Fatalf("the history has %d of %d, %v", len(entries), total, err)
		}
		newest := entries[0]
		if newest.Attempt.Number != 8 || newest.Outcome != "failed" || !newest.Next.IsZero() ||
			newest.Attempt.Status != 500 || newest.Attempt.Answer != "an answer" ||
			newest.Delivery.PolicyName != "uploads" || newest.Delivery.Webhook.Name != "hook" ||
			newest.Delivery.Event.Type != webhooks.UploadSucceeded || newest.Delivery.AccountHash == "" ||
			newest.Delivery.Webhook.Secret != "" || newest.Delivery.Webhook.SigningKeys != nil {
			t.Errorf("the newest is %+v", newest)
		}
		seen, err := core.Webhooks.ByID(t.Context(), account, w.ID)
		if err != nil || !seen.Failing || seen.LastFailure.IsZero() || !seen.LastSuccess.IsZero() ||
			!seen.Paused.IsZero() {
			t.Errorf("the webhook is %+v, %v", seen, err)
		}

		// Replayed, it has all its attempts before it, and the same id.
		n, err := core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{Failed: true})
		if err != nil || n != 1 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		all := imagestest.Claim(t, core, w)
		if len(all) != 1 || all[0].Attempt != 9 || all[0].Event.ID != newest.Delivery.Event.ID {
			t.Fatalf("replayed %+v", all)
		}
		imagestest.Complete(t, core, imagestest.Attempt(all[0], 204))
		if seen, err = core.Webhooks.ByID(t.Context(), account, w.ID); err != nil || seen.Failing ||
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
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil)
		if err != nil {
			t.Fatal(err)
		}
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		failures := 0
		for range 5 { // within three minutes
			imagestest.Complete(t, core, imagestest.Attempt(imagestest.Claim(t, core, w)[0], 502))
			failures++
			clock.Forward(80 * time.Second)
		}
		again := func() {
			t.Helper()
			if _, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil); err != nil {
				t.Fatal(err)
			}
			all := imagestest.Claim(t, core, w)
			if failures++; len(all) != 1 || all[0].Attempt != failures {
				t.Fatalf("opened again: %+v", all)
			}
			imagestest.Complete(t, core, imagestest.Attempt(all[0], 502))
		}
		again()
		for { // until it has failed for good
			clock.Forward(13 * time.Hour)
			all := imagestest.Claim(t, core, w)
			if len(all) == 0 {
				break
			}
			imagestest.Complete(t, core, imagestest.Attempt(all[0], 502))
			failures++
			if _, err := core.Webhooks.Stream(t.Context(), account, "laptop"); err != nil {
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
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		slow := imagestest.Claim(t, core, w)
		clock.Forward(webhooks.DeliveryLease - time.Second)
		if again := imagestest.Claim(t, core, w); len(again) != 0 {
			t.Fatal("a delivery was claimed while another had it")
		}
		clock.Forward(2 * time.Second)
		quick := imagestest.Claim(t, core, w)
		if len(slow) != 1 || len(quick) != 1 || quick[0].Attempt != 2 ||
			quick[0].Event.ID != slow[0].Event.ID {
			t.Fatalf("claimed %+v and %+v", slow, quick)
		}
		n, err := core.Webhooks.Complete(t.Context(), imagestest.Attempts(slow, 500))
		if err != nil || n != 0 {
			t.Errorf("who came too late settled %d, %v", n, err)
		}
		imagestest.Complete(t, core, imagestest.Attempt(quick[0], 200))
		n, err = core.Webhooks.Complete(t.Context(), imagestest.Attempts(quick, 500))
		if err != nil || n != 0 {
			t.Errorf("a delivery was settled twice: %d, %v", n, err)
		}
		clock.Forward(time.Hour)
		if again := imagestest.Claim(t, core, w); len(again) != 0 {
			t.Errorf("it is due again: %+v", again)
		}
		_, total, err := core.Webhooks.History(t.Context(), account, webhooks.HistoryQuery{Most: 1})
		if err != nil || total != 2 {
			t.Errorf("the history has %d attempts, %v", total, err)
		}
	})
}

// TestRelease: what is given back is due at once, unless another has it by now.
func TestRelease(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		for i := range 3 {
			imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
		}
		first := imagestest.Claim(t, core, w)
		imagestest.Complete(t, core, imagestest.Attempt(first[0], 200))
		if err := core.Webhooks.Release(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		second := imagestest.Claim(t, core, w)
		if len(second) != 2 || second[0].Attempt != 2 {
			t.Fatalf("given back are %+v, want the two that were not settled", second)
		}
		if err := core.Webhooks.Release(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		if third := imagestest.Claim(t, core, w); len(third) != 0 {
			t.Errorf("what another has was given back: %+v", third)
		}
	})
}

// TestAttemptsOfAnotherAccount reports attempts in the name of an account that does not own the deliveries: they change
// nothing, and are not recorded.
func TestAttemptsOfAnotherAccount(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		d := imagestest.Claim(t, core, w)[0]
		before, err := core.Webhooks.ByID(t.Context(), account, w.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, status := range []int{200, 500, 410} {
			a := imagestest.Attempt(d, status)
			a.Account = imagestest.Accounts(t, core, 1)[0]
			if n, err := core.Webhooks.Complete(t.Context(), []webhooks.Attempt{a}); err != nil || n != 0 {
				t.Errorf("status %d: settled %d, %v", status, n, err)
			}
		}
		if n := imagestest.Count(t, core, "delivery_attempts"); n != 0 {
			t.Errorf("%d attempts are recorded", n)
		}
		after, err := core.Webhooks.ByID(t.Context(), account, w.ID)
		if err != nil || !reflect.DeepEqual(after, before) {
			t.Errorf("the webhook was %+v, and is %+v, %v", before, after, err)
		}
		imagestest.Complete(t, core, imagestest.Attempt(d, 200))
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		gone, dead := imagestest.Webhook(t, core), imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		imagestest.Complete(t, core, imagestest.Attempt(imagestest.Claim(t, core, gone)[0], 410))
		paused, err := core.Webhooks.ByID(t.Context(), account, gone.ID)
		if err != nil || paused.Paused.IsZero() || !strings.Contains(paused.PauseReason, "410") {
			t.Fatalf("the webhook is %+v, %v", paused, err)
		}
		// A week of failures, of several events.
		for range 8 {
			for _, d := range imagestest.Claim(t, core, dead) {
				imagestest.Complete(t, core, webhooks.Attempt{Account: account, EventID: d.Event.ID,
					WebhookID: dead.ID, Number: d.Attempt, Began: clock.Now(), Error: "no answer"})
			}
			seen, err := core.Webhooks.ByID(t.Context(), account, dead.ID)
			if err != nil || !seen.Paused.IsZero() {
				t.Fatalf("paused too early: %+v, %v", seen, err)
			}
			clock.Forward(21 * time.Hour)
			imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		}
		all := imagestest.Claim(t, core, dead)
		imagestest.Complete(t, core, webhooks.Attempt{Account: account, EventID: all[0].Event.ID,
			WebhookID: dead.ID, Number: all[0].Attempt, Began: clock.Now(), Error: "no answer"})
		seen, err := core.Webhooks.ByID(t.Context(), account, dead.ID)
		if err != nil || seen.Paused.IsZero() || !strings.Contains(seen.PauseReason, "week") {
			t.Fatalf("not paused after a week: %+v, %v", seen, err)
		}

		// Events of that time wait, and are sent when the receiver is back.
		if all := imagestest.Claim(t, core, gone); len(all) != 0 {
			t.Fatalf("a paused webhook got %q", imagestest.Types(all))
		}
		if due, err := core.Webhooks.Due(t.Context()); err != nil || len(due) != 0 {
			t.Errorf("paused webhooks are due: %+v, %v", due, err)
		}
		if err := core.Webhooks.Resume(t.Context(), account, gone.ID); err != nil {
			t.Fatal(err)
		}
		if due, err := core.Webhooks.Due(t.Context()); err != nil || len(due) != 1 || due[0].Failing {
			t.Errorf("after it was resumed due are: %+v, %v", due, err)
		}
		if all := imagestest.Claim(t, core, gone); len(all) != 9 {
			t.Errorf("after it was resumed there are %d deliveries, want 9", len(all))
		}
	})
}

// TestClaimsDoNotOverlap: however many nodes claim at once, each delivery is one's.
func TestClaimsDoNotOverlap(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const events, claimers = 120, 8
		w := imagestest.Webhook(t, core, webhooks.ImageUpdated)
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for i := range events {
			meta := fmt.Appendf(nil, `{"n":%d}`, i)
			_, err := core.EditImage(t.Context(), account, img.ID,
				images.Edit{Meta: imagestest.Ptr(json.RawMessage(meta))})
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
					some, err := core.Webhooks.Claim(t.Context(), w.ID, 7)
					if err != nil {
						t.Error(err)
						return
					}
					if len(some) == 0 {
						idle++
						continue
					}
					n, err := core.Webhooks.Complete(t.Context(), imagestest.Attempts(some, 200))
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
		if left := imagestest.Claim(t, core, w); len(seen)+len(left) != events {
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
		w := imagestest.Webhook(t, core)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for _, suspended := range []bool{true, false} {
			if err := core.Accounts.Suspend(t.Context(), account, suspended); err != nil {
				t.Fatal(err)
			}
			due, err := core.Webhooks.Due(t.Context())
			if err != nil || (len(due) == 0) != suspended {
				t.Errorf("suspended %t: due are %+v, %v", suspended, due, err)
			}
			// A sender that began before the suspension gets no further deliveries.
			if all := imagestest.Claim(t, core, w); (len(all) == 0) != suspended {
				t.Errorf("suspended %t: claimed %+v", suspended, all)
			}
		}
	})
}

func TestReplay(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		a, b := imagestest.Webhook(t, core), imagestest.Webhook(t, core)
		var at []time.Time
		for i := range 3 {
			clock.Forward(time.Hour)
			at = append(at, clock.Now())
			imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
		}
		ofA := imagestest.Claim(t, core, a)
		imagestest.Complete(t, core, imagestest.Attempts(ofA[:2], 200)...)
		imagestest.Complete(t, core, imagestest.Attempt(ofA[2], 500)) // waits for its next attempt
		imagestest.Complete(t, core, imagestest.Attempts(imagestest.Claim(t, core, b), 200)...)
		clock.Forward(time.Second)
		for _, test := range []struct {
			name string
			q    webhooks.ReplayQuery
			want int
		}{
			{"another account's event", webhooks.ReplayQuery{Event: "evt_x"}, 0},
			{"one event at one webhook",
				webhooks.ReplayQuery{Event: ofA[0].Event.ID, Webhook: a.ID}, 1},
			{"from the second on", webhooks.ReplayQuery{Webhook: b.ID, From: at[1]}, 2},
			{"before the first", webhooks.ReplayQuery{To: at[0]}, 0},
			{"the one before the second", webhooks.ReplayQuery{To: at[1]}, 1}, // the other is due
		} {
			n, err := core.Webhooks.Replay(t.Context(), account, test.q)
			if err != nil || n != test.want {
				t.Errorf("%s: replayed %d, want %d, %v", test.name, n, test.want, err)
			}
		}
		other, err := core.Accounts.Create(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		if n, err := core.Webhooks.Replay(t.Context(), other.ID, webhooks.ReplayQuery{}); err != nil || n != 0 {
			t.Errorf("another account replayed %d, %v", n, err)
		}
		if got := len(imagestest.Claim(t, core, a)); got != 1 {
			t.Errorf("%d are due for a, want 1", got)
		}
		if got := len(imagestest.Claim(t, core, b)); got != 3 {
			t.Errorf("%d are due for b, want 3", got)
		}
	})
}

func TestEventsAreForgotten(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		stream, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil)
		if err != nil {
			t.Fatal(err)
		}
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		imagestest.Complete(t, core, imagestest.Attempt(imagestest.Claim(t, core, w)[0], 500))
		clock.Forward(29 * 24 * time.Hour)
		young := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		if _, err := core.Webhooks.Stream(t.Context(), account, "laptop"); err != nil {
			t.Fatal(err)
		}
		clock.Forward(25 * time.Hour)
		if err := core.Webhooks.DeleteOldEvents(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, to := range []webhooks.Webhook{w, stream} {
			all := imagestest.Claim(t, core, to)
			if len(all) != 1 || all[0].Event.Facts.ID != young.ID {
				t.Errorf("left is %+v", all)
			}
		}
		if _, total, err := core.Webhooks.History(t.Context(), account, webhooks.HistoryQuery{Most: 1}); err != nil ||
			total != 0 {
			t.Errorf("the history has %d attempts, %v", total, err)
		}
		clock.Forward(8 * 24 * time.Hour)
		if err := core.Webhooks.EndStreams(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = core.Webhooks.Stream(t.Context(), account, "laptop")
		imagestest.WantKind(t, err, errs.WebhookNotFound)
		if counts, err := core.Webhooks.Counts(t.Context()); err != nil || counts.Pending != 1 {
			t.Errorf("the outbox holds %+v, %v: deliveries of a deleted stream are left", counts, err)
		}
	})
}
