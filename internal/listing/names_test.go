package listing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"calotype/internal/errs"
	"calotype/internal/images"
	"calotype/internal/images/imagestest"
	"calotype/internal/listing"
)

// walkNames returns the ids of all pages of a list.
func walkNames(t *testing.T, core *imagestest.Core, account string, q listing.Query) (ids []string) {
	t.Helper()
	for {
		page, err := core.Lists.Images(t.Context(), account, q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		for _, img := range page.Images {
			ids = append(ids, img.ID)
		}
		if page.Next == "" {
			return ids
		}
		q.Token = page.Next
	}
}

// TestPrefixFindsIDs holds lists of each beginning against all ids, sorted by their bytes: characters
// of LIKE, upper case, characters of several bytes, and ids that differ behind what the index holds.
func TestPrefixFindsIDs(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: inserts many images")
	}
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		long := strings.Repeat("x", 127)
		ids := []string{"a", "a/b", "a/b/c", "A/b", "a%b", "a_b", "aab", "a\\b", "ä", "äb", "z", "é/1", "e\u0301/1",
			"\ud7ff1", "\ue0001", "\U0010ffff1", "日本/一", "日本/二", "日", "🙂",
			long, long + "x", long + "xa", long + "xb", long + "ya", long + "é1", long + "é2"}
		makers := map[bool]func(images.NewDraft) (images.Image, error){
			false: func(d images.NewDraft) (images.Image, error) { return upload(t, core, account, d) },
			true: func(d images.NewDraft) (images.Image, error) {
				made, _, err := core.CreateDraft(t.Context(), account, d)
				return made, err
			},
		}
		for drafts, make := range makers {
			for i, id := range ids {
				if drafts {
					id += "-draft"
				}
				d := images.NewDraft{ID: &id}
				if i%2 == 0 {
					d.Creator = imagestest.Ptr("even")
				}
				if _, err := make(d); err != nil {
					t.Fatalf("%q: %v", id, err)
				}
			}
		}
		beginnings := []string{"b", "a//", long + "xc", "\U0010ffff\U0010ffff", strings.Repeat("x", 1024)}
		for _, id := range ids {
			for i := range id {
				if i > 0 && (i < 8 || i > 124) {
					beginnings = append(beginnings, id[:i])
				}
			}
			beginnings = append(beginnings, id)
		}
		for drafts := range makers {
			for _, beginning := range beginnings {
				var want []string
				for _, id := range ids {
					if drafts {
						id += "-draft"
					}
					if strings.HasPrefix(id, beginning) {
						want = append(want, id)
					}
				}
				for _, limit := range []int{1, 3, 100} {
					got := walkNames(t, core, account, listing.Query{
						Prefix: beginning, Limit: limit, Ascending: true, Drafts: drafts})
					back := walkNames(t, core, account, listing.Query{
						Prefix: beginning, Limit: limit, Drafts: drafts})
					slices.Reverse(back)
					// Ids that are equal for 128 characters are in the order of their keys.
					if short(beginning) && !slices.IsSortedFunc(got, byBytes) || !slices.Equal(got, back) ||
						!slices.Equal(sorted(got), sorted(want)) {
						t.Fatalf("%q, %d a page: %q and back %q, want %q", beginning, limit, got, back, want)
					}
				}
			}
		}
		even := walkNames(t, core, account, listing.Query{Prefix: "a", Limit: 2, Creator: imagestest.Ptr("even")})
		none := walkNames(t, core, account, listing.Query{Prefix: "a", Limit: 2, Creator: imagestest.Ptr("")})
		if len(even) != 4 || len(none) != 3 {
			t.Errorf("of the creator: %q; of none: %q", even, none)
		}
	})
}

func short(beginning string) bool { return !strings.HasPrefix(beginning, "x") }

func byBytes(a, b string) int { return strings.Compare(a, b) }

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

