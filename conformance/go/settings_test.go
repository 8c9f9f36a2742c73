package conformance

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/images"
)

// TestVariants makes, lists, changes and deletes a variant.
func TestVariants(t *testing.T) {
	s := newService(t)
	name := "v" + rand.Text()
	var wanted images.V1VariantNewParams
	wanted.AccountID.Value, wanted.AccountID.Present = s.account, true
	wanted.ID.Value, wanted.ID.Present = name, true
	var options images.V1VariantNewParamsOptions
	options.Fit.Value, options.Fit.Present = images.V1VariantNewParamsOptionsFitCover, true
	options.Width.Value, options.Width.Present = 120, true
	options.Height.Value, options.Height.Present = 80, true
	options.Metadata.Value, options.Metadata.Present =
		images.V1VariantNewParamsOptionsMetadataNone, true
	wanted.Options.Value, wanted.Options.Present = options, true
	wanted.NeverRequireSignedURLs.Value, wanted.NeverRequireSignedURLs.Present = true, true
	made, err := s.V1.Variants.New(t.Context(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	if v := made.Variant; v.ID != name || v.Options.Fit != "cover" || v.Options.Width != 120 ||
		v.Options.Height != 80 || v.Options.Metadata != "none" || !v.NeverRequireSignedURLs {
		t.Errorf("made %s", made.JSON.RawJSON())
	}
	wantRefusal(t, s, http.StatusConflict, func() error {
		_, err := s.V1.Variants.New(t.Context(), wanted)
		return err
	})
	var list images.V1VariantListParams
	list.AccountID.Value, list.AccountID.Present = s.account, true
	all, err := s.V1.Variants.List(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	// The SDK knows one name of the map only, that of its example.
	if all.Variants.JSON.ExtraFields[name].Raw() == "" ||
		all.Variants.JSON.ExtraFields["public"].Raw() == "" {
		t.Errorf("the list is %s", all.JSON.RawJSON())
	}
	var change images.V1VariantEditParams
	change.AccountID.Value, change.AccountID.Present = s.account, true
	var other images.V1VariantEditParamsOptions
	other.Fit.Value, other.Fit.Present = images.V1VariantEditParamsOptionsFitPad, true
	other.Width.Value, other.Width.Present = 7, true
	other.Height.Value, other.Height.Present = 9, true
	other.Metadata.Value, other.Metadata.Present =
		images.V1VariantEditParamsOptionsMetadataKeep, true
	change.Options.Value, change.Options.Present = other, true
	changed, err := s.V1.Variants.Edit(t.Context(), name, change)
	if err != nil || changed.Variant.Options.Width != 7 || changed.Variant.Options.Fit != "pad" {
		t.Fatalf("changed to %+v, %v", changed, err)
	}
	var get images.V1VariantGetParams
	get.AccountID.Value, get.AccountID.Present = s.account, true
	shown, err := s.V1.Variants.Get(t.Context(), name, get)
	if err != nil || shown.Variant.ID != name || shown.Variant.Options.Height != 9 {
		t.Fatalf("shown %+v, %v", shown, err)
	}
	var end images.V1VariantDeleteParams
	end.AccountID.Value, end.AccountID.Present = s.account, true
	if _, err := s.V1.Variants.Delete(t.Context(), name, end); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, s, http.StatusNotFound, func() error {
		_, err := s.V1.Variants.Get(t.Context(), name, get)
		return err
	})
}

// TestSigningKeys makes and deletes a signing key. The SDK calls the former Update.
func TestSigningKeys(t *testing.T) {
	s := newService(t)
	name := strings.ToLower(rand.Text()[:20])
	has := func(keys []images.Key) bool {
		return slices.ContainsFunc(keys, func(k images.Key) bool {
			return k.Name == name && k.Value != ""
		})
	}
	var wanted images.V1KeyUpdateParams
	wanted.AccountID.Value, wanted.AccountID.Present = s.account, true
	made, err := s.V1.Keys.Update(t.Context(), name, wanted)
	if err != nil || !has(made.Keys) {
		t.Fatalf("made: %v", err)
	}
	var list images.V1KeyListParams
	list.AccountID.Value, list.AccountID.Present = s.account, true
	all, err := s.V1.Keys.List(t.Context(), list)
	if err != nil || !has(all.Keys) || len(all.Keys) < 2 {
		t.Fatalf("listed: %v", err)
	}
	var end images.V1KeyDeleteParams
	end.AccountID.Value, end.AccountID.Present = s.account, true
	left, err := s.V1.Keys.Delete(t.Context(), name, end)
	if err != nil || has(left.Keys) || len(left.Keys) == 0 {
		t.Fatalf("deleted: %v", err)
	}
	wantRefusal(t, s, http.StatusNotFound, func() error {
		_, err := s.V1.Keys.Delete(t.Context(), name, end)
		return err
	})
}
