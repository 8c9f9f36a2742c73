package images_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/sqldb"
	"calotype/internal/sqldb/sqldbtest"
)

// rendered makes a rendition of an image.
func rendered(t *testing.T, core *imagestest.Core, id string) {
	t.Helper()
	r, err := core.Renditions.Rendition(t.Context(), imagestest.Resolve(t, core, id), "jpeg")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Content.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		var size int64
		for i := range 3 {
			img := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, i))
			rendered(t, core, img.ID)
			size += img.Original.Size
		}
		_, ticket := imagestest.Draft(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")})
		stays := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gon")}, imagestest.JPEG(t, 7))
		nobodys := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 8))

		r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		if r.Images != 3 || r.Drafts != 1 || r.Bytes != size || r.Renditions != 3 ||
			r.OriginalsDue != 0 || r.Ended.IsZero() || r.Scrubbed {
			t.Errorf("the receipt is %+v", r)
		}
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 9))
		imagestest.WantKind(t, err, errs.TicketUnknown)
		for _, id := range []string{stays.ID, nobodys.ID} {
			imagestest.Stored(t, core, id)
		}
		if left := blobs(t, core); len(left) != 2 {
			t.Errorf("%d originals are left, want 2", len(left))
		}
		if left := imagestest.Files(t, core.Dir+"/renditions"); len(left) != 0 {
			t.Errorf("renditions are left: %v", left)
		}
		if err := core.Scrub(t.Context()); err != nil {
			t.Fatal(err)
		}
		again, err := core.FinishErasure(t.Context(), account, images.ErasureQuery{Creator: "gone"})
		if err != nil || again.Key != r.Key || !again.Scrubbed || again.Images != 3 {
			t.Errorf("the receipt became %+v, %v", again, err)
		}
		// Another erasure finds nothing, and has a separate receipt.
		if r2 := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"}); r2.Key == r.Key || r2.Images != 0 {
			t.Errorf("the second receipt is %+v", r2)
		}
		// The creator can upload again.
		imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 1))

		if one := imagestest.Erase(t, core, images.ErasureQuery{ID: stays.ID}); one.Images != 1 {
			t.Errorf("the receipt of one image is %+v", one)
		}
		_, err = core.Erase(t.Context(), account, images.ErasureQuery{ID: stays.ID})
		imagestest.WantKind(t, err, errs.ImageNotFound)
		for _, q := range []images.ErasureQuery{{}, {ID: "x", Creator: "y"}} {
			_, err := core.Erase(t.Context(), account, q)
			imagestest.WantKind(t, err, errs.Invalid)
		}
	})
}

// TestErasureInSteps has more rows than a call takes, and a caller who gives up half-way.
func TestErasureInSteps(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const drafts = images.EraseAtOnce + 500
		err := core.DB.Tx(t.Context(), func(tx *sqldb.Tx) error {
			for i := range drafts {
				_, err := tx.Exec(`INSERT INTO images (key, account, id, id_sha256, custom, creator,
					require_signed, created, uploaded, draft, expires, refusals, last_kind, last_message)
					VALUES (?1, ?2, ?1, ?1, 0, 'gone', 0, 1, 1, 1, ?3, 0, '', '')`,
					fmt.Sprintf("%026d", i), account, time.Now().Add(time.Hour).UnixMicro())
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		first := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		if !first.Ended.IsZero() || first.Drafts != images.EraseAtOnce {
			t.Errorf("after one call the receipt is %+v", first)
		}
		second := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		if second.Ended.IsZero() || second.Drafts != drafts || second.Key != first.Key {
			t.Errorf("after two calls the receipt is %+v", second)
		}
	})
}

// A stubbornStore deletes nothing while a test sets it.
type stubbornStore struct {
	blob.Store
	refuse *atomic.Bool
}

func (s stubbornStore) Delete(ctx context.Context, key string) error {
	if s.refuse.Load() {
		return errors.New("not now")
	}
	return s.Store.Delete(ctx, key)
}

func TestAStoreThatRefusesToDelete(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		dir, err := blob.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		store := stubbornStore{dir, &atomic.Bool{}}
		clock := imagestest.NewClock()
		core := imagestest.Open(t, images.Config{Blobs: store, Now: clock.Now}, dsn)
		erased := imagestest.Upload(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")}, imagestest.JPEG(t, 1))
		deleted := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 2))
		store.refuse.Store(true)
		r := imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
		if r.Images != 1 || r.OriginalsDue != 1 || r.Ended.IsZero() {
			t.Errorf("the receipt is %+v", r)
		}
		if err := core.DeleteImage(t.Context(), account, deleted.ID); err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{erased.ID, deleted.ID} {
			_, err := core.Image(t.Context(), account, id)
			imagestest.WantKind(t, err, errs.ImageNotFound)
		}
		clock.Forward(5 * time.Minute)
		if err := core.RetryBlobDeletions(t.Context()); err == nil {
			t.Error("the refusal is not reported")
		}
		// It is not forgotten while it is due.
		clock.Forward(72 * time.Hour)
		if err := core.ForgetDeletions(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.refuse.Store(false)
		if err := core.RetryBlobDeletions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("originals are left: %v", left)
		}
		if done, err := core.ScrubNow(t.Context()); err != nil || !done {
			t.Fatalf("scrubbed %v, %v", done, err)
		}
		if err := core.ForgetDeletions(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := imagestest.Count(t, core, "tombstones") + imagestest.Count(t, core, "erasures"); n != 0 {
			t.Errorf("%d rows are kept for ever", n)
		}
	})
}

