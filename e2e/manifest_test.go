package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A specimen is a file of the corpus, and what its manifest says of it.
type specimen struct {
	path, category, expected, format string
	width, height                    int // as shown
	frames                           int
	content                          []byte
}

func (s specimen) svg() bool { return strings.HasPrefix(s.format, "SVG") }

// animated reports whether it is delivered as an animation; an animated PNG is not.
func (s specimen) animated() bool {
	return s.frames > 1 && (s.format == "GIF" || s.format == "WEBP")
}

// tooLarge reports whether it is an animation that is only rewritten.
func (s specimen) tooLarge() bool {
	return s.animated() && s.width*s.height*s.frames > 50_000_000
}

// readManifest returns the whole corpus.
func readManifest(t *testing.T, dir string) (all []specimen) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "MANIFEST.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	columns := map[string]int{}
	for i, name := range strings.Split(lines[0], "\t") {
		columns[name] = i
	}
	for _, line := range lines[1:] {
		fields := strings.Split(line, "\t")
		if len(fields) != len(columns) {
			t.Fatalf("the manifest has a line of %d fields, not %d: %s", len(fields), len(columns), line)
		}
		field := func(name string) string { return fields[columns[name]] }
		number := func(name string) int {
			n, err := strconv.Atoi(field(name))
			if err != nil && field(name) != "" {
				t.Fatalf("%s of %s: %v", name, field("path"), err)
			}
			return n
		}
		s := specimen{
			path: field("path"), category: field("category"), expected: field("expected"),
			format: field("format"), width: number("shown_width"), height: number("shown_height"),
			frames: number("frames"),
		}
		if s.content, err = os.ReadFile(filepath.Join(dir, s.path)); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}
