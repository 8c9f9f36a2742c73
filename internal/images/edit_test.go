package images_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

func metaEdit(text string) images.Edit {
	return images.Edit{Meta: imagestest.Ptr(json.RawMessage(text))}
}

func edit(t *testing.T, core *imagestest.Core, id string, e images.Edit) images.Image {
	t.Helper()
	img, err := core.EditImage(t.Context(), account, id, e)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestEdit(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{
			Meta: json.RawMessage(`{"a":1,"b":2}`), Creator: imagestest.Ptr("me"),
		}, imagestest.JPEG(t, 1))
		want := func(got images.Image, meta, creator string) {
			t.Helper()
			again, err := core.Image(t.Context(), account, got.ID)
			if err != nil {
				t.Fatal(err)
			}
			a, _ := json.Marshal(got)
			if b, _ := json.Marshal(again); string(a) != string(b) {
				t.Errorf("the answer\n%s\nis not what is stored\n%s", a, b)
			}
			shown := "none"
			if got.Creator != nil {
				shown = *got.Creator
			}
			if string(got.Meta) != meta || shown != creator || got.ID != img.ID ||
				!got.Uploaded.Equal(img.Uploaded) || !reflect.DeepEqual(got.Original, img.Original) {
				t.Errorf("got %+v", got)
			}
		}
		want(edit(t, core, img.ID, images.Edit{}), `{"a":1,"b":2}`, "me")
		want(edit(t, core, img.ID, metaEdit(` {"c": 3}`)), `{"c":3}`, "me") // replaced, not merged
		want(edit(t, core, img.ID, images.Edit{Creator: imagestest.Ptr(imagestest.Ptr("you"))}), `{"c":3}`, "you")
		want(edit(t, core, img.ID, images.Edit{Creator: imagestest.Ptr[*string](nil)}), `{"c":3}`, "none")
		want(edit(t, core, img.ID, images.Edit{RequireSignedURLs: imagestest.Ptr(false)}), `{"c":3}`, "none")
		both := metaEdit("")
		both.Creator = imagestest.Ptr(imagestest.Ptr("they"))
		want(edit(t, core, img.ID, both), "", "they")

		for _, e := range []images.Edit{metaEdit(`[]`), metaEdit(`{"a":`),
			{Creator: imagestest.Ptr(imagestest.Ptr("\x00"))}} {
			_, err := core.EditImage(t.Context(), account, img.ID, e)
			imagestest.WantKind(t, err, errs.Invalid)
		}
		want(edit(t, core, img.ID, images.Edit{}), "", "they")
		_, err := core.EditImage(t.Context(), account, "unknown", images.Edit{})
		imagestest.WantKind(t, err, errs.ImageNotFound)
		_, err = core.EditImage(t.Context(), "another", img.ID, metaEdit(`{}`))
		imagestest.WantKind(t, err, errs.ImageNotFound)
	})
}

// TestEditPrivacy: an image that becomes private, or public, has another id from then on.
func TestEditPrivacy(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, 1))
		hash := imagestest.Resolve(t, core, img.ID).Account.Hash
		before := img
		for _, private := range []bool{true, false} {
			e := images.Edit{RequireSignedURLs: &private}
			after := edit(t, core, before.ID, e)
			if after.ID == before.ID || len(after.ID) != 36 || after.Key != img.Key ||
				after.RequireSignedURLs != private || !after.Uploaded.Equal(img.Uploaded) {
				t.Fatalf("got %+v", after)
			}
			// At once, though it was resolved a moment ago.
			_, err := core.Renditions.Resolve(t.Context(), hash, before.ID, "public")
			imagestest.WantKind(t, err, errs.ImageNotFound)
			_, err = core.Image(t.Context(), account, before.ID)
			imagestest.WantKind(t, err, errs.ImageNotFound)
			if r := imagestest.Resolve(t, core, after.ID); r.Private() != private {
				t.Errorf("private is %v", r.Private())
			}
			if same := edit(t, core, after.ID, e); same.ID != after.ID {
				t.Error("the same value changed the id")
			}
			if got := imagestest.Stored(t, core, after.ID); string(got) != string(imagestest.JPEG(t, 1)) {
				t.Error("the original is another")
			}
			before = after
		}

		made, ticket := imagestest.Draft(t, core, images.NewDraft{})
		changed := edit(t, core, made.ID, images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
		if changed.ID != made.ID || !changed.Draft || !changed.RequireSignedURLs {
			t.Errorf("the draft became %+v", changed)
		}
		done, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 2))
		if err != nil || done.ID != made.ID || !done.RequireSignedURLs {
			t.Errorf("got %+v, %v", done, err)
		}

		for _, d := range []images.NewDraft{{ID: imagestest.Ptr("mine")}} {
			custom := imagestest.Upload(t, core, d, imagestest.JPEG(t, 3))
			waiting, _ := imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("draft")})
			for _, id := range []string{custom.ID, waiting.ID} {
				e := metaEdit(`{"lost":1}`)
				e.RequireSignedURLs = imagestest.Ptr(true)
				_, err := core.EditImage(t.Context(), account, id, e)
				imagestest.WantKind(t, err, errs.Invalid)
				e.RequireSignedURLs = imagestest.Ptr(false)
				if img := edit(t, core, id, e); img.ID != id {
					t.Errorf("the custom id became %q", img.ID)
				}
			}
		}
	})
}