// TestUploadsRaceAnErasure: of what began before an erasure, nothing is left, by either way in.
func TestUploadsRaceAnErasure(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		const rounds, each = 8, 6
		for round := range rounds {
			var begun, ended sync.WaitGroup
			begun.Add(2 * each)
			start := make(chan struct{})
			for i := range each {
				body := imagestest.JPEG(t, i)
				_, ticket := imagestest.Draft(t, core, images.NewDraft{Creator: imagestest.Ptr("gone")})
				ended.Go(func() {
					u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
					finishRacing(t, &begun, start, u, err, body, func() error {
						_, err := u.Finish(t.Context(), "a.jpg")
						return err
					})
				})
				ended.Go(func() {
					u, err := core.BeginImage(account, int64(len(body)))
					finishRacing(t, &begun, start, u, err, body, func() error {
						_, err := u.Create(t.Context(), "a.jpg", images.NewDraft{Creator: imagestest.Ptr("gone")})
						return err
					})
				})
			}
			begun.Wait()
			close(start)
			// At moments all over the uploads' way.
			time.Sleep(time.Duration(round) * 4 * time.Millisecond)
			imagestest.Erase(t, core, images.ErasureQuery{Creator: "gone"})
			ended.Wait()
			if n, left := imagestest.Count(t, core, "images"), blobs(t, core); n != 0 || len(left) != 0 {
				t.Fatalf("round %d left %d rows and the originals %v", round, n, left)
			}
		}
	})
}

// An openUpload is an Upload or a Body.
type openUpload interface {
	io.Writer
	Close()
}

// finishRacing ends an upload, which may succeed only if the erasure took it.
func finishRacing(
	t *testing.T, begun *sync.WaitGroup, start <-chan struct{}, u openUpload, err error,
	body []byte, finish func() error,
) {
	begun.Done()
	if err != nil {
		t.Error(err)
		return
	}
	defer u.Close()
	<-start
	if _, err = u.Write(body); err == nil {
		err = finish()
	}
	kind := errs.AsError(err).Kind
	if err != nil && kind != errs.TicketUnknown && kind != errs.ImageNotFound {
		t.Error(err)
	}
}

// TestOtherNodesFollow has two nodes on one database and one store.
func TestOtherNodesFollow(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		clock := imagestest.NewClock()
		one := imagestest.Open(t, images.Config{Now: clock.Now}, dsn)
		config := images.Config{Now: clock.Now, Blobs: one.Blobs, DB: one.DB, Dir: t.TempDir()}
		two := imagestest.Open(t, config, dsn)
		cached := func() int { return len(imagestest.Files(t, filepath.Join(two.Dir, "renditions"))) }

		var all []images.Image
		for i := range 3 {
			creator := fmt.Sprint("creator ", i)
			all = append(all, imagestest.Upload(t, one, images.NewDraft{Creator: &creator}, imagestest.JPEG(t, i)))
			rendered(t, two, all[i].ID)
		}
		_, ticket := imagestest.Draft(t, one, images.NewDraft{Creator: imagestest.Ptr("creator 0")})
		receiving, err := two.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
		if err != nil {
			t.Fatal(err)
		}
		defer receiving.Close()
		imagestest.Erase(t, one, images.ErasureQuery{Creator: "creator 0"})
		if err := one.DeleteImage(t.Context(), account, all[1].ID); err != nil {
			t.Fatal(err)
		}
		if n := cached(); n != 3 {
			t.Fatalf("the other node has %d renditions before it looked", n)
		}
		for range 2 { // the second look finds nothing to do
			if err := two.FollowDeletions(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := cached(); n != 1 {
				t.Errorf("the other node has %d renditions, want the one of the third image", n)
			}
		}
		_, err = receiving.Write([]byte("more of it"))
		imagestest.WantKind(t, err, errs.TicketUnknown)

		// A node that was away for longer than deletions are kept does not trust its cache.
		for _, away := range []time.Duration{time.Hour, 72 * time.Hour} {
			clock.Forward(away)
			again := imagestest.Open(t, config, dsn)
			if n := cached(); (n == 0) != (away > 48*time.Hour) {
				t.Errorf("after %v there are %d renditions", away, n)
			}
			if err := again.FollowDeletions(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
