package renditions_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/renditions"
)

// anEager is a Core that renders each image as JPEG after its upload, in the variant public.
type anEager struct {
	*imagestest.Core
	gate *gate // of originals; open at first
}

// openEager opens an anEager with a number of eager workers.
func openEager(t *testing.T, workers int, c images.Config) anEager {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	store, err := blob.OpenDir(filepath.Join(c.Dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Store: store, waiting: make(chan struct{}, 10_000), release: make(chan struct{})}
	close(g.release)
	c.Blobs, c.Render = g, imagestest.EagerPool(t, workers)
	core := imagestest.Open(t, c, filepath.Join(t.TempDir(), "calotype.db"))
	core.Renditions.StartEager(renditions.Eager{Variants: []string{"public", "missing"},
		Choose: func(r renditions.Resolved) []renditions.Choice {
			one := renditions.Choice{Resolved: r, Format: imagefile.JPEG}
			return []renditions.Choice{one, one}
		}})
	return anEager{core, g}
}

// shut has the next reading of an original wait.
func (e anEager) shut() {
	for len(e.gate.waiting) > 0 {
		<-e.gate.waiting
	}
	e.gate.opened.Store(0)
	e.gate.release = make(chan struct{})
}

// wait waits until the counters of eager renderings satisfy done, and returns them.
func (e anEager) wait(t *testing.T, done func(renditions.EagerStats) bool) map[string]int64 {
	t.Helper()
	for range 3000 {
		if stats := e.Renditions.Stats().Eager; done(stats) {
			by := map[string]int64{"dropped": stats.Dropped}
			for i, name := range renditions.EagerOutcomes {
				by[name] = stats.Renditions[i]
			}
			return by
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("the eager renderings are not done: %+v", e.Renditions.Stats().Eager)
	return nil
}

// counted returns a condition for wait: n renditions have an outcome, or their images were dropped.
func counted(n int64) func(renditions.EagerStats) bool {
	return func(s renditions.EagerStats) bool {
		sum := s.Dropped
		for _, of := range s.Renditions {
			sum += of
		}
		return sum >= n
	}
}

// view requests the picture as a client does.
func (e anEager) view(t *testing.T, id string) error {
	r, err := e.Renditions.Rendition(t.Context(), imagestest.Resolve(t, e.Core, id), imagefile.JPEG)
	if err != nil {
		return err
	}
	return r.Content.Close()
}

// TestEagerRenditions: the first view is a hit, whatever way the image came.
func TestEagerRenditions(t *testing.T) {
	t.Parallel()
	e := openEager(t, 2, images.Config{})
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	body, err := e.BeginImage(imagestest.AccountID, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.Write(imagestest.JPEG(t, 2)); err != nil {
		t.Fatal(err)
	}
	created, err := body.Create(t.Context(), "b.jpg", images.NewDraft{RequireSignedURLs: true})
	if err != nil {
		t.Fatal(err)
	}
	if by := e.wait(t, counted(2)); by["rendered"] != 2 || e.gate.opened.Load() < 2 {
		t.Errorf("outcomes %v", by)
	}
	// An edit that gives the image another id changes no rendition.
	edited, err := e.EditImage(t.Context(), imagestest.AccountID, img.ID, images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
	if err != nil || edited.ID == img.ID {
		t.Fatalf("an image was made private: %v, its id is %q", err, edited.ID)
	}
	for _, id := range []string{edited.ID, created.ID} {
		if err := e.view(t, id); err != nil {
			t.Error(err)
		}
	}
	if s := e.Renditions.Stats(); s.Hits != 2 || s.Misses != 0 || s.Files != 2 {
		t.Errorf("the first views: %+v", s)
	}
}

// TestAViewTakesAnEagerRenditionOver: a client that requests a rendition while it is rendered eagerly does not wait for
// that rendering. One of the two renders.
func TestAViewTakesAnEagerRenditionOver(t *testing.T) {
	t.Parallel()
	e := openEager(t, 2, images.Config{})
	e.shut()
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	<-e.gate.waiting // of the eager rendering
	viewed := make(chan error, 1)
	go func() { viewed <- e.view(t, img.ID) }()
	<-e.gate.waiting // of the client's
	second := make(chan error, 1)
	go func() { second <- e.view(t, img.ID) }() // joins the client's
	close(e.gate.release)
	if err := <-viewed; err != nil {
		t.Error(err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	if by := e.wait(t, counted(1)); by["present"] != 1 || by["rendered"] != 0 {
		t.Errorf("outcomes %v", by)
	}
	if made := imagestest.Files(t, filepath.Join(e.Dir, "renditions")); len(made) != 1 {
		t.Errorf("the cache has %v, want one file", made)
	}
	if n := e.gate.opened.Load(); n != 2 {
		t.Errorf("the original was opened %d times, want one of the eager rendering and one of the client's", n)
	}
}

// TestAViewIsNotRepeated: an image whose rendition a client has requested, or is requesting, is not rendered eagerly.
func TestAViewIsNotRepeated(t *testing.T) {
	t.Parallel()
	e := openEager(t, 1, images.Config{})
	e.shut()
	blocking := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1)) // takes the only turn
	<-e.gate.waiting
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 2))
	viewed := make(chan error, 1)
	go func() { viewed <- e.view(t, img.ID) }()
	<-e.gate.waiting
	close(e.gate.release)
	if err := <-viewed; err != nil {
		t.Error(err)
	}
	if by := e.wait(t, counted(2)); by["rendered"] != 1 || by["present"] != 1 {
		t.Errorf("outcomes %v", by)
	}
	if err := e.view(t, blocking.ID); err != nil {
		t.Error(err)
	}
	if s := e.Renditions.Stats(); s.Hits != 1 || s.Misses != 1 || e.gate.opened.Load() != 2 {
		t.Errorf("%+v, and %d readings of originals", s, e.gate.opened.Load())
	}
}

// TestAnImageIsDeletedBeforeItIsRendered: in the queue, and while its original is read. Nothing of it stays.
func TestAnImageIsDeletedBeforeItIsRendered(t *testing.T) {
	t.Parallel()
	e := openEager(t, 1, images.Config{})
	e.shut()
	for i := range 3 {
		img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, i))
		if i == 0 {
			<-e.gate.waiting
		}
		if err := e.DeleteImage(t.Context(), imagestest.AccountID, img.ID); err != nil {
			t.Fatal(err)
		}
	}
	close(e.gate.release)
	if by := e.wait(t, counted(3)); by["gone"] != 3 {
		t.Errorf("outcomes %v", by)
	}
	if made := imagestest.Files(t, filepath.Join(e.Dir, "renditions")); len(made) != 0 {
		t.Errorf("the cache has %v of deleted images", made)
	}
}

// TestTheEagerQueueIsBounded: an account alone gets half of it, and the next account gets its images rendered in turn.
// Close ends all of it.
func TestTheEagerQueueIsBounded(t *testing.T) {
	t.Parallel()
	e := openEager(t, 1, images.Config{})
	e.shut()
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	<-e.gate.waiting
	const more = 700
	wait := func(waiting int) {
		t.Helper()
		for range 3000 {
			for _, p := range e.Renditions.Pools() {
				if s := p.Stats(); s.Name == "eager" && s.Waiting == waiting {
					return
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("never %d images in the queue", waiting)
	}
	for i := range renditions.EagerQueue/2 + more {
		missing := img
		missing.Key = fmt.Sprintf("%032x", i)
		e.Renditions.Uploaded(missing)
	}
	e.wait(t, func(s renditions.EagerStats) bool { return s.Dropped == more })
	wait(renditions.EagerQueue / 2)
	other := img
	other.Account, other.Key = "another account", fmt.Sprintf("%032x", more)
	e.Renditions.Uploaded(other)
	wait(renditions.EagerQueue/2 + 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		e.Renditions.Close() // waits for the reading of the original, which does not heed its context
	}()
	wait(0)
	close(e.gate.release)
	<-ended
	e.Renditions.Uploaded(other) // has no effect
	wait(0)
	if s := e.Renditions.Stats().Eager; s.Dropped != more || s.Renditions != [len(s.Renditions)]int64{} {
		t.Errorf("after the end: %+v", s)
	}
}

// TestEagerRenditionsEvictNoViewedOne: in a full cache an image is not rendered eagerly, and a rendition that a client
// has requested stays.
func TestEagerRenditionsEvictNoViewedOne(t *testing.T) {
	t.Parallel()
	const block = 4096
	e := openEager(t, 1, images.Config{CacheBytes: 8 * block})
	var viewed []string
	rendered, skipped := int64(0), int64(0)
	for i := range 16 {
		img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, i))
		by := e.wait(t, counted(int64(i+1)))
		rendered, skipped = by["rendered"], by["no_space"]
		if i < 6 {
			viewed = append(viewed, img.ID)
			if err := e.view(t, img.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if rendered != 8 || skipped != 8 {
		t.Errorf("%d renditions for 8 blocks, and %d that had no space", rendered, skipped)
	}
	before := e.Renditions.Stats()
	for _, id := range viewed {
		if err := e.view(t, id); err != nil {
			t.Fatal(err)
		}
	}
	if s := e.Renditions.Stats(); s.Misses != before.Misses || s.Evictions != 0 || s.Files != 8 {
		t.Errorf("the second views: %+v, before %+v", s, before)
	}
}

// TestEagerRenderingsThatCannotBe: of an account that is suspended, and on a full disk.
func TestEagerRenderingsThatCannotBe(t *testing.T) {
	t.Parallel()
	e := openEager(t, 1, images.Config{})
	e.shut()
	imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	<-e.gate.waiting
	imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 2))
	if err := e.Accounts.Suspend(t.Context(), imagestest.AccountID, true); err != nil {
		t.Fatal(err)
	}
	close(e.gate.release)
	if by := e.wait(t, counted(2)); by["rendered"] != 1 || by["gone"] != 1 {
		t.Errorf("outcomes %v", by)
	}
	if err := e.Accounts.Suspend(t.Context(), imagestest.AccountID, false); err != nil {
		t.Fatal(err)
	}
	e.shut()
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 3))
	<-e.gate.waiting
	imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 4))
	e.Disk().Reserve = 1 << 60
	close(e.gate.release)
	if by := e.wait(t, counted(4)); by["no_space"] != 2 {
		t.Errorf("on a full disk: outcomes %v", by)
	}
	if err := e.view(t, img.ID); err != nil { // evicts others, if it has to
		imagestest.WantKind(t, err, errs.NoSpace)
	}
}

