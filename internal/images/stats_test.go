package images_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

func stats(t *testing.T, core *imagestest.Core) images.Stats {
	t.Helper()
	s, err := core.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestTicketCounts: each draft is in one state, and an image in none.
func TestTicketCounts(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		clock := imagestest.NewClock()
		core := imagestest.Open(t, images.Config{Now: clock.Now}, dsn)
		want := func(what string, open, refused, expired int64) {
			t.Helper()
			got, err := core.TicketCounts(t.Context())
			want := images.TicketCounts{Open: open, Refused: refused, Expired: expired}
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", what, got, err, want)
			}
		}
		want("none", 0, 0, 0)
		imagestest.Draft(t, core, images.NewDraft{})
		_, dead := imagestest.Draft(t, core, images.NewDraft{})
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		want("two drafts and an image", 2, 0, 0)
		for i := range 10 {
			_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: dead},
				fmt.Appendf(nil, "no picture %d", i))
			imagestest.WantKind(t, err, errs.Unsupported)
		}
		want("one refused", 1, 1, 0)
		clock.Forward(time.Hour)
		want("both expired", 0, 0, 2)
	})
}

func TestCountUpload(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	for _, err := range []error{
		nil, nil, errs.Errorf(errs.TicketUsed, "used"), errors.New("unforeseen"),
		&errs.Error{Kind: errs.Busy, Err: errors.New("cause")},
	} {
		core.CountUpload("", err)
	}
	s := stats(t, core)
	if s.Accepted != 2 || s.Refused[errs.TicketUsed] != 1 || s.Refused[errs.Internal] != 1 ||
		s.Refused[errs.Busy] != 1 || s.Refused[errs.Undecodable] != 0 ||
		len(s.Refused) != int(errs.KindCount) {
		t.Errorf("%+v", s)
	}
}

// TestRepeatsAreCounted: the same key and bytes, and only they.
func TestRepeatsAreCounted(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	_, ticket := imagestest.Draft(t, core, images.NewDraft{})
	r := images.UploadRequest{Ticket: ticket, IdempotencyKey: "key"}
	for want := range int64(3) {
		if _, err := imagestest.Post(t.Context(), core, r, imagestest.JPEG(t, 1)); err != nil {
			t.Fatal(err)
		}
		if got := stats(t, core).Repeats; got != want {
			t.Errorf("%d repeats, want %d", got, want)
		}
	}
	_, err := imagestest.Post(t.Context(), core, r, imagestest.JPEG(t, 2))
	imagestest.WantKind(t, err, errs.TicketUsed)
	if got := stats(t, core).Repeats; got != 2 {
		t.Errorf("%d repeats with another file", got)
	}
}

// TestDiskStats: a body in progress has reserved bytes of the spool, and an image none.
func TestDiskStats(t *testing.T) {
	t.Parallel()
	core := imagestest.Open(t, images.Config{SpoolBytes: 1 << 30}, filepath.Join(t.TempDir(), "calotype.db"))
	want := func(reserved bool) {
		t.Helper()
		s := stats(t, core)
		if s.DiskFree <= 0 || s.DiskFree > s.DiskSize || s.DiskReserve != 1 || s.SpoolLimit != 1<<30 ||
			s.SpoolReserved > 0 != reserved {
			t.Errorf("%+v", s)
		}
	}
	want(false)
	body, err := core.BeginImage(account, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Write(imagestest.JPEG(t, 1)); err != nil {
		t.Fatal(err)
	}
	want(true)
	body.Close()
	want(false)
}

// TestStagesAreTimed: the core reports the stages beside the pool's.
func TestStagesAreTimed(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	core := imagestest.Open(t, images.Config{
		Timer: func(pool, stage string, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, pool+" "+stage)
		},
	}, filepath.Join(t.TempDir(), "calotype.db"))
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	for range 2 { // the second one is in the cache
		rendition, err := core.Renditions.Rendition(t.Context(), imagestest.Resolve(t, core, img.ID), imagefile.JPEG)
		if err != nil {
			t.Fatal(err)
		}
		rendition.Content.Close()
	}
	u, err := core.BeginImage(account, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(imagestest.JPEG(t, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Create(t.Context(), "", images.NewDraft{}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"uploads spool", "uploads store", "uploads commit", "renditions fetch", "renditions insert",
		"uploads spool", "uploads store", "uploads commit",
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
