package conformance

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/images"
)

func (s *service) edit(t *testing.T, id string, set func(*images.V1EditParams),
) (*images.Image, error) {
	t.Helper()
	var params images.V1EditParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	set(&params)
	return s.V1.Edit(t.Context(), id, params)
}

// TestEdit changes an image field by field, and then makes it private, which gives it another id.
func TestEdit(t *testing.T) {
	s := newService(t)
	picture := newPicture(t)
	image, err := s.create(t, picture, func(p *images.V1NewParams) {
		p.Metadata.Value, p.Metadata.Present = map[string]any{"old": "value"}, true
	})
	if err != nil {
		t.Fatal(err)
	}
	before := *image
	w := wanted{id: image.ID, creator: "user " + rand.Text(), meta: map[string]any{"new": 5.0}}
	steps := []func(*images.V1EditParams){
		func(p *images.V1EditParams) {
			p.Metadata.Value, p.Metadata.Present = map[string]any{"new": 5}, true
			p.Creator.Value, p.Creator.Present = w.creator, true
		},
		func(*images.V1EditParams) {}, // what is not given stays
		func(p *images.V1EditParams) { p.RequireSignedURLs.Present = true },
	}
	for _, step := range steps {
		if image, err = s.edit(t, w.id, step); err != nil {
			t.Fatal(err)
		}
		w.check(t, image)
	}
	private := func(p *images.V1EditParams) {
		p.RequireSignedURLs.Value, p.RequireSignedURLs.Present = true, true
	}
	if image, err = s.edit(t, w.id, private); err != nil {
		t.Fatal(err)
	}
	if image.ID == w.id {
		t.Error("the edited image is private under the old id")
	}
	wantRefusal(t, s, http.StatusNotFound, func() error { _, err := s.details(t, w.id); return err })
	w.id, w.private = image.ID, true
	if image, err = s.details(t, w.id); err != nil {
		t.Fatal(err)
	}
	w.check(t, image)
	if !image.Uploaded.Equal(before.Uploaded) {
		t.Errorf("the edited image was uploaded %s, before the edit %s", image.Uploaded, before.Uploaded)
	}
	wantDelivered(t, image)
	wantBlob(t, s, w.id, picture)
	for _, url := range before.Variants { // under the old id it is not delivered
		if response, err := http.Get(url); err != nil {
			t.Error(err)
		} else if response.Body.Close(); response.StatusCode != http.StatusNotFound {
			t.Errorf("under the old id was delivered status %d", response.StatusCode)
		}
	}
	if err := s.delete(t, w.id); err != nil {
		t.Error(err)
	}
}

// TestUploadByURL has the service fetch a picture: from the service itself, which a program knows
// to be reachable.
func TestUploadByURL(t *testing.T) {
	s := newService(t)
	source, err := s.create(t, newPicture(t), func(*images.V1NewParams) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(source.Variants) == 0 {
		t.Fatal("the image has no variants")
	}
	from := func(url string) func(*images.V1NewParams) {
		return func(p *images.V1NewParams) {
			p.File.Present = false
			p.URL.Value, p.URL.Present = url, true
			p.Metadata.Value, p.Metadata.Present = map[string]any{"key": "value"}, true
		}
	}
	url := source.Variants[0]
	image, err := s.create(t, nil, from(url))
	if err != nil {
		t.Fatal(err)
	}
	wanted{id: image.ID, meta: map[string]any{"key": "value"}}.check(t, image)
	if name := url[strings.LastIndex(url, "/")+1:]; image.Filename != name || isDraft(image) {
		t.Errorf("the image has filename %q, want %q", image.Filename, name)
	}
	wantDelivered(t, image)
	wantRefusal(t, s, http.StatusBadRequest, func() error {
		_, err := s.create(t, nil, from("http://169.254.169.254/latest/meta-data/"))
		return err
	})
	wantRefusal(t, s, http.StatusBadRequest, func() error {
		_, err := s.create(t, newPicture(t), func(p *images.V1NewParams) {
			p.URL.Value, p.URL.Present = url, true
		})
		return err
	})
	for _, id := range []string{image.ID, source.ID} {
		if err := s.delete(t, id); err != nil {
			t.Error(err)
		}
	}
}
