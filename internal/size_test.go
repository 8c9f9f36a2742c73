package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
)

// The bounds on code that is no test; CONTRIBUTING.md states them.
const (
	maxFunction = 60 // lines of a function's body with its head
	maxFile     = 500
	maxColumns  = 120
)

// TestSizes: functions, files and lines have bounds.
func TestSizes(t *testing.T) {
	t.Parallel()
	files, err := readFiles("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(path.Join("..", f.path))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if len(lines) > maxFile {
			t.Errorf("%s has %d lines, more than %d", f.path, len(lines), maxFile)
		}
		long := slices.IndexFunc(lines, func(line string) bool {
			return len([]rune(strings.ReplaceAll(line, "\t", "    "))) > maxColumns
		})
		if long >= 0 {
			t.Errorf("%s:%d has more than %d columns", f.path, long+1, maxColumns)
		}
		for name, lines := range longFunctions(t, f.path, text) {
			t.Errorf("%s: %s has %d lines, more than %d", f.path, name, lines, maxFunction)
		}
	}
}

// longFunctions returns the functions that are too long, with their lines.
func longFunctions(t *testing.T, name string, text []byte) map[string]int {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	long := map[string]int{}
	for _, decl := range parsed.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if lines := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; lines > maxFunction {
			long[fn.Name.Name] = lines
		}
	}
	return long
}
