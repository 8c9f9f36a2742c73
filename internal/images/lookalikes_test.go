package images_test

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/blob"
	"calotype/internal/errs"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/lookalikes"
	"calotype/internal/phash"
	"calotype/internal/sqldb/sqldbtest"
	"calotype/internal/text"
	"calotype/internal/uploadpolicy"
	"calotype/internal/webhooks"
)

// block blocks a value.
func block(t *testing.T, core *imagestest.Core, value string, distance int) {
	t.Helper()
	e := lookalikes.Entry{Value: value, Distance: distance, Note: "private note"}
	if _, err := core.Blocked.Put(t.Context(), account, e); err != nil {
		t.Fatal(err)
	}
}

func unblock(t *testing.T, core *imagestest.Core, value string) {
	t.Helper()
	if err := core.Blocked.Delete(t.Context(), account, value); err != nil {
		t.Fatal(err)
	}
}

// blockedWays are all ways into the core. Each returns the result of the upload of a picture.
func blockedWays(t *testing.T, core *imagestest.Core, sent []byte) map[string]func() error {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(sent) }))
	t.Cleanup(server.Close)
	post := func(uses int) error {
		policy := uploadpolicy.Policy{Uses: uses}
		_, ticket := imagestest.Draft(t, core, images.NewDraft{Policy: json.RawMessage(policy.Text())})
		_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, sent)
		return err
	}
	body := func(use func(*images.Body) error) error {
		b, err := core.BeginImage(account, -1)
		if err != nil {
			return err
		}
		defer b.Close()
		if _, err := b.Write(sent); err != nil {
			return err
		}
		return use(b)
	}
	return map[string]func() error{
		"one-time URL": func() error { return post(1) },
		"link":         func() error { return post(3) },
		"resumable": func() error {
			_, secret := newPartial(t, core, images.NewPartial{Length: int64(len(sent))})
			_, err := send(t.Context(), core, secret, at(0), sent)
			if p := state(t, core, secret); err != nil && errs.AsError(p.Refused).Kind != errs.AsError(err).Kind {
				t.Errorf("the state of a resumable upload is %+v after %v", p, err)
			}
			return err
		},
		"API": func() error {
			_, err := imagestest.Create(t, core, account, images.NewDraft{}, sent)
			return err
		},
		"URL": func() error {
			_, err := core.FetchImage(t.Context(), account, server.URL, images.NewDraft{})
			return err
		},
		"import": func() error {
			return body(func(b *images.Body) error {
				i := images.ImportedImage{ID: "imported/" + text.NewKey(), Uploaded: time.Now()}
				_, err := b.Import(t.Context(), i, time.Now())
				return err
			})
		},
		"plan of an import": func() error {
			return body(func(b *images.Body) error { return b.Try(t.Context()) })
		},
	}
}

// TestBlockedPictures: each way refuses what is on the list, by each value, and nothing else.
func TestBlockedPictures(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		core := fetcher(t, dsn)
		setPrivacy(t, core, imagefile.PrivacyAll) // the stored bytes are others than those that come
		sent := located(t, 1)
		img := imagestest.Upload(t, core, images.NewDraft{}, sent)
		o := img.Original
		hash, err := phash.Parse(o.Phash)
		if err != nil || o.SHA256 == o.ReceivedSHA256() {
			t.Fatalf("the original is %+v, %v", o, err)
		}
		near := (hash ^ 1<<63 ^ 1<<30 ^ 1).String()
		before := len(blobs(t, core))
		for _, c := range []struct {
			name, value string
			distance    int
			refused     bool
		}{
			{"sha256", o.SHA256, 0, true}, {"received sha256", o.ReceivedSHA256(), 0, true}, {"phash", o.Phash, 0, true},
			{"near", near, 3, true}, {"far", near, 10, true},
			{"too far", near, 2, false}, {"another", strings.Repeat("0", 64), 0, false},
		} {
			block(t, core, c.value, c.distance)
			for name, way := range blockedWays(t, core, sent) {
				if name == "plan of an import" && c.name == "sha256" {
					continue // a plan removes nothing, so it has the bytes as they come only
				}
				err := way()
				if c.refused && errs.AsError(err).Kind != errs.Blocked || !c.refused && err != nil {
					t.Errorf("%s, %s: %v", c.name, name, err)
				}
				if err != nil && strings.Contains(err.Error(), "private note") {
					t.Errorf("the uploader reads the note: %v", err)
				}
			}
			if err := core.Partials.DeleteParts(t.Context()); err != nil {
				t.Fatal(err)
			}
			if left := len(blobs(t, core)); c.refused && left != before {
				t.Errorf("%s: %d originals are stored, want %d", c.name, left, before)
			}
			unblock(t, core, c.value)
		}
		imagestest.CheckUsage(t, core)
		if left := imagestest.Files(t, core.Dir+"/spool"); len(left) != 0 {
			t.Errorf("in the spool are left: %v", left)
		}
	})
}

