package images_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/webhooks"
)

// TestALimitDuringALink: an upload that a limit refuses uses no number, and the limit holds.
func TestALimitDuringALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		limit(t, core, "images", 6) // the open link counts as one
		made, ticket := link(t, core, 20, images.NewDraft{})
		race := func(n int) (accepted int64) {
			var wait sync.WaitGroup
			var won atomic.Int64
			for i := range n {
				body := imagestest.JPEG(t, i)
				wait.Go(func() {
					_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
					if err == nil {
						won.Add(1)
					} else if errs.AsError(err).Kind != errs.LimitReached {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			return won.Load()
		}
		if n := race(16); n != 5 {
			t.Errorf("%d uploads were accepted, want 5", n)
		}
		imagestest.CheckUsage(t, core)
		limit(t, core, "images", 9)
		if n := race(8); n != 3 {
			t.Errorf("then %d uploads were accepted, want 3", n)
		}
		if got := members(t, core, made.ID); !slices.Equal(got, numbered(made.ID, 1, 2, 3, 4, 5, 6, 7, 8)) {
			t.Errorf("the images are %v", got)
		}
		if left := blobs(t, core); len(left) != 8 {
			t.Errorf("%d originals are stored, want 8", len(left))
		}
		if state, err := core.Image(t.Context(), account, made.ID); err != nil || state.Ticket.Used != 8 {
			t.Errorf("the state is %+v, %v", state.Ticket, err)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestTheLastUseHasTheReservation: an account at its limit accepts the last use of each link, and no other one.
func TestTheLastUseHasTheReservation(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		_, ticket := link(t, core, 2, images.NewDraft{})
		use(t, core, ticket, 1)
		_, second := link(t, core, 2, images.NewDraft{})
		limit(t, core, "images", 3)
		limit(t, core, "bytes", usage(t, core).Bytes)
		wantUseRefused(t, core, second, errs.LimitReached)
		use(t, core, ticket, 2)
		wantUseRefused(t, core, second, errs.LimitReached) // two images and an open link
		imagestest.CheckUsage(t, core)
	})
}

// TestKeptRecordsOfALink: the events of a link's uploads do not fill the disk while no receiver takes them.
func TestKeptRecordsOfALink(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	runningClock(core)
	imagestest.Webhook(t, core)
	_, ticket := link(t, core, 1000, images.NewDraft{})
	limit(t, core, "kept", 10_000)
	most := refusedAfter(t, 40, func(i int) error {
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, i))
		return err
	})
	if most < 2 || most > 10 { // some 2,000 bytes each, up to twice the limit
		t.Errorf("%d uploads were accepted", most)
	}
	if got := usage(t, core).Kept; got > 2*10_000 {
		t.Errorf("%d bytes are kept", got)
	}
}

// TestEventsOfALink: one event for each image, with the link's id, and one for its expiry unless it is used up.
func TestEventsOfALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := runningClock(core)
		w := imagestest.Webhook(t, core, webhooks.EventTypes...)
		whole, ticket := link(t, core, 2, images.NewDraft{})
		some, other := link(t, core, 3, images.NewDraft{Creator: imagestest.Ptr("someone")})
		unused, _ := link(t, core, 4, images.NewDraft{})
		refused(t, core, other)
		one, two, three := use(t, core, ticket, 1), use(t, core, ticket, 2), use(t, core, other, 3)
		clock.Forward(time.Hour)
		if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
			t.Fatal(err)
		}
		all := imagestest.Claim(t, core, w)
		if got := imagestest.Types(all); got != "upload.failed unsupported, upload.succeeded, upload.succeeded, "+
			"upload.succeeded, draft.expired, draft.expired" {
			t.Fatalf("the events are %q", got)
		}
		if f := all[0].Event.Facts; f.ID != some.ID || f.Draft.Uses != 3 || f.Draft.Used != 0 || f.DraftID != "" {
			t.Errorf("the refusal is %+v", f)
		}
		for i, img := range []images.Image{one, two, three} {
			e := all[i+1].Event
			link := []string{whole.ID, whole.ID, some.ID}[i]
			if e.Image != img.Key || e.Facts.ID != img.ID || e.Facts.DraftID != link || e.Facts.Draft != nil {
				t.Errorf("the event of %s is %+v", img.ID, e)
			}
		}
		used := map[string]int{}
		for _, d := range all[4:] {
			used[d.Event.Facts.ID] = d.Event.Facts.Draft.Used
			if ticket := images.ImageOf(d.Event).Ticket; ticket.Used != d.Event.Facts.Draft.Used || ticket.Uses < 3 {
				t.Errorf("the event's ticket is %+v", ticket)
			}
		}
		if n, found := used[some.ID]; !found || n != 1 || len(used) != 2 || used[unused.ID] != 0 {
			t.Errorf("expired are %v", used)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestWaitForALink: a wait ends when the link is used up, or at the first use that the caller does not know.
func TestWaitForALink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := link(t, core, 3, images.NewDraft{})
		waitFor := func(known *int) chan waitedFor {
			ended := make(chan waitedFor, 1)
			go func() {
				img, err := core.WaitImage(t.Context(), account, made.ID, images.Wait{AtMost: time.Hour, Used: known})
				ended <- waitedFor{img, err}
			}()
			return ended
		}
		want := func(ended chan waitedFor, used int) {
			t.Helper()
			if got := <-ended; got.err != nil || !got.img.Draft || got.img.Ticket.Used != used {
				t.Errorf("got %+v, %v; want %d uses", got.img.Ticket, got.err, used)
			}
		}
		all, first, same := waitFor(nil), waitFor(imagestest.Ptr(0)), waitFor(imagestest.Ptr(0))
		until(t, func() bool { return core.Waiting() == 3 })
		use(t, core, ticket, 1)
		want(first, 1)
		want(same, 1)
		want(waitFor(imagestest.Ptr(0)), 1) // at once
		want(waitFor(imagestest.Ptr(3)), 1)
		next := waitFor(imagestest.Ptr(1))
		until(t, func() bool { return core.Waiting() == 2 })
		use(t, core, ticket, 2)
		want(next, 2)
		if n := core.Waiting(); n != 1 {
			t.Errorf("%d wait for the last use", n)
		}
		use(t, core, ticket, 3)
		want(all, 3)
		want(waitFor(nil), 3)
		want(waitFor(imagestest.Ptr(3)), 3)
	})
}

