package delivery_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// Ten thousand distinct URLs with options, half of them transformations, leave the cache inside its budget and the
// renditions of named variants in it.
func TestManyFlexibleURLs(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders ten thousand pictures")
	}
	t.Parallel()
	const block, clients = 4096, 8 // each rendition has one block
	const budget = 300 * block
	core := imagestest.Open(t, images.Config{CacheBytes: budget}, filepath.Join(t.TempDir(), "calotype.db"))
	h := newHost(t, core, true)
	h.set(accounts.SettingsChange{FlexibleVariants: imagestest.Ptr(true)})
	var named []string
	for i := range 30 {
		named = append(named, "/"+h.hash+"/"+h.upload(imagestest.JPEG(t, i), "", false).ID+"/public")
		h.served(named[i], imagefile.JPEG)
	}
	base := named[0][:len(named[0])-len("public")]
	jobs := make(chan string)
	var wait sync.WaitGroup
	for range clients {
		wait.Go(func() {
			for path := range jobs {
				if r := h.ask("GET", path); r.StatusCode != 200 {
					t.Errorf("%s: got %d %s", path, r.StatusCode, r.body)
				}
				// A new file is counted a moment before another one is evicted for it.
				if stats := core.Renditions.Stats(); stats.Size > budget+clients*block {
					t.Errorf("the cache has %d bytes of %d", stats.Size, stats.Limit)
				}
			}
		})
	}
	for i := range 10_000 {
		options := fmt.Sprintf("w=%d,q=%d", i%100+1, i/100+1)
		if i%2 == 0 {
			jobs <- base + options
		} else {
			jobs <- "/cdn-cgi/image/" + options + named[0]
		}
	}
	close(jobs)
	wait.Wait()
	before := core.Renditions.Stats()
	if before.Size > budget {
		t.Errorf("the cache has %d bytes of %d", before.Size, before.Limit)
	}
	for _, path := range named {
		h.served(path, imagefile.JPEG)
	}
	if after := core.Renditions.Stats(); after.Misses != before.Misses {
		t.Errorf("%d of %d named renditions were evicted", after.Misses-before.Misses, len(named))
	}
}
