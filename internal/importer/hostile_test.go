package importer_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/images/imagestest"
	"calotype/internal/importer"
)

// TestAnEndlessListEndsTheImport: a list that changes its order, or has pages without images for ever, is
// distinguished from a long one.
func TestAnEndlessListEndsTheImport(t *testing.T) {
	t.Parallel()
	item := func(n int, uploaded string) string {
		return fmt.Sprintf(`{"id":"keys/%d","uploaded":%q,"variants":[]}`, n, uploaded) // refused
	}
	for name, c := range map[string]struct {
		page func(n int) (list, next string) // n: pages so far
		says string
		most int // lists
	}{
		"two tokens in turn": {func(n int) (string, string) {
			return item(n, "2023-02-03T04:05:06Z"), []string{"a", "b"}[n%2]
		}, "repeats a continuation token", 3},
		"new tokens, the same images": {func(n int) (string, string) {
			return item(n%3, fmt.Sprintf("2023-02-03T04:05:%02dZ", n%3)), fmt.Sprint(n)
		}, "the other way round", 4},
		"no images": {func(n int) (string, string) { return "", fmt.Sprint(n) },
			"consecutive pages without an image", 101},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core, s := imagestest.New(t), newSource(t)
			s.refuse = func(w http.ResponseWriter, path string) bool {
				if path != "/v2" {
					return false
				}
				list, next := c.page(s.lists)
				s.lists++
				result(w, `{"images":[`+list+`],"continuation_token":"`+next+`"}`)
				return true
			}
			_, err := importer.Run(t.Context(), config(t, s, core))
			if err == nil || !strings.Contains(err.Error(), "does not end") ||
				!strings.Contains(err.Error(), c.says) {
				t.Errorf("the import ended with %v", err)
			}
			if s.lists > c.most {
				t.Errorf("the list was asked for %d times, want at most %d", s.lists, c.most)
			}
		})
	}
}

// TestAListMayBeginWithTheNewest: a source may use either order, if it does not change.
func TestAListMayBeginWithTheNewest(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.add(30)
	slices.Reverse(s.images)
	if c := bring(t, config(t, s, core), nil).Images; c.Exists != 30 {
		t.Errorf("%+v", c)
	}
}

// TestWhatCameAlongIsSaid: keys with their values, and settings that show pictures to everyone.
func TestWhatCameAlongIsSaid(t *testing.T) {
	t.Parallel()
	core, s := imagestest.New(t), newSource(t)
	s.variants = `{"open":{"options":{"width":10},"neverRequireSignedURLs":true},
		"closed":{"options":{"width":10}}}`
	for range 2 { // a second run finds all here and says it again
		notes := strings.Join(bring(t, config(t, s, core), nil).Notes, "\n")
		for _, want := range []string{"at the source: default. A person", "URLs): open", "flexible"} {
			if !strings.Contains(notes, want) {
				t.Errorf("the notes do not say %q: %s", want, notes)
			}
		}
		if strings.Contains(notes, "closed") {
			t.Errorf("the notes name a variant that is not open: %s", notes)
		}
	}
	other := imagestest.New(t)
	before, err := other.Accounts.SigningKeys(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	c := config(t, s, other)
	c.NoKeys = true
	report := bring(t, c, nil)
	after, err := other.Accounts.SigningKeys(t.Context(), account)
	if err != nil || !slices.Equal(before, after) || report.Settings["key"] != 0 ||
		strings.Contains(strings.Join(report.Notes, ""), "signing key") {
		t.Errorf("without keys: %v, %v; %+v", after, err, report)
	}
}

// TestAHashHasItsForm: what stands where a hash belongs is no hash for that.
func TestAHashHasItsForm(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{"\x1b]0;x\a1234567890123456", "a b/c.d'e\"f$g;h(i)j&k~",
		strings.Repeat("\u202e", 7) + "x", strings.Repeat("x", 21)} {
		if accounts.IsHash(hash) {
			t.Errorf("%q is taken for a hash", hash)
		}
	}
	core, s := imagestest.New(t), newSource(t)
	s.refuse = func(w http.ResponseWriter, path string) bool {
		if path == "/v2" {
			result(w, `{"images":[{"id":"keys/1","variants":[`+
				`"https://x/\u001b]0;evil\u0007012345678901/keys/1/p"]}],"continuation_token":null}`)
		}
		return path == "/v2"
	}
	report := bring(t, config(t, s, core), importer.ErrNotAllImported)
	if notes := strings.Join(report.Notes, "\n"); strings.Contains(notes, "evil") {
		t.Errorf("a foreign hash is noted: %q", notes)
	}
}
