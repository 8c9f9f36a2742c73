package images_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/webhooks"
)

// openStreams opens streams without claims.
func openStreams(t *testing.T, core *imagestest.Core, n int) (all []webhooks.Webhook) {
	t.Helper()
	for i := range n {
		w, err := core.Webhooks.OpenStream(t.Context(), account, fmt.Sprint("stream ", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	return all
}

func editMeta(t *testing.T, core *imagestest.Core, id string, i int) error {
	t.Helper()
	meta := json.RawMessage(fmt.Sprintf(`{"edit":%d}`, i))
	_, err := core.EditImage(t.Context(), account, id, images.Edit{Meta: &meta})
	return err
}

// refusedAfter calls fn until it is refused, and returns how often it was not.
func refusedAfter(t *testing.T, most int, fn func(i int) error) (n int) {
	t.Helper()
	for i := range most {
		if err := fn(i); err != nil {
			imagestest.WantKind(t, err, errs.LimitReached)
			return i
		}
	}
	t.Fatalf("it was never refused, %d times", most)
	return 0
}

// TestEditsEndAtTheKeptLimit has streams without claims, and edits: requests that add rows are refused, uploads
// and deletions are not, and have their events.
func TestEditsEndAtTheKeptLimit(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const most = 100_000
		limit(t, core, "kept", most)
		streams := openStreams(t, core, 3)
		kept := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		gone := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 2))
		_, ticket := imagestest.Draft(t, core, images.NewDraft{})
		_, refused := imagestest.Draft(t, core, images.NewDraft{})
		events := imagestest.Count(t, core, "events")
		edits := refusedAfter(t, 100, func(i int) error { return editMeta(t, core, kept.ID, i) })
		if n := imagestest.Count(t, core, "events"); n != events+edits || edits < 10 {
			t.Errorf("%d edits, %d events after %d", edits, n, events)
		}
		if got := usage(t, core).Kept; got > most {
			t.Errorf("%d bytes are kept, over the limit of %d", got, most)
		}
		var err error
		for range 2 { // what an open draft counts may be less than what an edit adds
			_, _, err = core.CreateDraft(t.Context(), account, images.NewDraft{})
		}
		imagestest.WantKind(t, err, errs.LimitReached)
		if !strings.Contains(err.Error(), "100000 bytes of events") {
			t.Errorf("it says %v", err)
		}
		_, err = core.Webhooks.Replay(t.Context(), account, webhooks.ReplayQuery{})
		imagestest.WantKind(t, err, errs.LimitReached)
		_, err = core.Webhooks.OpenStream(t.Context(), account, "one more", nil)
		imagestest.WantKind(t, err, errs.LimitReached)
		address := imagestest.Ptr("https://example.com/")
		for _, add := range []func() error{
			func() error {
				_, err := core.Webhooks.Create(t.Context(), account, webhooks.WebhookChange{
					Name: imagestest.Ptr("one more"), URL: address}, nil)
				return err
			},
			func() error {
				_, err := core.Webhooks.Add(t.Context(), account, webhooks.WebhookChange{
					Name: imagestest.Ptr("one more"), URL: address}, nil)
				return err
			},
		} {
			imagestest.WantKind(t, add(), errs.LimitReached)
		}
		// A receiver that comes back may take what waits for it.
		openStreams(t, core, 1)

		events = imagestest.Count(t, core, "events")
		_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: refused}, []byte("no picture"))
		imagestest.WantKind(t, err, errs.Unsupported)
		made, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 3))
		if err != nil {
			t.Fatal(err)
		}
		if err := core.DeleteImage(t.Context(), account, made.ID); err != nil {
			t.Fatal(err)
		}
		if r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"}); r.Images != 1 {
			t.Errorf("the receipt is %+v", r)
		}
		if n := imagestest.Count(t, core, "events"); n != events+4-1 { // none of the erased image's upload
			t.Errorf("%d events after %d", n, events)
		}
		_, err = core.Image(t.Context(), account, gone.ID)
		imagestest.WantKind(t, err, errs.ImageNotFound)
		imagestest.CheckUsage(t, core)

		for _, w := range streams {
			if err := core.Webhooks.Delete(t.Context(), account, w.ID); err != nil {
				t.Fatal(err)
			}
		}
		if n := imagestest.Count(t, core, "events") + imagestest.Count(t, core, "deliveries"); n != 0 {
			t.Errorf("%d rows are left of the streams", n)
		}
		if err := editMeta(t, core, kept.ID, 0); err != nil {
			t.Error(err)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestDraftsReserveTheirEvents: drafts are refused where the events of all open drafts would reach the limit.
func TestDraftsReserveTheirEvents(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		limit(t, core, "kept", 10*(2048+768))
		for range 12 { // without subscribers
			imagestest.Draft(t, core, images.NewDraft{})
		}
		address := imagestest.Ptr("https://example.com/")
		_, err := core.Webhooks.Add(t.Context(), account,
			webhooks.WebhookChange{Name: imagestest.Ptr("hook"), URL: address}, nil)
		imagestest.WantKind(t, err, errs.LimitReached)
		limit(t, core, "kept", 20*(2048+768))
		imagestest.Webhook(t, core)
		if n := refusedAfter(t, 20, func(int) error {
			_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
			return err
		}); n != 8 {
			t.Errorf("%d drafts were made, want 8", n)
		}
	})
}

