package listing_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

// writer makes changes beside the images of a listing as fast as it can: it inserts images with times before,
// between and after theirs, like overtaking commits and imports, completes drafts, deletes images, and rewrites
// the metadata of the listed images.
type writer struct {
	core    *imagestest.Core
	walked  []images.Image
	commits atomic.Int64
}

func (w *writer) run(ctx context.Context, t *testing.T, seed uint64) error {
	r := rand.New(rand.NewPCG(seed, 1))
	var own []images.Image
	for ctx.Err() == nil {
		meta := json.RawMessage(fmt.Sprintf(`{"kind":"walked","n":%d}`, r.IntN(10)))
		d := images.NewDraft{Meta: meta, Creator: imagestest.Ptr("walker")}
		inserted, err := upload(t, w.core, account, d)
		if err != nil {
			return err
		}
		w.commits.Add(1)
		_, ticket, err := w.core.CreateDraft(t.Context(), account, d)
		if err != nil {
			return err
		}
		finished, err := imagestest.Post(t.Context(), w.core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
		if err != nil {
			return err
		}
		w.commits.Add(1)
		own = append(own, inserted, finished)
		if len(own) > 40 {
			i := r.IntN(len(own))
			if err := w.core.DeleteImage(t.Context(), account, own[i].ID); err != nil {
				return err
			}
			w.commits.Add(1)
			own = slices.Delete(own, i, i+1)
		}
		edit := images.Edit{Meta: &meta}
		if _, err := w.core.EditImage(t.Context(), account,
			w.walked[r.IntN(len(w.walked))].ID, edit); err != nil {
			return err
		}
		w.commits.Add(1)
	}
	return nil
}

// TestWalksMissNothing walks lists while others write: each image that was there before must be
// listed once, and walkList sees that none is listed twice.
func TestWalksMissNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: walks lists beside writers")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		start := clock.Now()
		w := &writer{core: core}
		for i := range 100 {
			clock.Forward(time.Duration(i%2) * time.Millisecond) // two at each moment
			d := images.NewDraft{Meta: json.RawMessage(`{"kind":"walked","n":1}`), Creator: imagestest.Ptr("walker")}
			img, err := upload(t, core, account, d)
			if err != nil {
				t.Fatal(err)
			}
			w.walked = append(w.walked, img)
		}
		core.Lists.SetScanned(15)
		core.Lists.SetRead(5)
		core.SetNow(func() time.Time {
			return start.Add(time.Duration(rand.IntN(300)-100) * time.Millisecond)
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 2)
		for i := range cap(ended) {
			go func() { ended <- w.run(ctx, t, uint64(i)) }()
		}
		for i := range 12 {
			w.walk(t, i)
		}
		stop()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

// every returns a question to which the answer is no every nth time.
func every(n int) func(images.Image) bool {
	asked := 0
	return func(images.Image) bool {
		asked++
		return asked%n != 0
	}
}

// walk walks one of the lists that hold all images of w.
func (w *writer) walk(t *testing.T, i int) {
	t.Helper()
	kind, n := condition{"kind", "eq", "walked"}.filter(t), condition{"n", "gte", "0"}.filter(t)
	q := [...]listing.Query{{}, {Creator: imagestest.Ptr("walker")}, {Meta: []listing.Filter{kind}},
		{Meta: []listing.Filter{n}}, {Meta: []listing.Filter{kind, n}},
		{Meta: []listing.Filter{kind}, Creator: imagestest.Ptr("walker")}}[i/2]
	q.Limit, q.Ascending, q.Fits = 7, i%2 == 0, every(7)
	listed, pages := walkList(t, w.core, q, func() {
		// A writer commits between any two pages.
		for before := w.commits.Load(); w.commits.Load() == before; {
			time.Sleep(time.Millisecond)
			if t.Context().Err() != nil {
				return
			}
		}
	})
	for _, img := range w.walked {
		if !slices.Contains(listed, img.ID) {
			t.Errorf("list %d (%d pages) misses an image that was there all the time", i, pages)
			return
		}
	}
}

// TestAPageLooksAtSoManyRows counts pages where nothing matches, and where little does.
func TestAPageLooksAtSoManyRows(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for i := range 100 {
			meta := json.RawMessage(fmt.Sprintf(`{"n":%d,"even":%v}`, i, i%2 == 0))
			if _, err := upload(t, core, account, images.NewDraft{Meta: meta}); err != nil {
				t.Fatal(err)
			}
		}
		core.Lists.SetScanned(20)
		for _, c := range []struct {
			filters      []condition
			found, pages int
		}{
			{[]condition{{"n", "gt", "1000"}}, 0, 6}, // the sixth finds the end
			{[]condition{{"n", "gte", "99"}}, 1, 6},
			{[]condition{{"n", "lt", "1"}}, 1, 6},
			{[]condition{{"even", "eq:boolean", "true"}, {"n", "in:number", "0|1|98"}}, 2, 3},
			{[]condition{{"n", "eq:number", "1000"}}, 0, 1},
			{[]condition{{"absent", "gt", "0"}}, 0, 1},
			{[]condition{{"n", "gte", "0"}}, 100, 6},
		} {
			for _, ascending := range []bool{false, true} {
				q := listing.Query{Limit: 1000, Ascending: ascending}
				for _, f := range c.filters {
					q.Meta = append(q.Meta, f.filter(t))
				}
				ids, pages := walkList(t, core, q, nothing)
				if len(ids) != c.found || pages != c.pages {
					t.Errorf("%v: %d images in %d pages, want %d in %d",
						c.filters, len(ids), pages, c.found, c.pages)
				}
			}
		}
	})
}
