package renditions_test

import (
	"io"
	"path/filepath"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/renditions"
)

// TestCacheStats: the first asker misses, the others hit; what makes room is counted.
func TestCacheStats(t *testing.T) {
	t.Parallel()
	const block = 4096 // one rendition of these takes one on the disk
	core := imagestest.Open(t, images.Config{CacheBytes: 2 * block},
		filepath.Join(t.TempDir(), "calotype.db"))
	ask := func(id string) {
		t.Helper()
		rendition, err := core.Renditions.Rendition(t.Context(), imagestest.Resolve(t, core, id), imagefile.JPEG)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rendition.Content); err != nil {
			t.Error(err)
		}
		rendition.Content.Close()
	}
	want := func(hits, misses, evictions, files int64) {
		t.Helper()
		want := renditions.Stats{Hits: hits, Misses: misses, Evictions: evictions, Files: files,
			Size: files * block, Limit: 2 * block}
		if got := core.Renditions.Stats(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	var ids [3]string
	for i := range ids {
		ids[i] = imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i)).ID
	}
	want(0, 0, 0, 0)
	ask(ids[0])
	want(0, 1, 0, 1)
	ask(ids[0])
	ask(ids[0])
	want(2, 1, 0, 1)
	ask(ids[1])
	ask(ids[2]) // one too many
	want(2, 3, 1, 2)
	ask(ids[0])
	want(2, 4, 2, 2)
}
