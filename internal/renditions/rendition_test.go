package renditions_test

import (
	"bytes"
	"context"
	"image"
	_ "image/jpeg"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"calotype/internal/clientaddr"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/renditions"
)

func TestManyRequestsCauseOneRender(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	r := imagestest.Resolve(t, core, img.ID)
	var wait sync.WaitGroup
	var mu sync.Mutex
	var all [][]byte
	for range 50 {
		wait.Go(func() {
			rendition, err := core.Renditions.Rendition(t.Context(), r, imagefile.JPEG)
			if err != nil {
				t.Error(err)
				return
			}
			defer rendition.Content.Close()
			b, err := io.ReadAll(rendition.Content)
			if err != nil || int64(len(b)) != rendition.Size {
				t.Errorf("read %d bytes of %d, %v", len(b), rendition.Size, err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, b)
		})
	}
	wait.Wait()
	for _, b := range all {
		if !bytes.Equal(b, all[0]) {
			t.Fatal("askers got different bytes")
		}
	}
	config, format, err := image.DecodeConfig(bytes.NewReader(all[0]))
	if err != nil || format != "jpeg" || config.Width != 64 || config.Height != 48 {
		t.Errorf("got %s %dx%d, %v", format, config.Width, config.Height, err)
	}
	if bytes.Contains(all[0], []byte("picture 000001")) {
		t.Error("the comment of the original was passed through")
	}
	if made := imagestest.Files(t, filepath.Join(core.Dir, "renditions")); len(made) != 1 {
		t.Errorf("the cache holds %v, want one file", made)
	}
}

func TestTheRenditionCacheIsBounded(t *testing.T) {
	t.Parallel()
	const block = 4096
	dsn := filepath.Join(t.TempDir(), "calotype.db")
	core := imagestest.Open(t, images.Config{CacheBytes: 4 * block}, dsn)
	var bytesKept = func() (n int64) {
		for _, r := range imagestest.Files(t, filepath.Join(core.Dir, "renditions")) {
			info, err := os.Stat(r)
			if err != nil {
				t.Fatal(err)
			}
			n += (info.Size() + block - 1) / block * block
		}
		return n
	}
	for i := range 12 {
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, i))
		rendition, err := core.Renditions.Rendition(t.Context(), imagestest.Resolve(t, core, img.ID), imagefile.JPEG)
		if err != nil {
			t.Fatal(err)
		}
		if err := rendition.Content.Close(); err != nil {
			t.Fatal(err)
		}
		if n := bytesKept(); n > 4*block || n == 0 {
			t.Fatalf("the cache holds %d bytes, want 1 to 4 blocks", n)
		}
	}
	// A restart with a smaller budget keeps to it.
	core.Close()
	core = imagestest.Open(t, images.Config{CacheBytes: 2 * block, Dir: core.Dir, Blobs: core.Blobs}, dsn)
	if n := bytesKept(); n > 2*block || n == 0 {
		t.Errorf("after a restart the cache holds %d bytes, want 1 to 2 blocks", n)
	}
}

// A client that has used up its misses still gets what is in the cache.
func TestHitsCostNoMisses(t *testing.T) {
	t.Parallel()
	core := imagestest.OpenWith(t, images.Config{}, renditions.Config{MissRate: 1}, filepath.Join(t.TempDir(), "calotype.db"))
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	r := imagestest.Resolve(t, core, img.ID)
	ctx, cancel := context.WithCancel(clientaddr.With(t.Context(), clientaddr.Peer{Key: "a"}))
	defer cancel()
	get := func(ctx context.Context, width int) error {
		r.Variant.Options.Width = width
		rendition, err := core.Renditions.Rendition(ctx, r, imagefile.JPEG)
		if err != nil {
			return err
		}
		return rendition.Content.Close()
	}
	for range 20 {
		if err := get(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	for width := 2; width <= 10; width++ {
		if err := get(ctx, width); err != nil {
			t.Fatal(err)
		}
	}
	dead, end := context.WithCancel(ctx)
	end()
	imagestest.WantKind(t, get(dead, 11), errs.Aborted)
	var wait sync.WaitGroup
	var limited atomic.Int64
	for width := 12; width < 100; width++ {
		wait.Go(func() {
			asked := r
			asked.Variant.Options.Width = width
			rendition, err := core.Renditions.Rendition(ctx, asked, imagefile.JPEG)
			if err == nil {
				err = rendition.Content.Close()
			}
			if err != nil && errs.AsError(err).Kind == errs.RateLimited {
				limited.Add(1)
				cancel() // the others wait for seconds
			}
		})
	}
	wait.Wait()
	if limited.Load() == 0 {
		t.Error("none of 88 misses more was refused")
	}
	ctx = clientaddr.With(t.Context(), clientaddr.Peer{Key: "a"})
	if err := get(ctx, 5); err != nil {
		t.Errorf("a hit: %v", err)
	}
	if err := get(clientaddr.With(ctx, clientaddr.Peer{Key: "b"}), 200); err != nil {
		t.Errorf("a miss of another client: %v", err)
	}
}
