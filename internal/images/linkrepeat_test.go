package images_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// TestRepeatedUses: a repeat gets the image of its first request, whichever uses came after it.
func TestRepeatedUses(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		expiry := clock.Now().Add(6 * time.Hour)
		made, ticket := link(t, core, 4, images.NewDraft{Expiry: &expiry})
		post := func(key string, seed int) (images.Image, error) {
			return imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket, IdempotencyKey: key},
				imagestest.JPEG(t, seed))
		}
		var first []images.Image
		for i := range 3 {
			img, err := post(fmt.Sprint("key ", i), i)
			if err != nil {
				t.Fatal(err)
			}
			first = append(first, img)
			clock.Forward(time.Minute)
		}
		repeated := func(i int) {
			t.Helper()
			img, err := post(fmt.Sprint("key ", i), i)
			if err != nil || img.Key != first[i].Key || img.ID != first[i].ID {
				t.Errorf("repeat %d: %s, %v; want %s", i, img.ID, err, first[i].ID)
			}
		}
		for i := range first {
			repeated(i)
		}
		// Another file under a used key is refused. Equal bytes without a key are another image.
		_, err := post("key 1", 7)
		imagestest.WantKind(t, err, errs.TicketUsed)
		if !strings.Contains(err.Error(), "Idempotency-Key") {
			t.Errorf("another file under a used key: %v", err)
		}
		if img := use(t, core, ticket, 0); img.ID != made.ID+"/4" {
			t.Errorf("equal bytes without a key made %s", img.ID)
		}
		// A used-up link still repeats its answers, for an hour each.
		_, err = post("another", 9)
		imagestest.WantKind(t, err, errs.TicketUsed)
		clock.Forward(57 * time.Minute) // the first image is an hour old
		for i := range first {
			repeated(i)
		}
		clock.Forward(time.Second)
		_, err = post("key 0", 0)
		imagestest.WantKind(t, err, errs.TicketUsed)
		repeated(1)
		if left := blobs(t, core); len(left) != 4 {
			t.Errorf("%d originals are stored, want 4", len(left))
		}
		if got := members(t, core, made.ID); !slices.Equal(got, numbered(made.ID, 1, 2, 3, 4)) {
			t.Errorf("the images are %v", got)
		}
	})
}

// TestRacingRepeatsOfUses sends each of 4 requests to a link 8 times at once, at two nodes.
func TestRacingRepeatsOfUses(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		cores := nodes(t, 2, dsn, images.Config{})
		made, ticket := link(t, cores[0], 10, images.NewDraft{})
		ids := make([]sync.Map, 4)
		var wait sync.WaitGroup
		for i := range 32 {
			seed := i % 4
			body := imagestest.JPEG(t, 0) // equal bytes: the keys are different
			wait.Go(func() {
				img, err := imagestest.Post(t.Context(), cores[i/4%2], images.UploadRequest{Ticket: ticket,
					IdempotencyKey: fmt.Sprint("key ", seed)}, body)
				if err != nil {
					t.Error(err)
				}
				ids[seed].Store(img.ID, true)
			})
		}
		wait.Wait()
		for i := range ids {
			n := 0
			ids[i].Range(func(any, any) bool { n++; return true })
			if n != 1 {
				t.Errorf("the repeats of request %d have %d images", i, n)
			}
		}
		if got := members(t, cores[0], made.ID); !slices.Equal(got, numbered(made.ID, 1, 2, 3, 4)) {
			t.Errorf("the images are %v", got)
		}
		if left := blobs(t, cores[0]); len(left) != 4 {
			t.Errorf("%d originals are stored, want 4", len(left))
		}
		imagestest.CheckUsage(t, cores[0])
	})
}