// TestFilenameFindsImages: file names may be equal, and drafts have none.
func TestFilenameFindsImages(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		for i := range 30 {
			made, ticket := imagestest.Draft(t, core, images.NewDraft{ID: imagestest.Ptr(fmt.Sprintf("i%02d", i))})
			u, err := core.BeginUpload(t.Context(), images.UploadRequest{Ticket: ticket})
			if err != nil {
				t.Fatal(err)
			}
			defer u.Close()
			if _, err := u.Write(imagestest.JPEG(t, i)); err != nil {
				t.Fatal(err)
			}
			name := []string{"IMG_1.jpg", "IMG_2.jpg", "img_1.jpg", "2026/a.jpg", ""}[i%5]
			if _, err := u.Finish(t.Context(), name); err != nil {
				t.Fatalf("%s: %v", made.ID, err)
			}
		}
		if _, _, err := core.CreateDraft(t.Context(), account, images.NewDraft{}); err != nil {
			t.Fatal(err)
		}
		for beginning, want := range map[string]int{"IMG_": 12, "IMG_1.jpg": 6, "i": 6, "2026/": 6, "IMG%": 0} {
			for _, ascending := range []bool{false, true} {
				got := walkNames(t, core, account, listing.Query{
					Filename: beginning, Limit: 4, Ascending: ascending})
				if len(got) != want || len(slices.Compact(sorted(got))) != want {
					t.Errorf("%q: %q, want %d", beginning, got, want)
				}
			}
		}
		if got := walkNames(t, core, account, listing.Query{Filename: "IMG_", Prefix: "i1", Limit: 1}); len(got) != 4 {
			t.Errorf("with a prefix: %q", got)
		}
	})
}

// TestNamedListsAreOfOneAccount: neither names nor positions of one account find another's images.
func TestNamedListsAreOfOneAccount(t *testing.T) {
	t.Parallel()
	imagestest.Each(t, func(t *testing.T, core *imagestest.Core) {
		other := strings.Repeat("b", 32)
		if _, err := core.Accounts.Create(t.Context(), other, ""); err != nil {
			t.Fatal(err)
		}
		for _, of := range []string{account, other} {
			for i := range 6 {
				if _, err := upload(t, core, of, images.NewDraft{ID: imagestest.Ptr(fmt.Sprintf("same-%d", i)),
					Creator: imagestest.Ptr(of)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, q := range []listing.Query{{Prefix: "same"}, {Filename: "picture"}, {}, {Drafts: true}} {
			q.Limit = 2
			page, err := core.Lists.Images(t.Context(), account, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, img := range page.Images {
				if img.Account != account {
					t.Errorf("%+v lists an image of %s", q, img.Account)
				}
			}
			for _, of := range []string{account, other} {
				for _, wrong := range []listing.Query{
					{Prefix: "same-"}, {Filename: "pict"}, {Ascending: true}, {Drafts: true, Prefix: "same"},
					{Prefix: "same", Filename: "picture"},
				} {
					wrong.Limit, wrong.Token = 2, page.Next
					if _, err := core.Lists.Images(t.Context(), of, wrong); page.Next != "" &&
						errs.AsError(err).Kind != errs.Invalid {
						t.Errorf("the token of %+v is taken for %+v: %v", q, wrong, err)
					}
				}
			}
			q.Token = page.Next
			if _, err := core.Lists.Images(t.Context(), other, q); q.Token != "" &&
				errs.AsError(err).Kind != errs.Invalid {
				t.Errorf("the token of another account is taken: %v", err)
			}
		}
	})
}

// TestNamesThatAreRefused: what cannot be the beginning of a name, and filters on drafts.
func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	core := imagestest.New(t)
	filter, err := listing.NewFilter("a", "eq", "x")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []listing.Query{
		{Prefix: strings.Repeat("x", 1025)}, {Prefix: "a\x00"}, {Prefix: "\xff"},
		{Filename: strings.Repeat("x", 256)}, {Filename: "\n"},
		{Drafts: true, Meta: []listing.Filter{filter}},
	} {
		q.Limit = 1
		_, err := core.Lists.Images(t.Context(), account, q)
		imagestest.WantKind(t, err, errs.Invalid)
	}
}
