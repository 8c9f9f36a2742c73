package delivery

import (
	"testing"
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