// openSearching is openEager for an account whose qualities are searched.
func openSearching(t *testing.T) anEager {
	t.Helper()
	e := openEager(t, 1, images.Config{})
	if _, err := e.Accounts.Configure(t.Context(), imagestest.AccountID,
		accounts.SettingsChange{AutoQuality: imagestest.Ptr(true)}); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEagerQuality: the search of a quality is the rendering, in the eager lane, and the first view is a hit.
func TestEagerQuality(t *testing.T) {
	t.Parallel()
	e := openSearching(t)
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	if by := e.wait(t, counted(1)); by["rendered"] != 1 {
		t.Errorf("outcomes %v", by)
	}
	if n := imagestest.Count(t, e.Core, "found_qualities"); n != 1 {
		t.Errorf("%d qualities", n)
	}
	if err := e.view(t, img.ID); err != nil {
		t.Error(err)
	}
	if s := e.Renditions.Stats(); s.Hits != 1 || s.Misses != 0 || s.Files != 1 {
		t.Errorf("the first view: %+v", s)
	}
}

// TestAViewTakesASearchOver: a client searches the quality of another size in the class while it is searched eagerly.
// The eager rendering waits for it, and then renders its own size.
func TestAViewTakesASearchOver(t *testing.T) {
	t.Parallel()
	e := openSearching(t)
	e.shut()
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	<-e.gate.waiting // of the eager search
	viewed := make(chan error, 1)
	go func() {
		r := imagestest.Resolve(t, e.Core, img.ID)
		r.Variant.Options.Width = 60
		made, err := e.Renditions.Rendition(t.Context(), r, imagefile.JPEG)
		if err == nil {
			err = made.Content.Close()
		}
		viewed <- err
	}()
	<-e.gate.waiting // of the client's
	close(e.gate.release)
	if err := <-viewed; err != nil {
		t.Error(err)
	}
	if by := e.wait(t, counted(1)); by["rendered"] != 1 {
		t.Errorf("outcomes %v", by)
	}
	if n := imagestest.Count(t, e.Core, "found_qualities"); n != 1 {
		t.Errorf("%d qualities", n)
	}
	if s := e.Renditions.Stats(); s.Files != 2 {
		t.Errorf("%+v, want two sizes", s)
	}
}

// TestAnAbortedSearch: a client that aborts its request leaves the search as it was, and the eager rendering uses it.
func TestAnAbortedSearch(t *testing.T) {
	t.Parallel()
	e := openSearching(t)
	e.shut()
	img := imagestest.Upload(t, e.Core, images.NewDraft{}, imagestest.JPEG(t, 1))
	<-e.gate.waiting // of the eager search
	r := imagestest.Resolve(t, e.Core, img.ID)
	ctx, cancel := context.WithCancel(t.Context())
	settled := make(chan error, 1)
	go func() {
		_, err := e.Renditions.Settle(ctx, r, imagefile.JPEG)
		settled <- err
	}()
	<-e.gate.waiting // of the client's
	cancel()
	if err := <-settled; errs.AsError(err).Kind != errs.Aborted {
		t.Errorf("an aborted request: %v", err)
	}
	close(e.gate.release)
	if by := e.wait(t, counted(1)); by["present"]+by["rendered"] != 1 {
		t.Errorf("outcomes %v", by)
	}
	if n := imagestest.Count(t, e.Core, "found_qualities"); n != 1 {
		t.Errorf("%d qualities", n)
	}
}
