package images_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb/sqldbtest"
)

// orphan puts an original of no row into the store.
func orphan(t *testing.T, core *imagestest.Core, day time.Time, n int) string {
	t.Helper()
	f, err := os.Create(filepath.Join(core.Dir, "spool", "orphan"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	name := []byte(strings.Repeat("a", 26))
	for i := 25; n > 0; i, n = i-1, n/26 {
		name[i] = byte('a' + n%26)
	}
	key := fmt.Sprintf("%s/%s", day.UTC().Format("20060102"), name)
	if err := core.Blobs.Put(t.Context(), key, f, 0); err != nil {
		t.Fatal(err)
	}
	return key
}

func sweep(t *testing.T, core *imagestest.Core, o images.SweepOptions) images.SweepReport {
	t.Helper()
	report, err := core.Sweep(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestTheSweepTakesOldOrphansOnly(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		now := time.Now()
		clock := imagestest.NewClock()
		clock.Set(now.Add(-72 * time.Hour))
		core.SetNow(clock.Now)
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		clock.Set(now)
		old, young := orphan(t, core, now.Add(-72*time.Hour), 1), orphan(t, core, now.Add(-24*time.Hour), 2)
		foreign := "foreign/x.jpg"
		put(t, core, foreign)

		report := sweep(t, core, images.SweepOptions{})
		if !report.Held || report.Deleted != 0 || report.Orphans != 1 || report.Objects != 3 || report.Foreign != 1 {
			t.Fatalf("a third of all is no accident, but: %+v", report)
		}
		if report = sweep(t, core, images.SweepOptions{Confirm: true, DryRun: true}); report.Deleted != 0 {
			t.Fatalf("a dry run deleted: %+v", report)
		}
		if report = sweep(t, core, images.SweepOptions{Confirm: true}); report.Deleted != 1 {
			t.Fatalf("got %+v, want one deleted", report)
		}
		left := strings.Join(blobs(t, core), " ")
		if strings.Contains(left, old) || !strings.Contains(left, young) || !strings.Contains(left, foreign) {
			t.Errorf("left are %s", left)
		}
		imagestest.Stored(t, core, img.ID)
	})
}

func put(t *testing.T, core *imagestest.Core, key string) {
	t.Helper()
	f, err := os.Create(filepath.Join(core.Dir, "spool", "foreign"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := core.Blobs.Put(t.Context(), key, f, 0); err != nil {
		t.Fatal(err)
	}
}

// TestTheSweepDeletesUnderItsBounds has 200 originals and one orphan, half a percent.
func TestTheSweepDeletesUnderItsBounds(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: stores a thousand originals")
	}
	t.Parallel()
	core := imagestest.New(t)
	now := time.Now()
	for i := range 199 {
		orphan(t, core, now, i) // too young to be one
	}
	orphan(t, core, now.Add(-72*time.Hour), 0)
	if report := sweep(t, core, images.SweepOptions{}); report.Held || report.Deleted != 1 || report.Objects != 200 {
		t.Errorf("got %+v, want one deleted", report)
	}
	for i := range 1001 {
		orphan(t, core, now.Add(-96*time.Hour), i)
	}
	if report := sweep(t, core, images.SweepOptions{}); !report.Held || report.Deleted != 0 || report.Orphans != 1001 {
		t.Errorf("got %+v, want nothing deleted of 1001", report)
	}
	if report := sweep(t, core, images.SweepOptions{Confirm: true}); report.Deleted != 1001 {
		t.Errorf("got %+v, want 1001 deleted", report)
	}
}

func TestTheStoreOfAnotherInstallationIsRefused(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := imagestest.Open(t, images.Config{}, dsn)
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))

		// An empty database on our full store, and a second installation that shares it.
		other := imagestest.NewCore(images.Config{
			DB:    sqldbtest.Open(t, filepath.Join(t.TempDir(), "other.db")),
			Blobs: core.Blobs, Dir: t.TempDir(),
		})
		defer other.Close()
		if err := images.Migrate(t.Context(), other.DB); err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Accounts.SetUp(t.Context(), accounts.Setup{}); err != nil {
			t.Fatal(err)
		}
		if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "belongs to") {
			t.Errorf("an empty database on a full store: got %v, want a refusal", err)
		}
		if _, err := other.Sweep(t.Context(), images.SweepOptions{Confirm: true}); err == nil {
			t.Error("the sweep of another installation went through the store")
		}
		if len(blobs(t, core)) != 1 {
			t.Error("an original is gone")
		}

		// Our database on an empty store, on a store with foreign objects.
		for _, foreign := range []string{"", "foreign/x.jpg"} {
			dir := t.TempDir()
			store, err := blob.OpenDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			moved := imagestest.NewCore(images.Config{DB: core.DB, Blobs: store, Dir: t.TempDir()})
			defer moved.Close()
			if foreign != "" {
				if err := os.MkdirAll(filepath.Join(dir, "foreign"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, foreign), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := moved.Start(t.Context()); err == nil {
				t.Errorf("the wrong store (%q in it) was taken", foreign)
			}
		}
	})
}

// TestAnOlderDatabase restores a database from before some uploads: their originals are no
// orphans to be deleted unseen.
func TestAnOlderDatabase(t *testing.T) {
	t.Parallel()
	dsn := filepath.Join(t.TempDir(), "calotype.db")
	core := imagestest.Open(t, images.Config{}, dsn)
	clock := imagestest.NewClock()
	core.SetNow(clock.Now)
	imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	older := filepath.Join(t.TempDir(), "older.db")
	rows, err := core.DB.Query(t.Context(), `VACUUM INTO ?1`, older)
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	rows.Close()
	for i := range 5 {
		imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
	}
	restored := imagestest.NewCore(images.Config{
		DB: sqldbtest.Open(t, older), Blobs: core.Blobs, Dir: core.Dir,
		Now: func() time.Time { return clock.Now().Add(72 * time.Hour) },
	})
	defer restored.Close()
	report := sweep(t, restored, images.SweepOptions{})
	if !report.Held || report.Deleted != 0 || report.Orphans != 5 {
		t.Errorf("got %+v, want nothing deleted of 5", report)
	}
	if len(blobs(t, core)) != 6 {
		t.Error("originals are gone")
	}
}

func TestExpiredDraftsAreDeletedADayLater(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		clock := imagestest.NewClock()
		core.SetNow(clock.Now)
		waiting, _ := imagestest.Draft(t, core, images.NewDraft{})
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		clock.Forward(24*time.Hour + 30*time.Minute)
		for _, gone := range []bool{false, true} {
			if err := core.DeleteExpiredDrafts(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := core.Image(t.Context(), account, waiting.ID); (err != nil) != gone {
				t.Errorf("gone %v: got %v", gone, err)
			}
			clock.Forward(time.Second)
		}
		if _, err := core.Image(t.Context(), account, img.ID); err != nil {
			t.Errorf("the image went with the drafts: %v", err)
		}
	})
}

// TestSlowJobsDelayNoQuickOne: quick jobs continue while a slow one hangs, and all end with the server.
func TestSlowJobsDelayNoQuickOne(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	ctx, end := context.WithCancel(t.Context())
	done := 0
	quick := func(context.Context) error {
		if done++; done == 3 {
			end()
		}
		return errors.New("a job that fails is done again")
	}
	slow := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	core.RunJobs(ctx, quick, slow)
	if done != 3 {
		t.Errorf("the quick job was done %d times", done)
	}
}
