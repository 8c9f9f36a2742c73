package conformance

import (
	"bytes"
	"crypto/rand"
	"image/jpeg"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/images"
)

// TestDirectUpload takes one-time URLs of all kinds from being asked for to the image's deletion.
func TestDirectUpload(t *testing.T) {
	object := map[string]any{"key": "value", "list": []string{"a", "b"},
		"nested": map[string]any{"Schlüssel": "ü/ö"}}
	tests := []struct {
		name string
		set  func(*images.V2DirectUploadNewParams)
		meta any
	}{
		{name: "no options"},
		{name: "custom id", set: func(p *images.V2DirectUploadNewParams) {
			p.ID.Value, p.ID.Present = "users/"+rand.Text()+"/Ölbild im Café/日本", true
		}},
		{name: "metadata object", set: func(p *images.V2DirectUploadNewParams) {
			p.Metadata.Value, p.Metadata.Present = object, true
		}, meta: map[string]any{"key": "value", "list": []any{"a", "b"},
			"nested": map[string]any{"Schlüssel": "ü/ö"}}},
		{name: "metadata text", set: func(p *images.V2DirectUploadNewParams) {
			p.Metadata.Value, p.Metadata.Present = `{"number":5,"true":true,"text":"ü"}`, true
		}, meta: map[string]any{"number": 5.0, "true": true, "text": "ü"}},
		{name: "creator", set: func(p *images.V2DirectUploadNewParams) {
			p.Creator.Value, p.Creator.Present = "user:"+rand.Text(), true
		}},
		{name: "expiry", set: func(p *images.V2DirectUploadNewParams) {
			p.Expiry.Value, p.Expiry.Present = time.Now().Add(10*time.Minute), true
		}},
		{name: "private", set: func(p *images.V2DirectUploadNewParams) {
			p.RequireSignedURLs.Value, p.RequireSignedURLs.Present = true, true
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var want images.V2DirectUploadNewParams
			if test.set != nil {
				test.set(&want)
			}
			fresh := func(p *images.V2DirectUploadNewParams) {
				account := p.AccountID
				*p = want
				p.AccountID = account
			}
			directUpload(t, newService(t), fresh, wanted{
				id: want.ID.Value, creator: want.Creator.Value, meta: test.meta,
				private: want.RequireSignedURLs.Value,
			})
		})
	}
}

// wanted is what an image is to have; id and meta may be left to the service.
type wanted struct {
	id, creator string
	meta        any
	private     bool
}

func directUpload(t *testing.T, s *service, set func(*images.V2DirectUploadNewParams), w wanted) {
	minted, err := s.createUploadURL(t, set)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case minted.UploadURL == "":
		t.Fatal("there is no upload URL")
	case minted.ID == "" || w.id != "" && minted.ID != w.id:
		t.Fatalf("the id is %q", minted.ID)
	}
	w.id = minted.ID
	draft, err := s.details(t, w.id)
	if err != nil {
		t.Fatal(err)
	}
	if !isDraft(draft) {
		t.Error("the image is no draft before the upload")
	}
	w.check(t, draft)

	picture := newPicture(t)
	if status := post(t, minted.UploadURL, picture); status != http.StatusOK {
		t.Fatalf("the upload was answered with status %d", status)
	}
	image, err := s.details(t, w.id)
	if err != nil {
		t.Fatal(err)
	}
	if isDraft(image) {
		t.Error("the image is still a draft after the upload")
	}
	w.check(t, image)
	if image.Filename != "picture.jpg" || image.Uploaded.Before(draft.Uploaded) {
		t.Errorf("the image has filename %q, uploaded %s", image.Filename, image.Uploaded)
	}
	wantDelivered(t, image)
	wantBlob(t, s, w.id, picture)
	if status := post(t, minted.UploadURL, newPicture(t)); status != http.StatusConflict {
		t.Errorf("the second upload was answered with status %d, want 409", status)
	}
	wantBlob(t, s, w.id, picture)
	if err := s.delete(t, w.id); err != nil {
		t.Error(err)
	}
	if _, err := s.details(t, w.id); err == nil {
		t.Error("the image was found after its deletion")
	}
}

// check compares an image or draft with what was asked for.
func (w wanted) check(t *testing.T, image *images.Image) {
	t.Helper()
	if image.ID != w.id || image.Creator != w.creator || image.RequireSignedURLs != w.private {
		t.Errorf("the image has id %q, creator %q, requireSignedURLs %v; want %+v",
			image.ID, image.Creator, image.RequireSignedURLs, w)
	}
	if !reflect.DeepEqual(image.Meta, w.meta) {
		t.Errorf("the metadata is %#v, want %#v", image.Meta, w.meta)
	}
}

// wantDelivered fetches the variants: a public image is there for all, a private one for none
// without a signature.
func wantDelivered(t *testing.T, image *images.Image) {
	t.Helper()
	if len(image.Variants) == 0 {
		t.Error("the image has no variants")
	}
	for _, url := range image.Variants {
		response, err := http.Get(url)
		if err != nil {
			t.Error(err)
			continue
		}
		defer response.Body.Close()
		if image.RequireSignedURLs {
			if response.StatusCode != http.StatusForbidden {
				t.Errorf("the private image was delivered with status %d", response.StatusCode)
			}
			continue
		}
		picture, err := jpeg.DecodeConfig(response.Body)
		if err != nil || picture.Width != 64 || picture.Height != 48 {
			t.Errorf("delivered was status %d, %d x %d pixels: %v",
				response.StatusCode, picture.Width, picture.Height, err)
		}
	}
}

func wantBlob(t *testing.T, s *service, id string, picture []byte) {
	t.Helper()
	blob, err := s.blob(t, id)
	if err != nil {
		t.Error(err)
	} else if !bytes.Equal(blob, picture) {
		t.Errorf("the blob differs from what was uploaded: %d bytes of %d", len(blob), len(picture))
	}
}
