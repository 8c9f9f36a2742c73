package qualities_test

import (
	"fmt"
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/qualities"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

// TestRecord: the first quality of a class decides, an image has a bounded number, and they are deleted with it.
func TestRecord(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		other := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		record := func(key, class string, quality, want int) {
			t.Helper()
			got, err := core.Qualities.Record(t.Context(), key,
				qualities.Quality{Format: "webp", Class: class, Quality: quality})
			if err != nil || got != want {
				t.Fatalf("%s: got %d, %v, want %d", class, got, err, want)
			}
		}
		record(img.Key, "9", 70, 70)
		record(img.Key, "9", 80, 70)
		record(other.Key, "9", 80, 80)
		record("nosuch", "9", 80, 0)
		for i := 1; i < qualities.MaxPerImage; i++ {
			record(img.Key, fmt.Sprintf("9-%d", i), 60, 60)
		}
		record(img.Key, "10", 60, 0)
		record(img.Key, "9", 60, 70)
		all, full, err := core.Qualities.Of(t.Context(), img.Key)
		if err != nil || !full || len(all) != qualities.MaxPerImage {
			t.Errorf("%d qualities, full: %v, %v", len(all), full, err)
		}
		// A row of an older search is replaced, also if the image is full.
		if _, err := core.Accounts.Exec(t.Context(),
			`UPDATE found_qualities SET method = 0 WHERE image = ?1 AND class = '9'`, img.Key); err != nil {
			t.Fatal(err)
		}
		all, full, err = core.Qualities.Of(t.Context(), img.Key)
		if err != nil || full || len(all) != qualities.MaxPerImage-1 {
			t.Errorf("%d qualities, full: %v, %v", len(all), full, err)
		}
		record(img.Key, "9", 75, 75)
		if err := core.DeleteImage(t.Context(), imagestest.AccountID, img.ID); err != nil {
			t.Fatal(err)
		}
		if n := imagestest.Count(t, core, "found_qualities"); n != 1 {
			t.Errorf("%d qualities after the deletion of an image, want that of the other", n)
		}
	})
}
