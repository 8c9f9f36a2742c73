package delivery

import (
	"regexp"
	"slices"
	"testing"

	"calotype/internal/accounts"
	"calotype/internal/images"
	"calotype/internal/renditions"
)

func TestMatchesETag(t *testing.T) {
	t.Parallel()
	const etag = `"0123-abcd"`
	for line, want := range map[string]bool{
		etag: true, "W/" + etag: true, "*": true, `"x", ` + etag + `,"y"`: true, " * ": true,
		"": false, `"x"`: false, "0123-abcd": false, `"0123-abcd`: false, "w/" + etag: false,
		"**": false,
	} {
		if got := matchesETag([]string{`"first"`, line}, etag); got != want {
			t.Errorf("%q: got %v", line, got)
		}
	}
	if matchesETag(nil, etag) {
		t.Error("no header matches")
	}
}

func TestCacheTags(t *testing.T) {
	t.Parallel()
	r := renditions.Resolved{
		Account: accounts.Account{ID: "023e105f4ecef8ad9ca31a8372d0c353", Hash: testHash},
		Image:   images.Image{Key: "internalkey", ID: "my cat, asleep"},
		Variant: images.Variant{ID: "public"},
	}
	tags := cacheTags(r)
	// Written down, since what operators purge by must not change with a release.
	want := []string{
		"i-0a46ae8d98becc359776abdf2848dfd6", "v-fbb00dc3c97a16649907315160b741f2",
		"a-6706dd667f8eb1ceea7a7916ba1d97a7",
	}
	if !slices.Equal(tags, want) {
		t.Errorf("got %q", tags)
	}
	for _, tag := range tags {
		if !regexp.MustCompile(`^[iva]-[0-9a-f]{32}$`).MatchString(tag) {
			t.Errorf("%q is no safe token", tag)
		}
	}
	renamed := r
	renamed.Image.ID = "another id"
	if !slices.Equal(cacheTags(renamed), tags) {
		t.Error("a new id changed the tags")
	}
	other := r
	other.Image.Key, other.Account.ID = "other", "ffffffffffffffffffffffffffffffff"
	for i, tag := range cacheTags(other) {
		if tag == tags[i] {
			t.Errorf("two accounts share %q", tag)
		}
	}
}
