package renditions_test

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

// A gate is a blob store whose Open waits.
type gate struct {
	blob.Store
	opened  atomic.Int64
	waiting chan struct{} // gets a value for each Open
	release chan struct{}
}

func (g *gate) Open(ctx context.Context, key string, from int64) (io.ReadCloser, error) {
	g.opened.Add(1)
	g.waiting <- struct{}{}
	<-g.release
	return g.Store.Open(ctx, key, from)
}

// Of 500 concurrent requests for a new rendition the first one, which began it, leaves: one rendering, and 499
// answers.
func TestTheFirstClientOfARenditionLeaves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := blob.OpenDir(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Store: store, waiting: make(chan struct{}, 1000), release: make(chan struct{})}
	close(g.release) // until the image is there
	core := imagestest.Open(t, images.Config{Dir: dir, Blobs: g}, filepath.Join(t.TempDir(), "calotype.db"))
	img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
	r := imagestest.Resolve(t, core, img.ID)
	g.release = make(chan struct{})
	for len(g.waiting) > 0 { // Opens of the start
		<-g.waiting
	}
	g.opened.Store(0)

	first, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := core.Renditions.Rendition(first, r, imagefile.JPEG)
		left <- err
	}()
	<-g.waiting
	var begun, done sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	begun.Add(499)
	for range 499 {
		done.Go(func() {
			begun.Done()
			rendition, err := core.Renditions.Rendition(t.Context(), r, imagefile.JPEG)
			if err != nil {
				t.Error(err)
				return
			}
			defer rendition.Content.Close()
			var b bytes.Buffer
			if _, err := io.Copy(&b, rendition.Content); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			answers[b.String()]++
		})
	}
	begun.Wait()
	leave()
	imagestest.WantKind(t, <-left, errs.Aborted)
	close(g.release)
	done.Wait()
	if len(answers) != 1 || g.opened.Load() != 1 {
		t.Errorf("%d kinds of answers after %d openings of the original", len(answers), g.opened.Load())
	}
	for body, n := range answers {
		if n != 499 || len(body) == 0 {
			t.Errorf("%d answers of %d bytes", n, len(body))
		}
	}
	if made := imagestest.Files(t, filepath.Join(core.Dir, "renditions")); len(made) != 1 {
		t.Errorf("the cache holds %v, want one file", made)
	}
}