// TestErasuresRaceUsesOfALink: uploads, edits of the link's creator and erasures run at once. After the last erasure
// there is no image of a creator from an upload that began before.
func TestErasuresRaceUsesOfALink(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		core := cores[0]
		for round := range 12 {
			creators := []string{fmt.Sprint("a", round), fmt.Sprint("b", round)}
			made, ticket := link(t, core, 1000, images.NewDraft{Creator: &creators[0]})
			var wait sync.WaitGroup
			var ready sync.WaitGroup
			for i := range 4 {
				ready.Add(1)
				body := imagestest.JPEG(t, i)
				wait.Go(func() {
					u, err := cores[i%2].BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
					ready.Done()
					if err != nil {
						t.Error(err)
						return
					}
					defer u.Close()
					if _, err = u.Write(body); err == nil {
						_, err = u.Finish(t.Context(), "")
					}
					switch kind := errs.AsError(err).Kind; {
					case err == nil, kind == errs.TicketUnknown, kind == errs.Busy:
					default:
						t.Error(err)
					}
				})
			}
			ready.Wait()
			wait.Go(func() {
				for i := range 6 {
					_, err := core.EditImage(t.Context(), account, made.ID, images.Edit{Creator: ptrTo(&creators[(i+1)%2])})
					if err != nil && errs.AsError(err).Kind != errs.ImageNotFound {
						t.Error(err)
					}
				}
			})
			wait.Go(func() {
				time.Sleep(time.Duration(rand.IntN(8)) * time.Millisecond)
				for _, creator := range creators {
					if _, err := cores[1].Erase(t.Context(), account, images.ErasureQuery{Creator: creator}); err != nil {
						t.Error(err)
					}
				}
			})
			wait.Wait()
			for _, creator := range creators {
				plan, err := core.PlanErasure(t.Context(), account, images.ErasureQuery{Creator: creator})
				if err != nil || plan.Images != 0 {
					t.Errorf("round %d: %s has %d images after the erasure, %v", round, creator, plan.Images, err)
				}
			}
			if t.Failed() {
				return
			}
			// Either link or creator is left; the next round has others.
			if err := core.DeleteImage(t.Context(), account, made.ID); err != nil &&
				errs.AsError(err).Kind != errs.ImageNotFound {
				t.Fatal(err)
			}
		}
		imagestest.CheckUsage(t, core)
	})
}

