package internal

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

// TestClientBuild: the program passes the type checker without cgo, for each system of the client builds. It generates
// no code: scripts/dist does, and TestClient in e2e runs them.
func TestClientBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: reads the sources of all modules")
	}
	t.Parallel()
	for _, system := range []string{"linux/amd64", "darwin/arm64"} {
		if err := checkTypes(system, "calotype/cmd/calotype", nil); err != nil {
			t.Errorf("%s: %v", system, err)
		}
	}
	// A check that finds nothing would pass, too.
	broken := map[string][]byte{absolute(t, "disk/fallocate_other.go"): []byte("//go:build !linux\n\npackage disk\n")}
	if err := checkTypes("darwin/arm64", "calotype/internal/disk", broken); err == nil ||
		!strings.Contains(err.Error(), "fallocate") {
		t.Errorf("without a function: %v", err)
	}
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return here + "/" + name
}

// checkTypes checks a package and those of ours that it needs, on a system such as linux/amd64. The files in overlay
// replace those of the source.
func checkTypes(system, pkg string, overlay map[string][]byte) error {
	goos, goarch, _ := strings.Cut(system, "/")
	config := packages.Config{
		Mode:    packages.NeedName | packages.NeedImports | packages.NeedDeps,
		Env:     append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch),
		Overlay: overlay,
		// Without comments, which are half of the time.
		ParseFile: func(set *token.FileSet, name string, source []byte) (*ast.File, error) {
			return parser.ParseFile(set, name, source, parser.SkipObjectResolution)
		},
	}
	needed, err := packages.Load(&config, pkg)
	if err != nil {
		return err
	}
	var ours []string // of other packages the bodies of functions are not checked
	packages.Visit(needed, nil, func(p *packages.Package) {
		if strings.HasPrefix(p.PkgPath, module+"/") {
			ours = append(ours, p.PkgPath)
		}
	})
	config.Mode |= packages.NeedCompiledGoFiles | packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesSizes
	checked, err := packages.Load(&config, ours...)
	packages.Visit(checked, nil, func(p *packages.Package) {
		for _, one := range p.Errors {
			err = errors.Join(err, one)
		}
	})
	return err
}
