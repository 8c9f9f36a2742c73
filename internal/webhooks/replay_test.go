package webhooks_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestReplaysAreBounded replays everything repeatedly: an account gets a limited number in an hour,
// those of the oldest events first, and then a Retry-After. Another account has a separate limit.
func TestReplaysAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		const hooks, events = 22, 50
		var last webhooks.Webhook
		for range hooks {
			last = imagestest.Webhook(t, core, webhooks.ImageUpdated)
		}
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		for i := range events {
			clock.Forward(1000)
			meta := json.RawMessage(fmt.Sprintf(`{"n":%d}`, i))
			if _, err := core.EditImage(t.Context(), account, img.ID, images.Edit{Meta: &meta}); err != nil {
				t.Fatal(err)
			}
		}
		sent := func() {
			_, err := core.DB.Exec(t.Context(), `UPDATE deliveries SET due = NULL, outcome = 'delivered'`)
			if err != nil {
				t.Fatal(err)
			}
		}
		sent()
		replay := func(want int, wantMore bool) {
			t.Helper()
			n, more, err := core.Webhooks.LimitedReplay(t.Context(), account, webhooks.ReplayQuery{})
			if err != nil || n != want || more != wantMore {
				t.Errorf("replayed %d, more %t, %v; want %d, %t", n, more, err, want, wantMore)
			}
			sent()
		}
		replay(webhooks.MaxReplays, true)
		_, _, err := core.Webhooks.LimitedReplay(t.Context(), account, webhooks.ReplayQuery{Webhook: last.ID})
		imagestest.WantKind(t, err, errs.RateLimited)
		again := errs.AsError(err).RetryAfter
		if again <= 0 || again > webhooks.ReplayWindow {
			t.Errorf("it may come again after %v", again)
		}
		if _, _, err := core.Webhooks.LimitedReplay(t.Context(), imagestest.Accounts(t, core, 1)[0], webhooks.ReplayQuery{}); err != nil {
			t.Errorf("another account: %v", err)
		}
		clock.Forward(again)
		replay(webhooks.MaxReplays/10, true)
		clock.Forward(webhooks.ReplayWindow)
		if n, more, err := core.Webhooks.LimitedReplay(t.Context(), account,
			webhooks.ReplayQuery{Webhook: last.ID}); err != nil || n != events || more {
			t.Errorf("of one webhook: %d, %t, %v", n, more, err)
		}
		sent()
		// However many ask at once.
		clock.Forward(webhooks.ReplayWindow)
		var wait sync.WaitGroup
		var mu sync.Mutex
		all := 0
		for range 8 {
			wait.Go(func() {
				n, _, err := core.Webhooks.LimitedReplay(t.Context(), account, webhooks.ReplayQuery{})
				if kind := errs.AsError(err).Kind; err != nil && kind != errs.Busy &&
					kind != errs.RateLimited {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				all += n
			})
		}
		wait.Wait()
		if all != webhooks.MaxReplays {
			t.Errorf("%d were replayed at once", all)
		}
		// The operator's own replay has no bound.
		sent()
		if n, err := core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{}); err != nil ||
			n != hooks*events {
			t.Errorf("replayed %d, %v", n, err)
		}
	})
}