func ptrTo[T any](v T) *T { return &v }

// TestErasureOfAnOpenLink erases the creator of a link with images, and refuses the upload that began before.
func TestErasureOfAnOpenLink(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		runningClock(core)
		made, ticket := link(t, core, 10, images.NewDraft{Creator: imagestest.Ptr("gone")})
		use(t, core, ticket, 1)
		use(t, core, ticket, 2)
		begun, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer begun.Close()
		r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		if r.Images != 2 || r.Drafts != 1 || r.Uploads != 1 || r.Ended.IsZero() {
			t.Errorf("the receipt is %+v", r)
		}
		_, err = begun.Write(imagestest.JPEG(t, 3))
		imagestest.WantKind(t, err, errs.TicketUnknown)
		wantUseRefused(t, core, ticket, errs.TicketUnknown)
		if got := members(t, core, made.ID); len(got) != 0 || len(blobs(t, core)) != 0 {
			t.Errorf("left are %v", got)
		}

		// A link that gets a creator who was erased during an upload refuses it, and accepts later ones.
		made, ticket = link(t, core, 10, images.NewDraft{})
		begun, err = core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket, Size: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer begun.Close()
		imagestest.Erase(t, core, images.ErasureQuery{Creator: "back"})
		edit(t, core, made.ID, images.Edit{Creator: ptrTo(imagestest.Ptr("back"))})
		if _, err := begun.Write(imagestest.JPEG(t, 4)); err != nil {
			t.Fatal(err)
		}
		_, err = begun.Finish(t.Context(), "")
		imagestest.WantKind(t, err, errs.TicketUnknown)
		if img := use(t, core, ticket, 5); img.ID != made.ID+"/1" || *img.Creator != "back" {
			t.Errorf("the later image is %+v", img)
		}
		if left := blobs(t, core); len(left) != 1 {
			t.Errorf("%d originals are left", len(left))
		}
	})
}

// TestDeletesRaceUses: a link is deleted during its uploads. Each accepted upload has its image, no other one has.
func TestDeletesRaceUses(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		core := cores[0]
		for round := range 10 {
			made, ticket := link(t, core, 6, images.NewDraft{ID: imagestest.Ptr(fmt.Sprint("link ", round))})
			var accepted atomic.Int64
			var wait sync.WaitGroup
			for i := range 8 {
				body := imagestest.JPEG(t, i)
				wait.Go(func() {
					_, err := imagestest.Post(t.Context(), cores[i%2], images.UploadRequest{Ticket: ticket}, body)
					switch kind := errs.AsError(err).Kind; {
					case err == nil:
						accepted.Add(1)
					case kind != errs.TicketUnknown && kind != errs.TicketUsed:
						t.Error(err)
					}
				})
			}
			wait.Go(func() {
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
				if err := core.DeleteImage(t.Context(), account, made.ID); err != nil {
					t.Error(err)
				}
			})
			wait.Wait()
			got := members(t, core, made.ID)
			if int64(len(got)) != accepted.Load() || !slices.ContainsFunc(append(got, "/1"), func(id string) bool {
				return strings.HasSuffix(id, fmt.Sprint("/", max(1, len(got))))
			}) {
				t.Errorf("%d uploads were accepted, and the images are %v", accepted.Load(), got)
			}
			if got := usage(t, core); got.Drafts != 0 {
				t.Errorf("after the deletion: %+v", got)
			}
		}
		imagestest.CheckUsage(t, core)
		if n := len(blobs(t, core)); int64(n) != usage(t, core).Images {
			t.Errorf("%d originals of %d images", n, usage(t, core).Images)
		}
	})
}