// TestEditsRace: of concurrent edits that make an image private one succeeds, and the others get ImageNotFound;
// edits of different fields all take effect; and there is one image under one id.
func TestEditsRace(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for round := range 10 {
			img := imagestest.Upload(t, core, images.NewDraft{}, imagestest.JPEG(t, round))
			var mu sync.Mutex
			var wait sync.WaitGroup
			var flipped []string
			kept := map[string]bool{} // which edits were answered with success
			try := func(name string, e images.Edit) {
				wait.Go(func() {
					got, err := core.EditImage(t.Context(), account, img.ID, e)
					mu.Lock()
					defer mu.Unlock()
					kept[name] = err == nil
					switch {
					case err != nil && errs.AsError(err).Kind != errs.ImageNotFound:
						t.Error(err)
					case err == nil && e.RequireSignedURLs != nil:
						flipped = append(flipped, got.ID)
					}
				})
			}
			for i := range 4 {
				try(fmt.Sprint("flip", i), images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
			}
			try("creator", images.Edit{Creator: imagestest.Ptr(imagestest.Ptr("me"))})
			try("meta", metaEdit(`{"a":1}`))
			wait.Wait()
			if len(flipped) != 1 {
				t.Fatalf("%d edits gave an id: %v", len(flipped), flipped)
			}
			got, err := core.Image(t.Context(), account, flipped[0])
			if err != nil {
				t.Fatal(err)
			}
			if !got.RequireSignedURLs || (got.Creator != nil) != kept["creator"] ||
				(got.Meta != nil) != kept["meta"] {
				t.Errorf("answered were %v, but stored is %+v", kept, got)
			}
		}
		page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 100})
		if err != nil || len(page.Images) != 10 {
			t.Errorf("%d images are listed, %v", len(page.Images), err)
		}
	})
}

// TestAnEditDuringAnUpload makes drafts private while their pictures come. Whichever is first, the
// image is private; only one that was an image already has another id.
func TestAnEditDuringAnUpload(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for i := range 10 {
			made, ticket := imagestest.Draft(t, core, images.NewDraft{})
			var wait sync.WaitGroup
			var uploaded, edited images.Image
			var err, failed error
			wait.Go(func() {
				uploaded, err = imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket},
					imagestest.JPEG(t, i))
			})
			wait.Go(func() {
				edited, failed = core.EditImage(t.Context(), account, made.ID,
					images.Edit{RequireSignedURLs: imagestest.Ptr(true)})
			})
			wait.Wait()
			if err := errors.Join(err, failed); err != nil {
				t.Fatal(err)
			}
			if edited.Draft != (edited.ID == made.ID) || uploaded.RequireSignedURLs != edited.Draft {
				t.Errorf("uploaded was %+v, edited %+v", uploaded, edited)
			}
			now, err := core.Image(t.Context(), account, edited.ID)
			if err != nil || now.Draft || !now.RequireSignedURLs {
				t.Errorf("the image is %+v, %v", now, err)
			}
		}
		ids := map[string]bool{}
		page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 100})
		for _, img := range page.Images {
			ids[img.ID] = true
		}
		if err != nil || len(ids) != 10 || slices.Contains(blobs(t, core), "") {
			t.Errorf("%d images are listed, %v", len(ids), err)
		}
	})
}

// With private_custom_ids an image or a draft with a custom id may be private, and its id never changes.
func TestPrivateCustomIDs(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		ctx, private := t.Context(), imagestest.Ptr(true)
		wanted := images.NewDraft{ID: imagestest.Ptr("mine"), RequireSignedURLs: true}
		_, _, err := core.CreateDraft(ctx, account, wanted)
		imagestest.WantKind(t, err, errs.Invalid)
		set := func(on bool) {
			t.Helper()
			c := accounts.SettingsChange{PrivateCustomIDs: &on}
			if _, err := core.Accounts.Configure(ctx, account, c); err != nil {
				t.Fatal(err)
			}
		}
		set(true)
		made := imagestest.Upload(t, core, wanted, imagestest.JPEG(t, 1))
		if made.ID != "mine" || !made.Custom || !made.RequireSignedURLs {
			t.Fatalf("got %+v", made)
		}
		for _, public := range []bool{true, false, false, true} {
			e := images.Edit{RequireSignedURLs: imagestest.Ptr(!public)}
			if img := edit(t, core, "mine", e); img.ID != "mine" || img.Key != made.Key || img.RequireSignedURLs == public {
				t.Errorf("public %v: got %+v", public, img)
			}
		}
		waiting, _ := imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr("draft")})
		if img := edit(t, core, waiting.ID, images.Edit{RequireSignedURLs: private}); !img.RequireSignedURLs {
			t.Errorf("the draft is %+v", img)
		}
		// Without the setting a private one stays as it is, and no other image becomes private.
		edit(t, core, "mine", images.Edit{RequireSignedURLs: private})
		set(false)
		e := metaEdit(`{"a":1}`)
		e.RequireSignedURLs = private
		if img := edit(t, core, "mine", e); !img.RequireSignedURLs || string(img.Meta) != `{"a":1}` {
			t.Errorf("got %+v", img)
		}
		edit(t, core, "mine", images.Edit{RequireSignedURLs: imagestest.Ptr(false)})
		_, err = core.EditImage(ctx, account, "mine", images.Edit{RequireSignedURLs: private})
		imagestest.WantKind(t, err, errs.Invalid)
		if other, err := core.Accounts.Create(ctx, "", ""); err != nil {
			t.Error(err)
		} else {
			set(true) // of this account only
			_, _, err = core.CreateDraft(ctx, other.ID, wanted)
			imagestest.WantKind(t, err, errs.Invalid)
		}
	})
}
