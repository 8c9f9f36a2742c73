package blobtest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"calotype/internal/blob"
)

var listTests = []storeTest{
	{"ListEmpty", testListEmpty},
	{"ListOrder", testListOrder},
	{"ListPrefix", testListPrefix},
	{"ListCursor", testListCursor},
	{"ListPages", testListPages},
}

func testListEmpty(t *testing.T, s blob.Store) {
	for _, prefix := range []string{"", "a", "a/", "a/b/c"} {
		objects, next, err := s.List(t.Context(), prefix, "")
		if len(objects) != 0 || next != "" || err != nil {
			t.Errorf("List(%q) = %v, %q, %v", prefix, objects, next, err)
		}
	}
}

// sample holds keys whose order differs from a walk through sorted folders: "-" and "." come
// before the slash, digits and letters after it, capitals before small letters.
var sample = []string{
	"A", "Z/z", "a-b", "a.b", "a.b-c", "a/-", "a/b.c", "a/b/c", "a/b/d", "a/b0", "a/c", "a0/b",
	"a_b", "aa/b", "ab", "abc/d", "b",
}

func sampleStore(t *testing.T, s blob.Store) []string {
	t.Helper()
	// Not in order, so that the order of writing shows if it matters.
	for i := range sample {
		Put(t, s, sample[(i*7)%len(sample)], []byte("picture"))
	}
	return slices.Sorted(slices.Values(sample))
}

func testListOrder(t *testing.T, s blob.Store) {
	want := sampleStore(t, s)
	if got := keysOf(All(t, s, "")); !slices.Equal(got, want) {
		t.Errorf("listed %q\nwant   %q", got, want)
	}
}

func testListPrefix(t *testing.T, s blob.Store) {
	keys := sampleStore(t, s)
	prefixes := []string{
		"a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/", "ab", "ab/", "abc", "a.", "a.b", "a0", "Z",
		"Z/", "b", "ba", "zz", "a/b/zz",
	}
	for _, prefix := range prefixes {
		want := slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
			return !strings.HasPrefix(key, prefix)
		})
		if got := keysOf(All(t, s, prefix)); !slices.Equal(got, want) {
			t.Errorf("List(%q): %q\nwant %q", prefix, got, want)
		}
	}
}

// testListCursor begins after each key, and after strings that are not keys.
func testListCursor(t *testing.T, s blob.Store) {
	keys := sampleStore(t, s)
	cursors := append([]string{"a/", "a", "a/b/", "a/b/zz", "0", "zz", "a/b-", "a b"}, keys...)
	for _, prefix := range []string{"", "a", "a/", "a/b/"} {
		for _, cursor := range cursors {
			var want []string
			for _, key := range keys {
				if strings.HasPrefix(key, prefix) && key > cursor {
					want = append(want, key)
				}
			}
			objects, next, err := s.List(t.Context(), prefix, cursor)
			if got := keysOf(objects); !slices.Equal(got, want) || next != "" || err != nil {
				t.Errorf("List(%q, %q) = %q, %q, %v\nwant %q",
					prefix, cursor, got, next, err, want)
			}
		}
	}
}

// testListPages has more objects than a page holds: some in folders, a page and more side by side.
// Then it has exactly as many, so that the end of a page, of a folder and of the list fall
// together.
func testListPages(t *testing.T, s blob.Store) {
	const n = blob.PageSize + 30
	keys := make([]string, n)
	for i := range keys {
		switch {
		case i < 20:
			keys[i] = fmt.Sprintf("2026-07-01/%x/%04d", i%4, i)
		case i < n-5:
			keys[i] = fmt.Sprintf("2026-07-02/%04d", i)
		default:
			keys[i] = fmt.Sprintf("2026-07-%02d/%04d", 3+n-i, i)
		}
	}
	putAll(t, s, keys)
	slices.Sort(keys)
	if got := keysOf(All(t, s, "")); !slices.Equal(got, keys) {
		t.Errorf("listed %d objects, want %d: %q", len(got), n, got)
	}
	first, next, err := s.List(t.Context(), "", "")
	if len(first) != blob.PageSize || next == "" || err != nil {
		t.Errorf("the first page has %d objects, then %q, %v", len(first), next, err)
	}
	if page, _, err := s.List(t.Context(), "", keys[n-2]); err != nil ||
		!slices.Equal(keysOf(page), keys[n-1:]) {
		t.Errorf("after the last but one: %v, %v", page, err)
	}
	for _, key := range keys[blob.PageSize:] {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	// A full last page may have a next page or not; All must end.
	if got := keysOf(All(t, s, "")); !slices.Equal(got, keys[:blob.PageSize]) {
		t.Errorf("listed %d objects, want %d: %q", len(got), blob.PageSize, got)
	}
}

// putAll stores an object under each key.
func putAll(t *testing.T, s blob.Store, keys []string) {
	t.Helper()
	const writers = 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < len(keys); i += writers {
				f := File(t, []byte("picture"))
				if err := s.Put(t.Context(), keys[i], f, 7); err != nil {
					t.Errorf("Put(%q): %v", keys[i], err)
					return
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func keysOf(objects []blob.Info) []string {
	var keys []string
	for _, o := range objects {
		keys = append(keys, o.Key)
	}
	return keys
}