// TestBlockedTicket: the ticket counts the refusal, its state and a webhook have it, and the same file is accepted by
// the same URL when the entry is deleted.
func TestBlockedTicket(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		hook := imagestest.Webhook(t, core, webhooks.UploadFailed)
		imagestest.Policy(t, core, "all", hook.ID)
		sent := imagestest.JPEG(t, 3)
		value := imagestest.Upload(t, core, images.NewDraft{}, sent).Original.SHA256
		block(t, core, value, 0)
		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		for range 2 {
			_, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, sent)
			imagestest.WantKind(t, err, errs.Blocked)
		}
		draft, err := core.Image(t.Context(), account, made.ID)
		if err != nil || !draft.Draft || draft.Ticket.LastKind != errs.Blocked || draft.Ticket.Refusals != 2 {
			t.Errorf("the draft is %+v, %v", draft.Ticket, err)
		}
		if sent := imagestest.Claim(t, core, hook); len(sent) != 2 || sent[0].Event.Facts.Failure.Kind != "blocked" {
			t.Errorf("%d events are sent", len(sent))
		}
		unblock(t, core, value)
		if _, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, sent); err != nil {
			t.Error(err)
		}
		imagestest.CheckUsage(t, core)
	})
}

// A hookedStore calls a function before it stores an original.
type hookedStore struct {
	blob.Store
	hook *atomic.Pointer[func()]
}

func (s hookedStore) Put(ctx context.Context, key string, f *os.File, size int64) error {
	if hook := s.hook.Load(); hook != nil {
		(*hook)()
	}
	return s.Store.Put(ctx, key, f, size)
}

// TestBlockedDuringTheUpload: an entry that is added while the original is stored refuses the upload at its commit.
func TestBlockedDuringTheUpload(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, dsn string) {
		dir, err := blob.OpenDir(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		store := hookedStore{dir, &atomic.Pointer[func()]{}}
		core := imagestest.Open(t, images.Config{Blobs: store}, dsn)
		sent := imagestest.JPEG(t, 3)
		o := imagestest.Upload(t, core, images.NewDraft{}, sent).Original
		for _, value := range []string{o.SHA256, o.Phash} {
			for name, way := range blockedWays(t, core, sent) {
				if name == "URL" || name == "plan of an import" || name == "resumable" {
					continue // it fetches from this machine; it stores nothing; it stores parts too
				}
				add := func() { block(t, core, value, 0) }
				store.hook.Store(&add)
				err := way()
				store.hook.Store(nil)
				imagestest.WantKind(t, err, errs.Blocked)
				unblock(t, core, value)
				if n := imagestest.Count(t, core, "images WHERE draft = 0"); n != 1 {
					t.Errorf("%s: %d images, want 1", name, n)
				}
			}
		}
		refused := imagestest.Count(t, core, "images WHERE draft = 1 AND last_kind = 'blocked' AND refusals = 1")
		if refused != 4 {
			t.Errorf("%d drafts count a refusal, want 4", refused)
		}
		if stored := len(blobs(t, core)); stored != 1 {
			t.Errorf("%d originals are stored, want 1", stored)
		}
		imagestest.CheckUsage(t, core)
	})
}

// TestBlockedConcurrently adds and deletes an entry while pictures are uploaded: after an addition has returned, no
// upload that begins is accepted.
func TestBlockedConcurrently(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		sent := imagestest.JPEG(t, 3)
		value := imagestest.Upload(t, core, images.NewDraft{}, sent).Original.Phash
		var uploading sync.WaitGroup
		var accepted atomic.Int64
		for range 4 {
			uploading.Go(func() {
				for range 5 {
					_, err := imagestest.Create(t, core, account, images.NewDraft{}, sent)
					if err == nil {
						accepted.Add(1)
					} else if errs.AsError(err).Kind != errs.Blocked {
						t.Error(err)
					}
				}
			})
		}
		for range 5 {
			block(t, core, value, 0)
			n := imagestest.Count(t, core, "images")
			_, err := imagestest.Create(t, core, account, images.NewDraft{}, sent)
			imagestest.WantKind(t, err, errs.Blocked)
			if now := imagestest.Count(t, core, "images"); now != n {
				t.Errorf("%d images are added while the picture is blocked", now-n)
			}
			unblock(t, core, value)
		}
		uploading.Wait()
		if n := int64(imagestest.Count(t, core, "images")); n != accepted.Load()+1 {
			t.Errorf("%d images, and %d uploads are accepted", n, accepted.Load())
		}
		imagestest.CheckUsage(t, core)
	})
}

// oneTone is a picture without a perceptual hash.
func oneTone(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 40, 30))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPhashIsStored: an image and its event have the hash of the upload; an SVG and a picture of one tone have none.
func TestPhashIsStored(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		hook := imagestest.Webhook(t, core, webhooks.UploadSucceeded)
		imagestest.Policy(t, core, "all", hook.ID)
		svg := []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="9" height="9"/></svg>`)
		for name, c := range map[string]struct {
			sent []byte
			has  bool
		}{"JPEG": {imagestest.JPEG(t, 3), true}, "SVG": {svg, false}, "one tone": {oneTone(t), false}} {
			img := imagestest.Upload(t, core, images.NewDraft{}, c.sent)
			read, err := core.Image(t.Context(), account, img.ID)
			if err != nil {
				t.Fatal(err)
			}
			if got := read.Original.Phash; got != img.Original.Phash || (len(got) == phash.TextLength) != c.has {
				t.Errorf("%s has the hash %q, then %q", name, img.Original.Phash, got)
			}
			sent := imagestest.Claim(t, core, hook)
			if len(sent) != 1 || images.ImageOf(sent[0].Event).Original.Phash != img.Original.Phash {
				t.Errorf("%s: %d events", name, len(sent))
			}
			imagestest.Complete(t, core, imagestest.Attempts(sent, http.StatusOK)...)
		}
	})
}
