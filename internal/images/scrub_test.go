package images_test

import (
	"fmt"
	"testing"
	"time"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// TestErasuresInARowRebuildOnce erases 50 creators with a draft each, and runs the job after each
// erasure: the database is rebuilt at its time of day, for all of them, and not again.
func TestErasuresInARowRebuildOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: erases fifty creators")
	}
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock() // at noon
	core.SetNow(clock.Now)
	core.SetRebuildAt(3 * time.Hour)
	scrub := func(want int64) {
		t.Helper()
		if err := core.Scrub(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := core.Rebuilds(); n != want {
			t.Fatalf("the database was rebuilt %d times, want %d", n, want)
		}
	}
	var last images.ErasureQuery
	for i := range 50 {
		last = images.ErasureQuery{Creator: fmt.Sprint("gone ", i)}
		imagestest.Draft(t, core, images.NewDraft{Creator: &last.Creator})
		if r := imagestest.Erase(t, core, last); r.Drafts != 1 || r.Scrubbed {
			t.Fatalf("the receipt is %+v", r)
		}
		scrub(0)
		clock.Forward(10 * time.Second)
	}
	night := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	again := func() images.Receipt {
		t.Helper()
		r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone 49"})
		return r
	}
	clock.Set(night.Add(-time.Second))
	scrub(0)
	clock.Set(night)
	scrub(1)
	for range 50 {
		imagestest.Draft(t, core, images.NewDraft{Creator: &last.Creator})
		if r := again(); r.Scrubbed || !r.Rebuild.Equal(night.Add(24*time.Hour)) {
			t.Fatalf("the receipt is %+v", r)
		}
		clock.Forward(10 * time.Second)
		scrub(1)
	}
	// An operator need not wait.
	if done, err := core.ScrubNow(t.Context()); err != nil || !done {
		t.Fatalf("done %v, %v", done, err)
	}
	scrub(2)
	clock.Forward(24 * time.Hour)
	scrub(2)
}

// TestErasuresAreKeptUntilScrubbed: what is to be scrubbed is not forgotten, nor what a client left
// half-way.
func TestErasuresAreKeptUntilScrubbed(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	imagestest.Draft(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")})
	imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
	_, err := core.DB.Exec(t.Context(), `UPDATE erasures SET ended = NULL`)
	if err != nil {
		t.Fatal(err)
	}
	forget := func(want int) {
		t.Helper()
		if err := core.ForgetDeletions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := imagestest.Count(t, core, "erasures"); n != want {
			t.Fatalf("%d erasures are kept, want %d", n, want)
		}
	}
	clock.Forward(49 * time.Hour)
	forget(1)
	clock.Forward(24 * time.Hour)
	if err := core.Scrub(t.Context()); err != nil || core.Rebuilds() != 1 {
		t.Fatalf("rebuilt %d times, %v", core.Rebuilds(), err)
	}
	forget(0)
	imagestest.CheckUsage(t, core)
}

// TestWhatOnlyEventsHoldIsScrubbed: the log of the database is truncated also after an erasure that finds no
// image, only events of deleted ones, and after the deletions of a webhook's deliveries.
func TestWhatOnlyEventsHoldIsScrubbed(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	scrub := func() {
		t.Helper()
		if err := core.Scrub(t.Context()); err != nil || core.ScrubDue() {
			t.Fatalf("after a scrub another one is due: %v", err)
		}
	}
	stream, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	q := images.ErasureQuery{Creator: "gone"}
	img, _ := imagestest.Draft(t, core, images.NewDraft{Creator: &q.Creator})
	if err := core.DeleteImage(t.Context(), account, img.ID); err != nil {
		t.Fatal(err)
	}
	scrub()
	if r := imagestest.Erase(t, core, q); r.Images+r.Drafts != 0 || !core.ScrubDue() {
		t.Errorf("after the erasure of events, with the receipt %+v, no scrub is due", r)
	}
	scrub()
	if err := core.Webhooks.Delete(t.Context(), account, stream.ID); err != nil || !core.ScrubDue() {
		t.Errorf("after the deletion of a stream no scrub is due: %v", err)
	}
}

// TestDeletionsAreScrubbed: whatever deletes rows with secrets or personal data has the database scrubbed.
func TestDeletionsAreScrubbed(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	other := imagestest.Accounts(t, core, 1)[0]
	if _, err := core.Webhooks.OpenStream(t.Context(), account, "laptop", nil); err != nil {
		t.Fatal(err)
	}
	imagestest.Draft(t, core, images.NewDraft{Creator: imagestest.Ptr("someone")})
	clock.Forward(24 * time.Hour)
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"a signing key", func() error { return core.Accounts.DeleteSigningKey(t.Context(), account, "default") }},
		{"an account without images", func() error {
			_, err := core.DeleteAccount(t.Context(), other)
			return err
		}},
		{"expired drafts", func() error {
			if err := core.ReleaseExpiredDrafts(t.Context()); err != nil {
				return err
			}
			clock.Forward(48 * time.Hour)
			return core.DeleteExpiredDrafts(t.Context())
		}},
		{"old events", func() error {
			clock.Forward(31 * 24 * time.Hour)
			return core.Webhooks.DeleteOldEvents(t.Context())
		}},
	} {
		if err := core.Scrub(t.Context()); err != nil || core.ScrubDue() {
			t.Fatalf("after a scrub another one is due: %v", err)
		}
		if err := c.do(); err != nil || !core.ScrubDue() {
			t.Errorf("after the deletion of %s no scrub is due: %v", c.what, err)
		}
	}
}
