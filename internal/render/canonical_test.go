package render

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestCanonicalStrings holds the canonical strings of the options in testdata/canonical.tsv. A canonical
// string names a rendition in caches and is a variant's options in the database: no line ever changes.
// A new option adds lines.
func TestCanonicalStrings(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/canonical.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range table {
		if !bytes.Contains(text, []byte("\n"+row.Name+"=")) {
			t.Errorf("testdata/canonical.tsv has no line for the option %s", row.Name)
		}
	}
	for line := range strings.Lines(string(text)) {
		given, want, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		for _, s := range []string{given, want} {
			if o, err := ParseOptions(s); err != nil || o.String() != want {
				t.Errorf("%q: got %q, %v; want %q", s, o.String(), err, want)
			}
		}
	}
}
