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

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
)

// TestTheSweepCountsMissingOriginals, and deletes nothing for it.
func TestTheSweepCountsMissingOriginals(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		whole := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		lost := imagestest.Upload(t, core, images.NewDraft{ID: imagestest.Ptr("lost/one")}, imagestest.JPEG(t, 2))
		short := imagestest.Upload(t, core, images.NewDraft{ID: imagestest.Ptr("short")}, imagestest.JPEG(t, 3))
		imagestest.Draft(t, core, images.NewDraft{})
		if report := sweep(t, core, images.SweepOptions{}); report.Missing != 0 || report.Objects != 3 {
			t.Errorf("of whole originals: %+v", report)
		}
		if err := errors.Join(core.Blobs.Delete(t.Context(), lost.Original.Blob),
			os.Truncate(filepath.Join(core.Dir, "blobs", short.Original.Blob), 1)); err != nil {
			t.Fatal(err)
		}
		for _, o := range []images.SweepOptions{{DryRun: true}, {}, {Confirm: true}} {
			report := sweep(t, core, o)
			first := strings.Join(report.FirstMissing, " ")
			if report.Missing != 2 || !strings.Contains(first, `"lost/one"`) ||
				!strings.Contains(first, lost.Original.Blob) ||
				!strings.Contains(first, `"short"`) || len(report.FirstMissing) != 2 {
				t.Errorf("%+v: %+v", o, report)
			}
		}
		for _, img := range []images.Image{whole, lost, short} {
			if _, err := core.Image(t.Context(), account, img.ID); err != nil {
				t.Errorf("the sweep took a row: %v", err)
			}
		}
	})
}

// TestTheSweepCountsMissingObjects of a bucket.
func TestTheSweepCountsMissingObjects(t *testing.T) {
	gateway := blobtest.StartGateway(t)
	gateway.Setenv(t)
	bucket, err := blob.Open(t.Context(), gateway.URI("originals"))
	if err != nil {
		t.Fatal(err)
	}
	core := imagestest.Open(t, images.Config{Blobs: bucket}, filepath.Join(t.TempDir(), "calotype.db"))
	imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	lost := imagestest.Upload(t, core, images.NewDraft{ID: imagestest.Ptr("lost")}, imagestest.JPEG(t, 2))
	imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 3))
	if report := sweep(t, core, images.SweepOptions{}); report.Missing != 0 || report.Objects != 3 {
		t.Errorf("of whole originals: %+v", report)
	}
	if err := bucket.Delete(t.Context(), lost.Original.Blob); err != nil {
		t.Fatal(err)
	}
	report := sweep(t, core, images.SweepOptions{})
	if report.Missing != 1 || !strings.Contains(strings.Join(report.FirstMissing, ""), `"lost"`) {
		t.Errorf("got %+v", report)
	}
}

// TestMissingAmongMany has more rows than are read at a time, and originals of no row.
func TestMissingAmongMany(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: stores thousands of rows")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const rows = 2100
		now := time.Now().UTC()
		folder := filepath.Join(core.Dir, "blobs", now.Format("20060102"))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		missing := map[int]bool{0: true, 1: true, 999: true, 1000: true, 1001: true, 2099: true}
		for i := 1700; i < 1740; i++ {
			missing[i] = true
		}
		err := core.DB.Tx(t.Context(), func(tx *sqldb.Tx) error {
			for i := range rows {
				name := letters(i)
				if _, err := tx.Exec(`INSERT INTO images (key, account, id, id_sha256, custom,
					require_signed, created, uploaded, draft, expires, refusals, last_kind, last_message,
					blob, size, sha256)
					VALUES (?1, ?2, ?1, ?1, 0, 0, 0, 0, 0, 0, 0, '', '', ?3, 0, '')`,
					name, account, now.Format("20060102")+"/"+name); err != nil {
					return err
				}
				if missing[i] {
					name = "b" + name[1:] // an original of no row is in its place
				}
				if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		report := sweep(t, core, images.SweepOptions{})
		if report.Missing != len(missing) || len(report.FirstMissing) != 10 ||
			report.Objects != rows {
			t.Errorf("%d are missing of %d, %q; want %d", report.Missing, report.Objects,
				report.FirstMissing, len(missing))
		}
		if !strings.Contains(report.FirstMissing[0], letters(0)) {
			t.Errorf("the first is %s", report.FirstMissing[0])
		}
	})
}

// letters returns a name of 26 letters that begins with an a, in the order of n.
func letters(n int) string {
	return "a" + strings.NewReplacer("0", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f",
		"6", "g", "7", "h", "8", "i", "9", "j").Replace(fmt.Sprintf("%025d", n))
}

// A busyStore is a store in which something happens after a page of it was listed.
type busyStore struct {
	blob.Store
	listed func()
}

func (s busyStore) List(
	ctx context.Context, prefix, cursor string,
) ([]blob.Info, string, error) {
	page, next, err := s.Store.List(ctx, prefix, cursor)
	s.listed()
	return page, next, err
}

// TestNothingIsMissingMeanwhile: uploads and deletions during the sweep are not mistaken.
func TestNothingIsMissingMeanwhile(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		old := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		store := core.Blobs
		core.Blobs = busyStore{store, func() {
			imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
			if err := core.DeleteImage(t.Context(), account, old.ID); err != nil {
				t.Error(err)
			}
		}}
		report := sweep(t, core, images.SweepOptions{})
		if core.Blobs = store; report.Missing != 0 || report.Objects != 1 {
			t.Errorf("got %+v", report)
		}
	})
}
