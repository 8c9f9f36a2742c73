package images_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"calotype/internal/images"
	"calotype/internal/images/imagestest"
)

func TestMetaRows(t *testing.T) {
	t.Parallel()
	name := func(n int) string { return strings.Repeat("x", n) }
	for meta, want := range map[string][]string{
		``: nil, `{}`: nil, `{"a":null,"b":{},"c":[]}`: nil,
		`{"b":1,"a":"x"}`:                                       {"a", "b"},
		`{"a":[true,{"b":1}],"c_1":""}`:                         {"a.0", "a.1.b", "c_1"},
		`{"a-b":1,"a b":1,"é":1,"":1,"a.b":1,"x":{"":1,"y":1}}`: {"x.y"},
		`{"a":{"a":{"a":{"a":{"a":1}}}}}`:                       {"a.a.a.a.a"},
		`{"a":{"a":{"a":{"a":{"a":{"a":1},"b":[1]}}}},"b":1}`:   {"b"},
		`{"` + name(100) + `":1,"` + name(101) + `":1}`:         {name(100)},
		`{"` + name(50) + `":{"` + name(49) + `":1,"b":1,"c-":1}}`: {
			name(50) + ".b", name(50) + "." + name(49)},
		`{"` + name(50) + `":{"` + name(50) + `":1},"a":1,"a":"2"}`: {"a"},
	} {
		got, err := images.MetaRows(meta)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", meta, got, err, want)
		}
	}
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"k%02d":%d`, 99-i, i))
	}
	got, err := images.MetaRows("{" + strings.Join(many, ",") + "}")
	if err != nil || len(got) != 64 || got[0] != "k00" || got[63] != "k63" {
		t.Errorf("of 100 values: %v (%v)", got, err)
	}
}

// FuzzMetaRows makes rows of any metadata that is accepted, and looks each of them up again.
func FuzzMetaRows(f *testing.F) {
	f.Add(`{"a":"x","b":[1,{"c":true}],"d":null}`)
	f.Add(`{"a":{"b":{"c":{"d":{"e":1,"f":{}}}}},"A-b":1,"":2}`)
	f.Add(`{"a":1,"a":{"0":"x"},"b":["x"]}`)
	f.Fuzz(func(t *testing.T, meta string) {
		var object map[string]any
		if json.Unmarshal([]byte(meta), &object) != nil {
			return
		}
		paths, err := images.MetaRows(meta)
		if err != nil {
			t.Fatal(err)
		}
		unique := slices.Compact(slices.Clone(paths))
		if len(paths) > 64 || !slices.IsSorted(paths) || len(unique) != len(paths) {
			t.Errorf("the paths %q", paths)
		}
		for _, path := range paths {
			// Whatever has a row can be named by a filter.
			if _, err := images.NewMetaFilter(path, "eq", ""); err != nil {
				t.Error(err)
			}
		}
		if again, err := images.MetaRows(meta); err != nil || !reflect.DeepEqual(paths, again) {
			t.Errorf("%q, then %q (%v)", paths, again, err)
		}
	})
}

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
		q := images.ListQuery{Limit: 9, Meta: []images.MetaFilter{condition{"a", "eq", "x"}.filter(t)}}
		page, err := core.ListImages(t.Context(), account, q)
		if err != nil || len(page.Images) != 1 ||
			!reflect.DeepEqual(page.Images[0].Original, img.Original) {
			t.Errorf("%+v, %v", page, err)
		}
		if err := core.SetMeta(t.Context(), made.Key, `{"a":"y"}`); err != nil {
			t.Fatal(err)
		}
		rows(1)
		if page, err = core.ListImages(t.Context(), account, q); err != nil || len(page.Images) != 0 {
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
