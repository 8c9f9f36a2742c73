package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
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
	maxPackage  = 5500 // lines of a package's files
	maxExported = 60   // exported functions and types of a package, and exported methods of a type
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

// TestPackages: packages have bounds, so that a noun that grows becomes a package.
func TestPackages(t *testing.T) {
	t.Parallel()
	files, err := readFiles("..")
	if err != nil {
		t.Fatal(err)
	}
	lines, exported := map[string]int{}, map[string]int{}
	for _, f := range files {
		text, err := os.ReadFile(path.Join("..", f.path))
		if err != nil {
			t.Fatal(err)
		}
		pkg := path.Dir(f.path)
		lines[pkg] += strings.Count(string(text), "\n")
		countExported(t, f.path, text, exported)
	}
	const core = "internal/images"
	if lines[core] < 1000 || exported[core] < 10 || exported[core+".Service"] < 10 {
		t.Errorf("%s has %d lines, and exports %d names and %d methods: this test counts the wrong thing",
			core, lines[core], exported[core], exported[core+".Service"])
	}
	for pkg, n := range lines {
		if n > maxPackage {
			t.Errorf("%s has %d lines, more than %d: a noun of it can be a package", pkg, n, maxPackage)
		}
	}
	for name, n := range exported {
		if n > maxExported {
			t.Errorf("%s exports %d names, more than %d", name, n, maxExported)
		}
	}
}

// countExported adds the exported functions and types of a file to the number of its package, and the exported methods
// to that of their type.
func countExported(t *testing.T, name string, text []byte, of map[string]int) {
	t.Helper()
	pkg := path.Dir(name)
	parsed, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() {
				of[pkg+receiver(d)]++
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok && s.Name.IsExported() {
					of[pkg]++
				}
			}
		}
	}
}

// TestCountExported: functions and types count for the package, methods for their type, values and names that are not
// exported for none.
func TestCountExported(t *testing.T) {
	t.Parallel()
	of := map[string]int{}
	countExported(t, "internal/p/p.go", []byte(`package p
type ( A struct{}; B[K, V any] struct{}; c int )
type D = A
const E, F = 1, 2
var G = 3
func H() {}
func i() {}
func (A) J() {}
func (a *A) K() {}
func (b *B[K, V]) L() {}
func (b B[K, V]) m() {}
func (x c) N() {}`), of)
	want := map[string]int{"internal/p": 4, "internal/p.A": 2, "internal/p.B": 1, "internal/p.c": 1}
	if !maps.Equal(of, want) {
		t.Errorf("counted %v, want %v", of, want)
	}
}

// receiver returns a dot and the type of a method's receiver, "" for a function.
func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	of := fn.Recv.List[0].Type
	for {
		switch t := of.(type) {
		case *ast.StarExpr:
			of = t.X
		case *ast.IndexExpr: // generic
			of = t.X
		case *ast.IndexListExpr:
			of = t.X
		case *ast.Ident:
			return "." + t.Name
		default:
			return ".?"
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
