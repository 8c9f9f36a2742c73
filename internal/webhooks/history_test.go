package webhooks_test

import (
	"fmt"
	"slices"
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// TestHistoryIsRead in pieces of any size, up to what does not fit.
func TestHistoryIsRead(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		w := imagestest.Webhook(t, core)
		for range 5 {
			imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		}
		for range 5 {
			for _, d := range imagestest.Claim(t, core, w) {
				imagestest.Complete(t, core, imagestest.Attempt(d, 200))
			}
			if _, err := core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{Webhook: w.ID}); err != nil {
				t.Fatal(err)
			}
		}
		key := func(h webhooks.HistoryEntry) string {
			return fmt.Sprint(h.Attempt.EventID, h.Attempt.Number)
		}
		var order []string
		for _, rows := range []int{100, 1, 3, 25} {
			core.Webhooks.SetHistoryRows(rows)
			for _, most := range []int{100, 1, 4, 25} {
				var got []string
				for len(got) < 25 {
					all, total, err := core.Webhooks.History(t.Context(), account,
						webhooks.HistoryQuery{Most: most, Skip: len(got)})
					if err != nil || total != 25 || len(all) == 0 || len(all) > most {
						t.Fatalf("%d of %d, %v", len(all), total, err)
					}
					for _, h := range all {
						got = append(got, key(h))
					}
				}
				if order == nil {
					order = got
				}
				if !slices.Equal(got, order) {
					t.Errorf("%d rows at once, pages of %d: got %v\nwant %v", rows, most, got, order)
				}
			}
			asked := 0
			all, _, err := core.Webhooks.History(t.Context(), account, webhooks.HistoryQuery{Most: 20,
				Fits: func(webhooks.HistoryEntry) bool { asked++; return asked < 8 }})
			if err != nil || len(all) != 7 || asked != 8 {
				t.Errorf("%d attempts, %d were asked of, %v", len(all), asked, err)
			}
		}
	})
}
