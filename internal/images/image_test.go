package images_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestADraftBecomesAnImage(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		made, ticket := imagestest.Draft(t, core, images.NewDraft{
			Meta: json.RawMessage(` { "key" : "value" } `), Creator: imagestest.Ptr("someone"), RequireSignedURLs: true,
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
		img, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
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
		if !bytes.Equal(imagestest.Stored(t, core, made.ID), body) {
			t.Error("the stored bytes are not those that came")
		}
		_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, body)
		imagestest.WantKind(t, err, errs.TicketUsed)
	})
}

func TestDelete(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		r := imagestest.Resolve(t, core, img.ID)
		rendition, err := core.Renditions.Rendition(t.Context(), r, "jpeg")
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
		_, err = core.Renditions.Resolve(t.Context(), r.Account.Hash, img.ID, "public")
		imagestest.WantKind(t, err, errs.ImageNotFound)
		imagestest.WantKind(t, core.DeleteImage(t.Context(), account, img.ID), errs.ImageNotFound)
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("originals are left: %v", left)
		}
		if left := imagestest.Files(t, core.Dir+"/renditions"); len(left) != 0 {
			t.Errorf("renditions are left: %v", left)
		}

		cancelled, ticket := imagestest.Draft(t, core, images.NewDraft{})
		if err := core.DeleteImage(t.Context(), account, cancelled.ID); err != nil {
			t.Fatal(err)
		}
		_, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
		imagestest.WantKind(t, err, errs.TicketUnknown)
	})
}
