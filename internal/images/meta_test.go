package images_test

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
	"calotype/internal/sqldb/sqldbtest"
)

// TestMetaRowsFollowTheImage looks at image_meta through an image's life.
func TestMetaRowsFollowTheImage(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		rows := func(want int) {
			t.Helper()
			var n int
			err := core.DB.QueryRow(t.Context(), `SELECT count(*) FROM image_meta`).Scan(&n)
			if err != nil || n != want {
				t.Fatalf("%d rows (%v), want %d", n, err, want)
			}
		}
		d := images.NewDraft{Meta: json.RawMessage(`{"a":"x","b":[1,2]}`)}
		made, ticket := imagestest.Draft(t, core, d)
		rows(0)
		img, err := imagestest.Post(t.Context(), core, images.UploadRequest{Ticket: ticket}, imagestest.JPEG(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		rows(3)
		filter, err := listing.NewFilter("a", "eq", "x")
		if err != nil {
			t.Fatal(err)
		}
		q := listing.Query{Limit: 9, Meta: []listing.Filter{filter}}
		page, err := core.Lists.Images(t.Context(), account, q)
		if err != nil || len(page.Images) != 1 ||
			!reflect.DeepEqual(page.Images[0].Original, img.Original) {
			t.Errorf("%+v, %v", page, err)
		}
		if err := core.SetMeta(t.Context(), made.Key, `{"a":"y"}`); err != nil {
			t.Fatal(err)
		}
		rows(1)
		if page, err = core.Lists.Images(t.Context(), account, q); err != nil || len(page.Images) != 0 {
			t.Errorf("found by what it was: %+v, %v", page, err)
		}
		waiting, _ := imagestest.Draft(t, core, d)
		if err := core.SetMeta(t.Context(), waiting.Key, `{"a":"x"}`); err != nil {
			t.Fatal(err)
		}
		rows(1) // a draft has none
		if _, err := core.FinishDraft(t.Context(), waiting); err != nil {
			t.Fatal(err)
		}
		rows(2) // of the metadata that it had at the end
		for _, id := range []string{made.ID, waiting.ID} {
			if err := core.DeleteImage(t.Context(), account, id); err != nil {
				t.Fatal(err)
			}
		}
		rows(0)

		u, err := core.BeginImage(account, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		if _, err := u.Write(imagestest.JPEG(t, 2)); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Create(t.Context(), "b.jpg", d); err != nil {
			t.Fatal(err)
		}
		rows(3)
	})
}

// TestMetadataInEscapes: what counts are the characters in UTF-8, not how a client escapes them.
func TestMetadataInEscapes(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	long := `{"a":"` + strings.Repeat(`\u00e9`, 500) + `\"\\"}`
	img, _ := imagestest.Draft(t, core, images.NewDraft{Meta: json.RawMessage(long)})
	if want := `{"a":"` + strings.Repeat("é", 500) + `\"\\"}`; string(img.Meta) != want {
		t.Errorf("got %s", img.Meta)
	}
	for meta, says := range map[string]string{
		`{"a":"` + strings.Repeat(`\u00e9`, 512) + `"}`:             "longer than 1024 bytes",
		`{"a":"` + strings.Repeat(`\u0001\u00e9\u00e9`, 100) + `"}`: "control characters",
		`{"a":1e400}`: "out of range",
	} {
		_, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{Meta: json.RawMessage(meta)})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40s: got %v, want %q", meta, err, says)
		}
	}
}

// BenchmarkMetadata makes drafts, and images of drafts, with and without metadata.
func BenchmarkMetadata(b *testing.B) {
	const five = `{"status":"active","score":5,"flag":true,"region":{"name":"eu"},"tags":["x"]}`
	run := func(b *testing.B, core *imagestest.Core) {
		for name, meta := range map[string]string{"none": "", "five": five} {
			d := images.NewDraft{Meta: []byte(meta)}
			b.Run("draft/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, _, err := core.CreateDraft(b.Context(), account, d); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("image/"+name, func(b *testing.B) {
				for b.Loop() {
					if _, err := core.MakeImage(b.Context(), account, d); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	b.Run("sqlite", func(b *testing.B) {
		run(b, imagestest.Open(b, images.Config{}, filepath.Join(b.TempDir(), "calotype.db")))
	})
	b.Run("postgres", func(b *testing.B) { run(b, imagestest.Open(b, images.Config{}, sqldbtest.Postgres(b))) })
}
