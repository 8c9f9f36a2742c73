package conformance

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/images"
)

// create uploads a picture by the API.
func (s *service) create(t *testing.T, picture []byte, set func(*images.V1NewParams),
) (*images.Image, error) {
	t.Helper()
	var params images.V1NewParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.File.Value, params.File.Present = bytes.NewReader(picture), true
	set(&params)
	return s.V1.New(t.Context(), params)
}

// TestUploadByAPI uploads pictures with the token in hand.
func TestUploadByAPI(t *testing.T) {
	s := newService(t)
	w := wanted{id: "api/" + rand.Text() + "/Ölbild im Café", creator: "user " + rand.Text(),
		meta: map[string]any{"key": "value"}}
	set := func(p *images.V1NewParams) {
		p.ID.Value, p.ID.Present = w.id, true
		p.Creator.Value, p.Creator.Present = w.creator, true
		p.Metadata.Value, p.Metadata.Present = w.meta, true
	}
	picture := newPicture(t)
	image, err := s.create(t, picture, set)
	if err != nil {
		t.Fatal(err)
	}
	w.check(t, image)
	if image, err = s.details(t, w.id); err != nil {
		t.Fatal(err)
	}
	w.check(t, image)
	if isDraft(image) {
		t.Error("the image is still a draft after the upload")
	}
	wantDelivered(t, image)
	wantBlob(t, s, w.id, picture)
	wantRefusal(t, s, http.StatusConflict, func() error {
		_, err := s.create(t, newPicture(t), set)
		return err
	})
	wantRefusal(t, s, http.StatusUnsupportedMediaType, func() error {
		_, err := s.create(t, []byte("no picture"), func(*images.V1NewParams) {})
		return err
	})
	wantBlob(t, s, w.id, picture)
	if err := s.delete(t, w.id); err != nil {
		t.Error(err)
	}
}

// TestOldList lists by page numbers. The SDK's pager looks for a field items, which the service
// never had, so programs read the field images.
func TestOldList(t *testing.T) {
	s := newService(t)
	creator := "old list of " + rand.Text()
	var ids []string
	for range 3 {
		image, err := s.create(t, newPicture(t), func(p *images.V1NewParams) {
			p.Creator.Value, p.Creator.Present = creator, true
		})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, image.ID)
	}
	var got []string
	for page, want := range []int{2, 1, 0} {
		on := s.oldPage(t, creator, page+1)
		if len(on) != want {
			t.Errorf("the old list has %d images on page %d, want %d", len(on), page+1, want)
		}
		got = append(got, on...)
	}
	slices.Sort(got)
	slices.Sort(ids)
	if !slices.Equal(got, ids) {
		t.Errorf("the old list has %q, want %q", got, ids)
	}
	for _, id := range ids {
		if err := s.delete(t, id); err != nil {
			t.Error(err)
		}
	}
}

// oldPage returns the ids on a page of two images. The SDK calls this list deprecated; programs
// still use it.
//
//lint:file-ignore SA1019 see oldPage
func (s *service) oldPage(t *testing.T, creator string, number int) (ids []string) {
	t.Helper()
	var params images.V1ListParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.Creator.Value, params.Creator.Present = creator, true
	params.Page.Value, params.Page.Present = float64(number), true
	params.PerPage.Value, params.PerPage.Present = 2, true
	page, err := s.V1.List(t.Context(), params)
	if err != nil {
		t.Fatal(err)
	}
	if info := page.ResultInfo; info.Page != int64(number) || info.PerPage != 2 {
		t.Errorf("the result_info of page %d has page %d, per_page %d",
			number, info.Page, info.PerPage)
	}
	var list []images.Image
	raw := page.Result.JSON.ExtraFields["images"].Raw()
	if err := json.Unmarshal([]byte(raw), &list); err != nil {
		t.Fatalf("the old list is %q: %v", raw, err)
	}
	for _, image := range list {
		ids = append(ids, image.ID)
	}
	pager := s.V1.ListAutoPaging(t.Context(), params)
	if pager.Next() || pager.Err() != nil {
		t.Errorf("the pager finds %v, error %v", pager.Current(), pager.Err())
	}
	return ids
}
