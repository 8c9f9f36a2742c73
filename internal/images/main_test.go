package images_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestMain(m *testing.M) { imagestest.Main(m) }

const account = imagestest.AccountID

// clock is a clock that tests turn.
type clock struct{ at time.Time }

func newClock() *clock {
	return &clock{at: time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)}
}

func (c *clock) now() time.Time { return c.at }

func (c *clock) forward(d time.Duration) { c.at = c.at.Add(d) }

// draft makes a draft and returns it with its ticket.
func draft(t *testing.T, core *images.Service, d images.NewDraft) (images.Image, string) {
	t.Helper()
	img, ticket, err := core.CreateDraft(t.Context(), account, d)
	if err != nil {
		t.Fatal(err)
	}
	return img, ticket
}

// post sends a body to a ticket as the intake does.
func post(
	ctx context.Context, core *images.Service, r images.UploadRequest, body []byte,
) (images.Image, error) {
	if r.Size == 0 {
		r.Size = int64(len(body))
	}
	u, err := core.BeginUpload(ctx, r)
	if err != nil {
		return images.Image{}, err
	}
	defer u.Close()
	if _, err := io.Copy(u, bytes.NewReader(body)); err != nil {
		return images.Image{}, u.Refuse(ctx, err)
	}
	return u.Finish(ctx, "picture.jpg")
}

// upload makes an image out of a picture.
func upload(t *testing.T, core *images.Service, d images.NewDraft, body []byte) images.Image {
	t.Helper()
	_, ticket := draft(t, core, d)
	img, err := post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func wantKind(t *testing.T, err error, want errs.Kind) {
	t.Helper()
	if err == nil || errs.AsError(err).Kind != want {
		t.Fatalf("got %v, want the kind %v", err, want)
	}
}

func ptr[T any](v T) *T { return &v }

// stored returns an image's original.
func stored(t *testing.T, core *images.Service, id string) []byte {
	t.Helper()
	_, r, err := core.OpenOriginal(t.Context(), account, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// blobs returns the keys of all originals in the store.
func blobs(t *testing.T, core *images.Service) (keys []string) {
	t.Helper()
	for cursor := ""; ; {
		page, next, err := core.Blobs.List(t.Context(), "", cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range page {
			if strings.Contains(info.Key, "/") {
				keys = append(keys, info.Key)
			}
		}
		if cursor = next; next == "" {
			return keys
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range errs.Kinds() {
		if k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d has no unique name", k)
		}
		seen[k.String()] = true
	}
}

func TestADraftBecomesAnImage(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		made, ticket := draft(t, core, images.NewDraft{
			Meta: json.RawMessage(` { "key" : "value" } `), Creator: ptr("someone"), RequireSignedURLs: true,
		})
		seen, err := core.Image(t.Context(), account, made.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !seen.Draft || seen.Filename != nil || string(seen.Meta) != `{"key":"value"}` ||
			*seen.Creator != "someone" || !seen.RequireSignedURLs || len(seen.ID) != 36 ||
			!seen.Uploaded.Equal(made.Created) || seen.Ticket.Expires.Sub(seen.Created) != 30*time.Minute {
			t.Fatalf("the draft is %+v", seen)
		}
		if _, _, err := core.OpenOriginal(t.Context(), account, made.ID); err == nil {
			t.Error("a draft has an original")
		}
		body := imagestest.JPEG(t, 1)
		img, err := post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
		if err != nil {
			t.Fatal(err)
		}
		again, err := core.Image(t.Context(), account, made.ID)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(img)
		b, _ := json.Marshal(again)
		if !bytes.Equal(a, b) {
			t.Errorf("the answer\n%s\nis not what was stored\n%s", a, b)
		}
		o := again.Original
		if again.Draft || again.Ticket != nil || *again.Filename != "picture.jpg" || o.Width != 64 ||
			o.Height != 48 || o.Header.Format != "jpeg" || o.Size != int64(len(body)) || o.Thumbhash == "" {
			t.Errorf("the image is %+v, %+v", again, o)
		}
		if !bytes.Equal(stored(t, core, made.ID), body) {
			t.Error("the stored bytes are not those that came")
		}
		_, err = post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
		wantKind(t, err, errs.TicketUsed)
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		img := upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		r := resolve(t, core, img.ID)
		rendition, err := core.Rendition(t.Context(), r, "jpeg")
		if err != nil {
			t.Fatal(err)
		}
		if err := rendition.Content.Close(); err != nil {
			t.Fatal(err)
		}
		if err := core.DeleteImage(t.Context(), account, img.ID); err != nil {
			t.Fatal(err)
		}
		// At once, though it was resolved a moment ago.
		_, err = core.Resolve(t.Context(), r.Account.Hash, img.ID, "public")
		wantKind(t, err, errs.ImageNotFound)
		wantKind(t, core.DeleteImage(t.Context(), account, img.ID), errs.ImageNotFound)
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("originals are left: %v", left)
		}
		if left := files(t, core.Dir+"/renditions"); len(left) != 0 {
			t.Errorf("renditions are left: %v", left)
		}

		cancelled, ticket := draft(t, core, images.NewDraft{})
		if err := core.DeleteImage(t.Context(), account, cancelled.ID); err != nil {
			t.Fatal(err)
		}
		_, err = post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
		wantKind(t, err, errs.TicketUnknown)
	})
}

func TestList(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *images.Service) {
		clock := newClock()
		core.Now = clock.now
		var want []string
		for i := range 7 {
			d := images.NewDraft{}
			if i%2 == 0 {
				d.Creator = ptr("even")
			}
			if i != 3 { // two at the same moment
				clock.forward(time.Millisecond)
			}
			want = append(want, upload(t, core, d, imagestest.JPEG(t, i)).ID)
		}
		draft(t, core, images.NewDraft{})
		walk := func(q images.ListQuery) (ids []string) {
			for {
				page, err := core.ListImages(t.Context(), account, q)
				if err != nil {
					t.Fatal(err)
				}
				for _, img := range page.Images {
					ids = append(ids, img.ID)
				}
				if q.Token = page.Next; page.Next == "" {
					return ids
				}
			}
		}
		up, down := walk(images.ListQuery{Limit: 2, Ascending: true}), walk(images.ListQuery{Limit: 3})
		if len(up) != 7 || up[0] != want[0] || up[6] != want[6] {
			t.Errorf("ascending: got %v, want %v", up, want)
		}
		for i, id := range down {
			if id != up[6-i] {
				t.Fatalf("descending is not the reverse: %v and %v", down, up)
			}
		}
		if got := walk(images.ListQuery{Limit: 2, Creator: ptr("even")}); len(got) != 4 {
			t.Errorf("creator: got %d images, want 4", len(got))
		}
		if got := walk(images.ListQuery{Limit: 2, Creator: ptr("")}); len(got) != 3 {
			t.Errorf("no creator: got %d images, want 3", len(got))
		}
		for _, q := range []images.ListQuery{{}, {Limit: 10_001}, {Limit: 1, Token: "x"}, {Limit: 1, Token: "MS54"}} {
			_, err := core.ListImages(t.Context(), account, q)
			wantKind(t, err, errs.Invalid)
		}
		page, err := core.ListImages(t.Context(), strings.Repeat("0", 32), images.ListQuery{Limit: 9})
		if err != nil || len(page.Images) != 0 {
			t.Errorf("another account sees %d images, %v", len(page.Images), err)
		}
	})
}
