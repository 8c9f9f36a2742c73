package internal

import (
	"bytes"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// privateWords are regular expressions of words that mean something in this project only, each with
// the terms to use. CONTRIBUTING.md has the table for people. A space stands for any white space.
var privateWords = map[string]string{
	"tell|tells|told|telling":                "notify, return, report, say; tell apart: distinguish",
	"nobody|somebody|whoever|whom|everybody": "the caller, the client, the subscriber",
	"meanwhile":                              "concurrently, while ...",
	"anew":                                   "again, a new ...",
	"becomes? of|became of":                  "the result of",
	"(go|goes|going|went|gone) on":           "continue",
	"in (the )?place of":                     "instead of",
	"is none":                                "there is no ..., does not exist",
	"no more|any more":                       "no longer",
	"of (its|their) own":                     "its, separate, dedicated",
	"crowded":                                "at capacity, too many ...",
	"mint|mints|minting":                     "create an upload URL",
	"but for":                                "except",
	"so (many|often|much|long)":              "this number, N times",
	"(take|takes|taken|took|taking) out":     "erase (people), delete (rows), evict (cache)",
	"as if":                                  "what happens",
}

// private matches the private words in text, whatever their case.
var private = func() *regexp.Regexp {
	var all []string
	for word := range privateWords {
		all = append(all, strings.ReplaceAll(word, " ", `\s+`))
	}
	slices.Sort(all)
	return regexp.MustCompile(`(?i)\b(` + strings.Join(all, "|") + `)\b(\s+than)?`)
}()

// TestGlossary looks for private words in comments and string literals of Go files, and in all of the
// other files.
func TestGlossary(t *testing.T) {
	t.Parallel()
	listed, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files").Output()
	if err != nil {
		t.Skip("the sources are not in a git repository: ", err)
	}
	for name := range strings.Lines(string(listed)) {
		name = strings.TrimSpace(name)
		if !isProse(name) {
			continue
		}
		source, err := os.ReadFile("../" + name)
		if err != nil {
			continue // deleted, and the deletion is not committed
		}
		for _, found := range privateIn(name, source) {
			t.Error(found)
		}
	}
}

// isProse reports whether a file is text that was written for this project.
func isProse(name string) bool {
	if strings.HasPrefix(name, "release/inside/") { // licences of others
		return false
	}
	switch path.Ext(name) {
	case ".jpg", ".png", ".svg", ".ico", ".sum":
		return false
	}
	if path.Base(name) == "package-lock.json" || strings.Contains(name, "testdata/") {
		return false
	}
	return name != "LICENSE" && name != "web/docs/licences.txt" && name != "internal/glossary_test.go"
}

// privateIn returns one sentence for each private word in a file.
func privateIn(name string, source []byte) []string {
	text := source
	if path.Ext(name) == ".go" {
		text = commentsAndStrings(source)
	}
	if name == "CONTRIBUTING.md" {
		text = regexp.MustCompile(`(?s)## Words\n.*?\n## `).ReplaceAllFunc(text, blank)
	}
	text = regexp.MustCompile(`(?m)^[ \t]*(//|--|#|\*)`).ReplaceAllFunc(text, blank)
	var found []string
	for _, at := range private.FindAllSubmatchIndex(text, -1) {
		if word := text[at[2]:at[3]]; at[len(at)-2] < 0 || !bytes.HasSuffix(bytes.ToLower(word), []byte("more")) {
			line := 1 + bytes.Count(text[:at[0]], []byte("\n"))
			found = append(found, fmt.Sprintf("%s:%d: %q is a private word: see CONTRIBUTING.md", name, line, word))
		}
	}
	return found
}

// commentsAndStrings returns a Go file with all else replaced: white space by itself, other bytes by 0.
func commentsAndStrings(source []byte) []byte {
	text := make([]byte, len(source))
	for i, c := range source {
		if c == ' ' || c == '\t' || c == '\n' {
			text[i] = c
		}
	}
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(source))
	s.Init(file, source, nil, scanner.ScanComments)
	for {
		pos, kind, literal := s.Scan()
		switch kind {
		case token.EOF:
			return text
		case token.COMMENT, token.STRING:
			copy(text[file.Offset(pos):], literal)
		}
	}
}

// blank returns spaces and the line breaks of text.
func blank(text []byte) []byte {
	return bytes.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return ' '
	}, text)
}

// TestPrivateIn: comments, also wrapped ones, and strings are searched, identifiers are not.
func TestPrivateIn(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"a.go", "package a\n\n// A thing of its\n// own.\nvar told = 1 // no more than two\n", "[a.go:3]"},
		{"a.go", "package a\n\nvar x = `Nobody`\n", "[a.go:3]"},
		{"a.go", "package a\n\nvar nobody = x // fine\n", "[]"},
		{"a.md", "# So\n\nThere is no\nmore.\n", "[a.md:3]"},
		{"a.sql", "-- in the place\n-- of it\n", "[a.sql:1]"},
		{"CONTRIBUTING.md", "## Words\n\ntold\n\n## Commits\n\nanew\n", "[CONTRIBUTING.md:7]"},
	}
	for _, test := range tests {
		var got []string
		for _, sentence := range privateIn(test.name, []byte(test.text)) {
			place, _, _ := strings.Cut(sentence, ": ")
			got = append(got, place)
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s %q: %v, want %s", test.name, test.text, got, test.want)
		}
	}
}