// TestTombstonesAreBounded creates and deletes images in each way, and erases unknown creators.
func TestTombstonesAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const most = 10 * 512
		limit(t, core, "kept", most)
		loop := func(i int) error {
			img, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{})
			if err != nil {
				return err
			}
			return core.DeleteImage(t.Context(), account, img.ID)
		}
		if n := refusedAfter(t, 30, loop); n != 11 {
			t.Errorf("%d drafts were made and deleted, want 11", n)
		}
		body := imagestest.JPEG(t, 1)
		stays, err := imagestest.Create(t, core, account, images.NewDraft{Creator: imagestest.Ptr("known")}, body)
		if err != nil {
			t.Fatal(err)
		}
		if n := refusedAfter(t, 30, func(i int) error {
			img, err := imagestest.Create(t, core, account, images.NewDraft{}, body)
			if err != nil {
				return err
			}
			return core.DeleteImage(t.Context(), account, img.ID)
		}); n != 10 {
			t.Errorf("%d images were made and deleted, want 10", n)
		}
		if len(blobs(t, core)) != 1 {
			t.Error("an original of no row is left")
		}
		_, err = core.Erase(t.Context(), account, images.ErasureQuery{Creator: "unknown"})
		imagestest.WantKind(t, err, errs.LimitReached)
		if r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "known"}); r.Images != 1 {
			t.Errorf("the receipt is %+v", r)
		}
		_, err = core.Image(t.Context(), account, stays.ID)
		imagestest.WantKind(t, err, errs.ImageNotFound)
		imagestest.CheckUsage(t, core)
	})
}

// TestErasuresOfNobodyAreBounded: each leaves a row for two days.
func TestErasuresOfNobodyAreBounded(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		limit(t, core, "kept", 10*512)
		order := func(i int) error {
			_, err := core.Erase(t.Context(), account,
				images.ErasureQuery{Creator: fmt.Sprint("unknown ", i)})
			return err
		}
		if n := refusedAfter(t, 30, order); n != 20 {
			t.Errorf("%d orders were taken, want 20", n)
		}
		if err := order(0); err != nil {
			t.Errorf("an order that is known: %v", err)
		}
		clock.Forward(49 * time.Hour)
		if err := core.ForgetDeletions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := usage(t, core).Kept; got != 0 {
			t.Errorf("%d bytes are kept after two days", got)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestEndedEventsMakeRoom: what has been delivered goes before anything is refused, the oldest
// first; what waits stays, and the last attempt of it.
func TestEndedEventsMakeRoom(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := imagestest.Webhook(t, core)
		for i := range 8 {
			imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
			clock.Forward(time.Second)
		}
		all := imagestest.Claim(t, core, w)
		waits := all[0]
		imagestest.Complete(t, core, imagestest.Attempt(waits, 500))
		for _, d := range all[1:] {
			imagestest.Complete(t, core, imagestest.Attempt(d, 200))
		}
		for range 3 {
			clock.Forward(3 * time.Hour)
			imagestest.Complete(t, core, imagestest.Attempt(imagestest.Claim(t, core, w)[0], 500))
		}
		before := usage(t, core).Kept
		for _, c := range []struct {
			limit            int64
			events, attempts int
		}{
			{before * 3, 8, 11}, {before * 5 / 4, 5, 8}, {4096, 1, 1},
		} {
			limit(t, core, "kept", c.limit)
			if err := core.Webhooks.TrimKept(t.Context()); err != nil {
				t.Fatal(err)
			}
			events, attempts := imagestest.Count(t, core, "events"), imagestest.Count(t, core, "delivery_attempts")
			if c.events > 1 && (events > c.events || events < c.events-1) ||
				c.events == 1 && (events != 1 || attempts != 1) {
				t.Errorf("with the limit %d of %d bytes there are %d events and %d attempts, want %+v",
					c.limit, before, events, attempts, c)
			}
			imagestest.CheckUsage(t, core)
		}
		clock.Forward(20 * time.Hour)
		if all := imagestest.Claim(t, core, w); len(all) != 1 || all[0].Event.ID != waits.Event.ID {
			t.Errorf("what waits is %+v", all)
		}
	})
}

