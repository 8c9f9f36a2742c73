package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTroubleshooting: the page has every code of every surface, with its statuses, and no code that is in no table; and the
// messages of the program stand in its source.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	page := readGuide(t, "troubleshooting")
	sections := strings.Split(page, "\n## ")
	if len(sections) != 5 {
		t.Fatalf("the page has %d sections", len(sections)-1)
	}
	wantCodes(t, sections[1]+sections[2], "../internal/cfapi/refusals.go", "../internal/api/errors.go")
	deliveries, err := filepath.Glob("../internal/delivery/*.go")
	if err != nil {
		t.Fatal(err)
	}
	deliveries = slices.DeleteFunc(deliveries, func(path string) bool { return strings.HasSuffix(path, "_test.go") })
	wantCodes(t, sections[3], deliveries...)

	source := programSource(t)
	messages := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(sections[4], -1)
	for _, m := range messages {
		// The text of the loader of programs is not ours.
		if !strings.Contains(source, m[1]) && m[1] != "error while loading shared libraries" {
			t.Errorf("no message of the program has the words %q", m[1])
		}
	}
	if len(messages) < 10 {
		t.Errorf("the page has %d messages", len(messages))
	}
}

// wantCodes compares the codes in the tables of a section with those that source files name.
func wantCodes(t *testing.T, section string, files ...string) {
	t.Helper()
	code := regexp.MustCompile(`\b(971|5[45]\d\d|70\d\d|9[1459]\d\d|10000)\b`)
	var want, got []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "//")
			want = append(want, code.FindAllString(line, -1)...)
		}
	}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) > 2 {
			got = append(got, code.FindAllString(cells[1], -1)...)
		}
	}
	for _, list := range []*[]string{&want, &got} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	for _, c := range want {
		if !slices.Contains(got, c) {
			t.Errorf("the page lacks the code %s", c)
		}
	}
	for _, c := range got {
		if !slices.Contains(want, c) {
			t.Errorf("the page has the code %s, which no table has", c)
		}
	}
	if len(want) < 15 {
		t.Errorf("only the codes %v were found in %v", want, files)
	}
}

// programSource returns the source of the program, with texts that are split over lines joined.
func programSource(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, root := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			all.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return regexp.MustCompile(`"\s*\+\s*"`).ReplaceAllString(all.String(), "")
}
