package conformance

import (
	"crypto/rand"
	"net/http"
	"slices"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/images"
)

// TestList uploads five images of one creator, and one without a creator, and lists them.
func TestList(t *testing.T) {
	s := newService(t)
	creator := "list of " + rand.Text()
	nobodys := upload(t, s, "")
	if got := list(t, s, creator, images.V2ListParamsSortOrderDesc, 1000); len(got) != 0 {
		t.Errorf("the list of a new creator has %q", got)
	}
	var ids []string
	for range 5 {
		ids = append(ids, upload(t, s, creator))
	}
	if _, err := s.createUploadURL(t, func(p *images.V2DirectUploadNewParams) { // a draft, never listed
		p.Creator.Value, p.Creator.Present = creator, true
	}); err != nil {
		t.Fatal(err)
	}
	if got := list(t, s, creator, images.V2ListParamsSortOrderAsc, 2); !slices.Equal(got, ids) {
		t.Errorf("the list in ascending order has %q, want %q", got, ids)
	}
	slices.Reverse(ids)
	if got := list(t, s, creator, images.V2ListParamsSortOrderDesc, 2); !slices.Equal(got, ids) {
		t.Errorf("the list in descending order has %q, want %q", got, ids)
	}
	if got := list(t, s, creator, images.V2ListParamsSortOrderDesc, 1000); !slices.Equal(got, ids) {
		t.Errorf("the list on one page has %q, want %q", got, ids)
	}
	got := list(t, s, "", images.V2ListParamsSortOrderDesc, 1000)
	if !slices.Contains(got, nobodys) || slices.Contains(got, ids[0]) {
		t.Errorf("the list of images without a creator has %q, want %s but not %s", got, nobodys, ids[0])
	}
	for _, id := range append(ids, nobodys) {
		if err := s.delete(t, id); err != nil {
			t.Error(err)
		}
	}
	if got := list(t, s, creator, images.V2ListParamsSortOrderDesc, 10); len(got) != 0 {
		t.Errorf("the list has %q, which were deleted", got)
	}
}

// upload uploads a picture by a one-time URL and returns the image's id.
func upload(t *testing.T, s *service, creator string) string {
	t.Helper()
	minted, err := s.createUploadURL(t, func(p *images.V2DirectUploadNewParams) {
		p.Creator.Value, p.Creator.Present = creator, creator != ""
	})
	if err != nil {
		t.Fatal(err)
	}
	if minted.UploadURL == "" {
		t.Fatal("there is no upload URL")
	}
	if status := post(t, minted.UploadURL, newPicture(t)); status != http.StatusOK {
		t.Fatalf("the upload was answered with status %d", status)
	}
	return minted.ID
}

// list returns the ids of all images of a creator, page by page.
func list(t *testing.T, s *service, creator string, order images.V2ListParamsSortOrder,
	perPage float64,
) (ids []string) {
	t.Helper()
	var params images.V2ListParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.Creator.Value, params.Creator.Present = creator, true
	params.SortOrder.Value, params.SortOrder.Present = order, true
	params.PerPage.Value, params.PerPage.Present = perPage, true
	for range 20 {
		page, err := s.V2.List(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Images) > int(perPage) {
			t.Errorf("the page has %d images, want at most %v", len(page.Images), perPage)
		}
		for _, image := range page.Images {
			ids = append(ids, image.ID)
		}
		token := &params.ContinuationToken
		if token.Value, token.Present = page.ContinuationToken, true; token.Value == "" {
			return ids
		}
	}
	t.Errorf("the list does not end: %q", ids)
	return ids
}
