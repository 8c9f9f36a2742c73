package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/jpeg"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cloudflare/cloudflare-go"
)

var meta = map[string]any{"key": "value", "number": 5.0, "nested": map[string]any{"ü": true}}

// TestDirectUpload takes one-time URLs of both versions from being asked for to the image.
func TestDirectUpload(t *testing.T) {
	s, yes, no := newService(t), true, false
	expiry := time.Now().Add(10 * time.Minute)
	for name, params := range map[string]cloudflare.CreateImageDirectUploadURLParams{
		"v1": {}, "v1 with all": {Expiry: &expiry, Metadata: meta, RequireSignedURLs: &yes},
		"v2":          {Version: cloudflare.ImagesAPIVersionV2, Expiry: &expiry, RequireSignedURLs: &no},
		"v2 with all": {Version: "v2", Expiry: &expiry, Metadata: meta, RequireSignedURLs: &yes},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := s.CreateImageDirectUploadURL(context.Background(), s.account, params)
			if err != nil {
				t.Fatal(err)
			}
			if draft := s.details(t, made.ID); draft.ID != made.ID || draft.Filename != "" {
				t.Errorf("the draft is %+v", draft)
			}
			if status := post(t, made.UploadURL); status != http.StatusOK {
				t.Fatalf("the upload was answered with %d", status)
			}
			if status := post(t, made.UploadURL); status != http.StatusConflict {
				t.Errorf("the second upload was answered with %d", status)
			}
			image := s.details(t, made.ID)
			private := params.RequireSignedURLs != nil && *params.RequireSignedURLs
			if image.Filename != "picture.jpg" || image.RequireSignedURLs != private ||
				!reflect.DeepEqual(image.Meta, params.Metadata) || time.Since(image.Uploaded) > time.Hour {
				t.Errorf("the image is %+v", image)
			}
		})
	}
}

// TestImage uploads by file, changes, lists, counts, reads back and deletes.
func TestImage(t *testing.T) {
	s := newService(t)
	before, err := s.GetImagesStats(context.Background(), s.account)
	if err != nil {
		t.Fatal("stats:", err)
	}
	image := s.create(t, cloudflare.UploadImageParams{Metadata: meta})
	if image.Filename != "picture.jpg" || !reflect.DeepEqual(image.Meta, meta) {
		t.Errorf("the image is %+v", image)
	}
	if blob, err := s.GetBaseImage(context.Background(), s.account, image.ID); err != nil ||
		!bytes.Equal(blob, picture(t)) {
		t.Errorf("the blob differs (%v)", err)
	}
	// Other scenarios run on the same account, one after another.
	if after, err := s.GetImagesStats(context.Background(), s.account); err != nil ||
		after.Current != before.Current+1 || after.Allowed < after.Current {
		t.Errorf("stats were %+v and are %+v (%v)", before, after, err)
	}
	listed, err := s.ListImages(context.Background(), s.account, cloudflare.ListImagesParams{})
	if err != nil || !slices.ContainsFunc(listed, func(i cloudflare.Image) bool {
		return i.ID == image.ID
	}) {
		t.Errorf("the list has no %s: %v", image.ID, err)
	}
	old := image.ID
	image, err = s.UpdateImage(context.Background(), s.account, cloudflare.UpdateImageParams{
		ID: old, RequireSignedURLs: true, Metadata: map[string]any{"new": "text"},
	})
	if err != nil {
		t.Fatal("updating:", err)
	}
	if image.ID == old || !image.RequireSignedURLs || len(image.Meta) != 1 {
		t.Errorf("the private image is %+v", image)
	}
	if status, _ := get(t, image.Variants[0]); status != http.StatusForbidden {
		t.Errorf("the private image is answered with %d", status)
	}
	wantNotFound(t, s, old)
	if err := s.DeleteImage(context.Background(), s.account, image.ID); err != nil {
		t.Error("deleting:", err)
	}
	wantNotFound(t, s, image.ID)
}

// wantNotFound wants the error that the SDK has for an unknown image.
func wantNotFound(t *testing.T, s service, id string) {
	t.Helper()
	_, err := s.GetImage(context.Background(), s.account, id)
	var missing *cloudflare.NotFoundError
	if !errors.As(err, &missing) || !slices.Contains(missing.ErrorCodes(), 5404) {
		t.Errorf("%s: the error is %T %v, want not found with 5404", id, err, err)
	}
	err = s.DeleteImage(context.Background(), s.account, id)
	if !errors.As(err, &missing) {
		t.Errorf("%s: deleting again gives %T %v", id, err, err)
	}
}

