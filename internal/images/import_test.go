package images_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

const sourceUUID = "9a5c41e0-bbd2-4243-1b0b-f9ac7aa20700" // not of RFC 4122, as recorded

// bring imports a picture as the importer does.
func bring(
	t *testing.T, core *imagestest.Core, i images.ImportedImage, body []byte,
) (images.Image, error) {
	t.Helper()
	u, err := core.BeginImage(account, int64(len(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	if _, err := u.Write(body); err != nil {
		t.Fatal(err)
	}
	return u.Import(t.Context(), i, time.Now())
}

func imported(id string) images.ImportedImage {
	return images.ImportedImage{
		ID: id, Uploaded: time.Date(2023, 2, 3, 4, 5, 6, 789_000_000, time.UTC),
		Filename: "a cat.jpg", Meta: json.RawMessage(`{"key": "value", "a": {"b": 1.50}}`),
		Creator: imagestest.Ptr("someone"),
	}
}

func TestImportKeepsWhatTheSourceTells(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := imagestest.JPEG(t, 1)
		sum := sha256.Sum256(body)
		private := imported(strings.ToUpper(sourceUUID))
		private.RequireSignedURLs = true
		for _, i := range []images.ImportedImage{
			imported(sourceUUID), imported("a/b.c/ü%2F.exe"), private,
		} {
			i.Size, i.SHA256 = int64(len(body)), hex.EncodeToString(sum[:])
			if _, err := bring(t, core, i, body); err != nil {
				t.Fatal(err)
			}
			adapted, lost, err := i.Adapted()
			if err != nil || len(lost) != 0 {
				t.Fatalf("adapted: %v, %v", lost, err)
			}
			img, err := core.Image(t.Context(), account, i.ID)
			if err != nil {
				t.Fatal(err)
			}
			if d := adapted.Differs(img); len(d) != 0 || img.Ticket != nil ||
				string(img.Meta) != `{"key":"value","a":{"b":1.50}}` {
				t.Errorf("%s differs in %v: %+v", i.ID, d, img)
			}
			if want := i.ID == "a/b.c/ü%2F.exe"; img.Custom != want {
				t.Errorf("%s: custom is %v", i.ID, img.Custom)
			}
			if !bytes.Equal(imagestest.Stored(t, core, i.ID), body) {
				t.Error("the stored bytes are not those that came")
			}
			_, err = bring(t, core, i, body)
			imagestest.WantKind(t, err, errs.Exists)
		}
		if n := len(blobs(t, core)); n != 3 {
			t.Errorf("%d originals are stored, want 3", n)
		}
		_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{ID: imagestest.Ptr("a/b.c/ü%2F.exe")})
		if err == nil {
			t.Error("a taken id is given away")
		}
		named, err := core.ImagesNamed(t.Context(), account, []string{sourceUUID, "none", private.ID})
		if err != nil || len(named) != 2 || !named[private.ID].RequireSignedURLs {
			t.Errorf("named: %v, %v", named, err)
		}
		_, err = core.ImagesNamed(t.Context(), account, make([]string, images.MaxNamed+1))
		imagestest.WantKind(t, err, errs.Invalid)
		none, err := core.ImagesNamed(t.Context(), strings.Repeat("0", 32), []string{sourceUUID})
		if err != nil || len(none) != 0 {
			t.Errorf("another account sees %v, %v", none, err)
		}
	})
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := imagestest.JPEG(t, 1)
		short, other := imported("short"), imported("other")
		short.Size, other.SHA256 = int64(len(body)+1), strings.Repeat("0", 64)
		for _, i := range []images.ImportedImage{short, other} {
			if _, err := bring(t, core, i, body); !errors.Is(err, images.ErrIncomplete) {
				t.Errorf("%s: %v", i.ID, err)
			}
		}
		_, err := bring(t, core, imported("broken"), body[:len(body)/2])
		imagestest.WantKind(t, err, errs.Undecodable)
		_, err = bring(t, core, imported("text"), []byte("<html xmlns='http://www.w3.org/1999/xhtml'/>"))
		imagestest.WantKind(t, err, errs.Unsupported)
		for _, id := range []string{"", "/a", "a/", "a//b", "a/../b", "keys/a", "a\x00", "\xff"} {
			_, err := bring(t, core, imported(id), body)
			imagestest.WantKind(t, err, errs.InvalidID)
		}
		_, err = bring(t, core, images.ImportedImage{ID: "timeless"}, body)
		imagestest.WantKind(t, err, errs.Invalid)
		if left := blobs(t, core); len(left) != 0 {
			t.Errorf("originals are left: %v", left)
		}
		page, err := core.Lists.Images(t.Context(), account, listing.Query{Limit: 10})
		if err != nil || len(page.Images) != 0 {
			t.Errorf("images are left: %v, %v", page.Images, err)
		}
	})
}

