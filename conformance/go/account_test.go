package conformance

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image/jpeg"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/images"
)

// TestStats compares the count of images before and after an upload. No other scenario uploads to the
// account concurrently: scenarios run one after another.
func TestStats(t *testing.T) {
	s := newService(t)
	count := func() images.StatCount {
		var query images.V1StatGetParams
		query.AccountID.Value, query.AccountID.Present = s.account, true
		stat, err := s.V1.Stats.Get(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		return stat.Count
	}
	before := count()
	id := upload(t, s, "stats")
	after := count()
	if after.Current != before.Current+1 || after.Allowed < after.Current {
		t.Errorf("the stats were %+v and are %+v after an upload", before, after)
	}
	if err := s.delete(t, id); err != nil {
		t.Error(err)
	}
	if last := count(); last.Current != before.Current {
		t.Errorf("the stats were %+v and are %+v after the deletion", before, last)
	}
}

// TestVariants makes, reads, changes and deletes a variant, and looks at pictures in it.
func TestVariants(t *testing.T) {
	s := newService(t)
	id := "small" + rand.Text()
	image, err := s.details(t, upload(t, s, "variants"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.createVariant(t, id, 40)
	if err != nil {
		t.Fatal(err)
	}
	if v := made.Variant; v.ID != id || v.Options.Width != 40 || v.Options.Height != 400 ||
		v.Options.Fit != "scale-down" || v.Options.Metadata != "none" || v.NeverRequireSignedURLs {
		t.Errorf("the new variant is %+v", v)
	}
	// Terraform reads the id here, and takes a variant without one for gone.
	if got := made.JSON.ExtraFields["id"].Raw(); got != `"`+id+`"` {
		t.Errorf("beside the variant stands the id %q", got)
	}
	s.wantVariant(t, id, 40)
	s.wantWidth(t, image.ID, id, 40)
	wantRefusal(t, s, http.StatusConflict, func() error {
		_, err := s.createVariant(t, id, 50)
		return err
	})
	wantRefusal(t, s, http.StatusBadRequest, func() error {
		_, err := s.createVariant(t, "bad"+rand.Text(), 0)
		return err
	})

	var edit images.V1VariantEditParams
	edit.AccountID.Value, edit.AccountID.Present = s.account, true
	edit.Options.Value.Fit.Value, edit.Options.Value.Fit.Present = "scale-down", true
	edit.Options.Value.Metadata.Value, edit.Options.Value.Metadata.Present = "none", true
	edit.Options.Value.Width.Value, edit.Options.Value.Width.Present = 30, true
	edit.Options.Value.Height.Value, edit.Options.Value.Height.Present = 300, true
	edit.Options.Present = true
	if _, err := s.V1.Variants.Edit(t.Context(), id, edit); err != nil {
		t.Fatal(err)
	}
	s.wantVariant(t, id, 30)
	s.wantWidth(t, image.ID, id, 30)

	var remove images.V1VariantDeleteParams
	remove.AccountID.Value, remove.AccountID.Present = s.account, true
	if _, err := s.V1.Variants.Delete(t.Context(), id, remove); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s, http.StatusNotFound, func() error {
		_, err := s.getVariant(t, id)
		return err
	})
}

func (s *service) createVariant(t *testing.T, id string, width float64,
) (*images.V1VariantNewResponse, error) {
	t.Helper()
	var params images.V1VariantNewParams
	params.AccountID.Value, params.AccountID.Present = s.account, true
	params.ID.Value, params.ID.Present = id, true
	options := &params.Options.Value
	options.Fit.Value, options.Fit.Present = "scale-down", true
	options.Metadata.Value, options.Metadata.Present = "none", true
	options.Width.Value, options.Width.Present = width, true
	options.Height.Value, options.Height.Present = 10*width, true
	params.Options.Present = true
	return s.V1.Variants.New(t.Context(), params)
}

func (s *service) getVariant(t *testing.T, id string) (*images.V1VariantGetResponse, error) {
	t.Helper()
	var query images.V1VariantGetParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	return s.V1.Variants.Get(t.Context(), id, query)
}

// wantVariant wants the variant alone and in the list, which is a map.
func (s *service) wantVariant(t *testing.T, id string, width float64) {
	t.Helper()
	got, err := s.getVariant(t, id)
	if err != nil || got.Variant.ID != id || got.Variant.Options.Width != width {
		t.Errorf("the variant is %+v (%v), want a width of %v", got, err, width)
	}
	var query images.V1VariantListParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	list, err := s.V1.Variants.List(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]struct {
		ID      string
		Options struct{ Width float64 }
	}
	if err := json.Unmarshal([]byte(list.Variants.JSON.RawJSON()), &all); err != nil {
		t.Fatal(err)
	}
	if all[id].ID != id || all[id].Options.Width != width || all["public"].ID != "public" {
		t.Errorf("the list of variants is %+v", all)
	}
}

// wantWidth wants the image in a variant.
func (s *service) wantWidth(t *testing.T, id, variant string, width int) {
	t.Helper()
	status, content := get(t, s.variantURL(t, id, variant))
	picture, err := jpeg.DecodeConfig(bytes.NewReader(content))
	if err != nil || picture.Width != width {
		t.Errorf("delivered was %d, %+v (%v), want %d pixels", status, picture, err, width)
	}
}

// variantURL is where the image is delivered in a variant.
func (s *service) variantURL(t *testing.T, id, variant string) string {
	t.Helper()
	image, err := s.details(t, id)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(image.Variants, func(url string) bool {
		return strings.HasSuffix(url, "/"+variant)
	})
	if at < 0 {
		t.Fatalf("none of %q is the variant %s", image.Variants, variant)
	}
	return image.Variants[at]
}

// get returns the status and the bytes behind a URL.
func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, content
}

// TestKeys makes a signing key, signs the URL of a private image with it, and deletes it.
func TestKeys(t *testing.T) {
	s := newService(t)
	name := "k" + rand.Text()[:10]
	var put images.V1KeyUpdateParams
	put.AccountID.Value, put.AccountID.Present = s.account, true
	made, err := s.V1.Keys.Update(t.Context(), name, put)
	if err != nil {
		t.Fatal(err)
	}
	value := keyValue(made.Keys, name)
	if value == "" || keyValue(made.Keys, "default") == "" {
		t.Fatalf("the keys are %+v", made.Keys)
	}
	var query images.V1KeyListParams
	query.AccountID.Value, query.AccountID.Present = s.account, true
	if list, err := s.V1.Keys.List(t.Context(), query); err != nil ||
		keyValue(list.Keys, name) != value {
		t.Errorf("the list of keys is %+v (%v)", list, err)
	}
	image, err := s.create(t, newPicture(t), func(p *images.V1NewParams) {
		p.RequireSignedURLs.Value, p.RequireSignedURLs.Present = true, true
	})
	if err != nil {
		t.Fatal(err)
	}
	plain := s.variantURL(t, image.ID, "public")
	signed := sign(t, plain, value)
	if status, _ := get(t, plain); status != http.StatusForbidden {
		t.Errorf("the private image is answered with %d", status)
	}
	if status, _ := get(t, signed); status != http.StatusOK {
		t.Errorf("the signed URL is answered with %d", status)
	}
	var remove images.V1KeyDeleteParams
	remove.AccountID.Value, remove.AccountID.Present = s.account, true
	left, err := s.V1.Keys.Delete(t.Context(), name, remove)
	if err != nil || keyValue(left.Keys, name) != "" || keyValue(left.Keys, "default") == "" {
		t.Errorf("the keys left are %+v (%v)", left, err)
	}
	if status, _ := get(t, signed); status != http.StatusForbidden {
		t.Errorf("a URL signed by a deleted key is answered with %d", status)
	}
}

func keyValue(keys []images.Key, name string) string {
	for _, key := range keys {
		if key.Name == name {
			return key.Value
		}
	}
	return ""
}

// sign signs a delivery URL as the service documents it.
func sign(t *testing.T, plain, key string) string {
	t.Helper()
	u, err := url.Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = io.WriteString(mac, u.EscapedPath()+"?exp=4102444800")
	return plain + "?exp=4102444800&sig=" + hex.EncodeToString(mac.Sum(nil))
}
