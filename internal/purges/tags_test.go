package purges

import (
	"regexp"
	"slices"
	"testing"

	"calotype/internal/accounts"
)

func TestTags(t *testing.T) {
	t.Parallel()
	const account = "023e105f4ecef8ad9ca31a8372d0c353"
	tags := Tags(account, "internalkey", "public", true)
	// Written down, since what operators purge by must not change with a release.
	want := []string{
		"i-0a46ae8d98becc359776abdf2848dfd6", "v-fbb00dc3c97a16649907315160b741f2",
		"a-6706dd667f8eb1ceea7a7916ba1d97a7", "p-6706dd667f8eb1ceea7a7916ba1d97a7",
	}
	if !slices.Equal(tags, want) {
		t.Errorf("got %q", tags)
	}
	if public := Tags(account, "internalkey", "public", false); !slices.Equal(public, want[:3]) {
		t.Errorf("got %q for a public picture", public)
	}
	for i, tag := range tags {
		if !regexp.MustCompile(`^[ivap]-[0-9a-f]{32}$`).MatchString(tag) {
			t.Errorf("%q is no safe token", tag)
		}
		if Tags("ffffffffffffffffffffffffffffffff", "other", "public", true)[i] == tag {
			t.Errorf("two accounts share %q", tag)
		}
	}
	stale := []accounts.Stale{{Account: account, Key: "internalkey", ID: "my cat, asleep"},
		{Account: account, Variant: "public"}, {Account: account, Hash: "h"}, {Account: account, Private: true}}
	for i, s := range stale {
		if got := tagOf(s); got != tags[i] {
			t.Errorf("%+v is purged by %q, and delivered with %q", s, got, tags[i])
		}
	}
}