func TestImportLeavesOutWhatCannotBeHeld(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		i := imported("long")
		i.Meta = json.RawMessage(`{"long":"` + strings.Repeat("x", 1024) + `"}`)
		i.Creator, i.Filename = imagestest.Ptr("a\nb"), "folder/"+strings.Repeat("é", 200)
		adapted, lost, err := i.Adapted()
		if err != nil || len(lost) != 3 || adapted.Meta != nil || adapted.Creator != nil ||
			len(adapted.Filename) != 255 {
			t.Fatalf("adapted to %+v, lost %v, %v", adapted, lost, err)
		}
		img, err := bring(t, core, i, imagestest.JPEG(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		if d := adapted.Differs(img); len(d) != 0 {
			t.Errorf("imported again, it would differ in %v", d)
		}
	})
}

func TestUpdateImported(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		body := imagestest.JPEG(t, 1)
		before, err := bring(t, core, imported(sourceUUID), body)
		if err != nil {
			t.Fatal(err)
		}
		now := imported(sourceUUID)
		now.Meta, now.Creator, now.Filename = nil, imagestest.Ptr("another"), "dog.jpg"
		now.RequireSignedURLs = true
		want := []string{"filename", "metadata", "creator", "requireSignedURLs"}
		if d := now.Differs(before); !slices.Equal(d, want) {
			t.Errorf("differs in %v, want %v", d, want)
		}
		r := imagestest.Resolve(t, core, sourceUUID)
		if err := core.UpdateImported(t.Context(), account, now); err != nil {
			t.Fatal(err)
		}
		after, err := core.Image(t.Context(), account, sourceUUID)
		if err != nil {
			t.Fatal(err)
		}
		if d := now.Differs(after); len(d) != 0 || after.Original.Blob != before.Original.Blob {
			t.Errorf("after the update it differs in %v", d)
		}
		again, err := core.Renditions.Resolve(t.Context(), r.Account.Hash, sourceUUID, "public")
		if err != nil || !again.Image.RequireSignedURLs {
			t.Errorf("a delivery sees the image as it was: %v", err)
		}
		now.SHA256 = strings.Repeat("0", 64)
		imagestest.WantKind(t, core.UpdateImported(t.Context(), account, now), errs.ImageNotFound)
		imagestest.WantKind(t, core.UpdateImported(t.Context(), account, imported("none")), errs.ImageNotFound)
	})
}

// TestImportsOfOneID: of many imports of the same image at once, one counts.
func TestImportsOfOneID(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		var importers sync.WaitGroup
		results := make(chan error, 8)
		for seed := range cap(results) {
			importers.Go(func() {
				_, err := bring(t, core, imported("one"), imagestest.JPEG(t, seed))
				results <- err
			})
		}
		importers.Wait()
		close(results)
		made := 0
		for err := range results {
			if err == nil {
				made++
				continue
			}
			imagestest.WantKind(t, err, errs.Exists)
		}
		if left := blobs(t, core); made != 1 || len(left) != 1 {
			t.Errorf("%d imports succeeded, %d originals are stored", made, len(left))
		}
	})
}