// TestUploadByURL has the service fetch the picture.
func TestUploadByURL(t *testing.T) {
	s := newService(t)
	image, err := s.UploadImage(context.Background(), s.account, cloudflare.UploadImageParams{
		URL: serve(t), Metadata: meta, RequireSignedURLs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !image.RequireSignedURLs || !reflect.DeepEqual(image.Meta, meta) {
		t.Errorf("the image is %+v", image)
	}
	if blob, err := s.GetBaseImage(context.Background(), s.account, image.ID); err != nil ||
		!bytes.Equal(blob, picture(t)) {
		t.Errorf("the blob differs (%v)", err)
	}
}

// TestVariants makes, reads, changes and deletes a variant, and looks at pictures in it.
func TestVariants(t *testing.T) {
	s, ctx := newService(t), context.Background()
	id := fmt.Sprintf("v%d", time.Now().UnixNano())
	image := s.create(t, cloudflare.UploadImageParams{})
	wide := func(width int) cloudflare.ImagesVariantsOptions {
		return cloudflare.ImagesVariantsOptions{
			Fit: "scale-down", Width: width, Height: 10 * width, Metadata: "none",
		}
	}
	if _, err := s.CreateImagesVariant(ctx, s.account, cloudflare.CreateImagesVariantParams{
		ID: id, Options: wide(40),
	}); err != nil {
		t.Fatal("creating:", err)
	}
	s.wantVariant(t, id, wide(40))
	s.wantWidth(t, image.ID, id, 40)
	if _, err := s.UpdateImagesVariant(ctx, s.account, cloudflare.UpdateImagesVariantParams{
		ID: id, Options: wide(30),
	}); err != nil {
		t.Fatal("changing:", err)
	}
	s.wantVariant(t, id, wide(30))
	s.wantWidth(t, image.ID, id, 30)
	if err := s.DeleteImagesVariant(ctx, s.account, id); err != nil {
		t.Fatal("deleting:", err)
	}
	_, err := s.GetImagesVariant(ctx, s.account, id)
	var missing *cloudflare.NotFoundError
	if !errors.As(err, &missing) {
		t.Errorf("the deleted variant gives %T %v", err, err)
	}
}

// wantVariant wants the variant alone and in the list.
func (s service) wantVariant(t *testing.T, id string, options cloudflare.ImagesVariantsOptions) {
	t.Helper()
	got, err := s.GetImagesVariant(context.Background(), s.account, id)
	if err != nil || got.ID != id || got.Options != options {
		t.Errorf("the variant is %+v (%v), want %+v", got, err, options)
	}
	all, err := s.ListImagesVariants(context.Background(), s.account,
		cloudflare.ListImageVariantsParams{})
	if err != nil || all.ImagesVariants[id].Options != options ||
		all.ImagesVariants["public"].ID != "public" {
		t.Errorf("the variants are %+v (%v)", all, err)
	}
}

// wantWidth wants the picture delivered in a variant.
func (s service) wantWidth(t *testing.T, image, variant string, width int) {
	t.Helper()
	for _, url := range s.details(t, image).Variants {
		if !bytes.HasSuffix([]byte(url), []byte("/"+variant)) {
			continue
		}
		status, content := get(t, url)
		picture, err := jpeg.DecodeConfig(bytes.NewReader(content))
		if err != nil || picture.Width != width {
			t.Errorf("%s: %d, %+v (%v), want %d pixels", url, status, picture, err, width)
		}
		return
	}
	t.Errorf("no URL of the image ends in %s", variant)
}

// TestErrors checks refusals in the form of this SDK.
func TestErrors(t *testing.T) {
	s := newService(t)
	wantNotFound(t, s, "no-such-image")
	wrong := s
	wrong.account = cloudflare.AccountIdentifier("00000000000000000000000000000000")
	_, err := wrong.ListImages(context.Background(), wrong.account, cloudflare.ListImagesParams{})
	var forbidden *cloudflare.AuthenticationError // as this SDK calls 403
	if !errors.As(err, &forbidden) {
		t.Errorf("another account gives %T %v", err, err)
	}
	past := time.Now().Add(-time.Hour)
	_, err = s.CreateImageDirectUploadURL(context.Background(), s.account,
		cloudflare.CreateImageDirectUploadURLParams{Expiry: &past})
	var refused *cloudflare.RequestError
	if !errors.As(err, &refused) || !refused.InternalErrorCodeIs(5400) {
		t.Errorf("an expiry in the past gives %T %v", err, err)
	}
}