// TestStreamsEnd: a stream without claims is deleted after an hour if too many events wait for it, and after a
// week in any case.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		all := openStreams(t, core, 3)
		imagestest.FillOutbox(t, core, all[0], 10_001)
		imagestest.FillOutbox(t, core, all[1], 10_000)
		there := func(want ...string) {
			t.Helper()
			if err := core.Webhooks.EndStreams(t.Context()); err != nil {
				t.Fatal(err)
			}
			left, err := core.Webhooks.Streams(t.Context(), account)
			if err != nil || len(left) != len(want) {
				t.Fatalf("there are %+v, %v, want %q", left, err, want)
			}
		}
		clock.Forward(59 * time.Minute)
		there("stream 0", "stream 1", "stream 2")
		clock.Forward(2 * time.Minute)
		there("stream 1", "stream 2")
		if n := imagestest.Count(t, core, "deliveries"); n != 10_000 {
			t.Errorf("%d deliveries are left", n)
		}
		if n := imagestest.Count(t, core, "events"); n != 10_000 {
			t.Errorf("%d events are left", n)
		}
		if _, err := core.Webhooks.Stream(t.Context(), account, "stream 1"); err != nil {
			t.Fatal(err)
		}
		clock.Forward(7 * 24 * time.Hour)
		if _, err := core.Webhooks.Stream(t.Context(), account, "stream 1"); err != nil {
			t.Fatal(err)
		}
		there("stream 1")
	})
}

// TestEditsCountByTheMinute: edits, deletions and erasures have a rate together.
func TestEditsCountByTheMinute(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		var ids []string
		for range 6 {
			img, _ := imagestest.Draft(t, core, images.NewDraft{})
			ids = append(ids, img.ID)
		}
		limit(t, core, "edits", 3)
		for i, c := range []struct {
			later time.Duration
			do    func(id string) error
			fine  bool
		}{
			{0, func(id string) error { return editMeta(t, core, id, 1) }, true},
			{0, func(id string) error { return core.DeleteImage(t.Context(), account, id) }, true},
			{0, func(string) error {
				_, err := core.Erase(t.Context(), account, images.ErasureQuery{Creator: "unknown"})
				return err
			}, true},
			{0, func(id string) error { return editMeta(t, core, id, 1) }, false},
			{59 * time.Second, func(id string) error {
				return core.DeleteImage(t.Context(), account, id)
			}, false},
			{time.Second, func(id string) error { return core.DeleteImage(t.Context(), account, id) }, true},
		} {
			clock.Forward(c.later)
			err := c.do(ids[i])
			if (err == nil) != c.fine {
				t.Errorf("%d: %v", i, err)
			}
			if err != nil {
				imagestest.WantKind(t, err, errs.LimitReached)
			}
		}
		// What was refused was not done.
		if _, err := core.Image(t.Context(), account, ids[4]); err != nil {
			t.Error(err)
		}
	})
}

// TestRecount: rows of a release that counted none are counted within a day, by one of the nodes.
func TestRecount(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		w := openStreams(t, core, 1)[0]
		imagestest.FillOutbox(t, core, w, 50)
		_, err := core.DB.Exec(t.Context(), `UPDATE accounts SET kept_counted = 0`)
		if err != nil {
			t.Fatal(err)
		}
		img, _ := imagestest.Draft(t, core, images.NewDraft{})
		done := make(chan error)
		for range 4 {
			go func() { done <- core.Accounts.RecountKept(t.Context()) }()
		}
		for i := range 20 {
			if err := editMeta(t, core, img.ID, i); err != nil {
				t.Error(err)
			}
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		imagestest.CheckUsage(t, core)
	})
}
