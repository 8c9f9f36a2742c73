// Package internal holds only tests of the sources: the import rule, who may write SQL, the words.
package internal

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// ranks is the import rule: a package imports our packages of a lower rank only, never of the same
// or a higher one. Every package is listed here or in support.
var ranks = map[string]int{
	"cmd/calotype": 9, // wires
	"bench":        9, // measures the program from outside
	"release":      9, // describes the archives; imports none of ours

	"bench/pipeline": 9, // measures the pixels, in one process
	"bench/quality":  9, // measures quality=auto, in one process

	"internal/api":      8, // the surfaces, which know nothing of SQL or pixels
	"internal/delivery": 8,
	"internal/intake":   8,
	"internal/pages":    8,

	"internal/listen": 8, // the client of a stream

	"internal/apiclient": 4, // the client of the API for commands; knows its wire only
	"internal/manage":    5, // commands that work through it

	"internal/doctor": 8, // checks what a machine and the state allow a server

	"internal/metrics": 7, // what it shows of the core; the surfaces know nothing of it

	"internal/cfapi": 6, // the wire that two surfaces speak

	"internal/notify": 7, // sends webhooks, in that wire format
	"internal/cdn":    7, // sends purges, in the wire formats of caches

	"internal/importer": 6, // moves an account in, through the core
	"internal/backup":   6, // copies an installation and restores it
	"internal/listing":  6, // lists images: reads their tables

	"internal/renditions": 6, // what a delivery needs of the core: URLs resolved, pictures rendered

	"internal/images":   5, // the core
	"internal/partials": 4, // resumable uploads
	"internal/purges":   4, // what caches in front of the server must purge
	"internal/receipts": 4, // beside it: signs what an upload has stored

	"internal/qualities":  4, // qualities found for renditions
	"internal/lookalikes": 4, // near hashes, and the pictures that an account refuses

	"internal/webhooks":  4, // below it: events, and their way to subscribers
	"internal/fields":    3, // the rules for what clients say of an image
	"internal/disk":      3, // the disk of a data folder: reserve, ballast, spools
	"internal/bodylimit": 3, // concurrent bodies of a one-time URL
	"internal/accounts":  3, // below these: who owns all else, and every transaction

	"internal/errs":        2, // what the core returns and the surfaces answer with
	"internal/render/vips": 2, // the pixels; see reserved

	"internal/blob":     1, // the leaves, which know nothing of images
	"internal/outbound": 1,
	"internal/render":   1,

	"internal/seccomp":  0, // the system calls of a worker
	"internal/landlock": 0, // the files of a worker

	"internal/phash":        0, // perceptual hashes: of pixels, their distance
	"internal/diskcache":    0, // renditions on the disk and in memory
	"internal/imagefile":    0, // what a picture file says of itself
	"internal/uploadpolicy": 1, // what a one-time URL accepts

	"internal/svg":       -1, // SVG, which imagefile reads too
	"internal/csscolour": 0,  // colours of options
	"internal/sqldb":     1,

	"internal/manual": 0, // the manual page and the completions of a command tree

	"internal/httpframe": 2, // what all surfaces do around a request

	"internal/text":      0, // the forms of keys, ids and plain text
	"internal/terminal":  0, // what commands print
	"internal/requestid": 1,
	"internal/httprange": 1,
	"internal/batch":     1,

	"internal/accept":     0, // what clients accept, by their headers
	"internal/trace":      0, // spans: a leaf that every package may call
	"internal/trace/otlp": 1, // sends them

	"internal/limit":      0, // what is shared, fairly; leaves use it too
	"internal/clientaddr": 0, // a key of what is shared
}

// support holds the packages that only tests import. Like tests, they import what they need.
var support = []string{
	"internal/blob/blobtest",
	"internal/imagefile/imagefiletest",
	"internal/api/openapitest",
	"internal/images/imagestest",
	"internal/programtest",
	"internal/render/rendertest",
	"internal/sqldb/sqldbtest",
	"internal/svg/svgtest",
	"internal/trace/tracetest",
}

// reserved names who may import a package, whatever the ranks say: packages, or single files. A
// path stands for all packages below it too. Each keeps an invariant: the server process decodes
// no pixel; only the core has SQL; only sqldb knows which engine it is; only
// metrics knows that it is Prometheus who asks, and only
// trace that spans are OpenTelemetry's. bench, which is no part of the server, reads /proc by procfs.
var reserved = map[string][]string{
	"calotype/internal/render/vips": {"cmd/calotype/worker.go", "bench/pipeline", "bench/quality"},
	"database/sql": {"internal/accounts", "internal/webhooks", "internal/partials", "internal/receipts",
		"internal/purges", "internal/lookalikes", "internal/qualities", "internal/images",
		"internal/sqldb"},
	"code.dny.dev/ssrf":           {"internal/outbound"},
	"github.com/mattn/go-sqlite3": {"internal/sqldb"},
	"modernc.org/sqlite":          {"internal/sqldb"},
	"github.com/jackc/pgx":        {"internal/sqldb"},
	"github.com/pressly/goose":    {"internal/sqldb"},
	"github.com/prometheus":       {"internal/metrics", "bench"},
	"github.com/go-jose":          {"internal/receipts"},
	"go.opentelemetry.io":         {"internal/trace", "internal/trace/otlp"},
}

const module = "calotype"

// A file is a Go file that is no test.
type file struct {
	path    string // relative to the module, with slashes
	imports []string
}

func TestLayers(t *testing.T) {
	t.Parallel()
	files, err := readFiles("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cmd/calotype/worker.go", "internal/blob/blob.go"} {
		if !slices.ContainsFunc(files, func(f file) bool { return f.path == name }) {
			t.Errorf("%s was not read: this test looks in the wrong place", name)
		}
	}
	for _, v := range violations(files) {
		t.Error(v)
	}
}

// violations returns what in files breaks the import rule, one sentence each.
func violations(files []file) []string {
	var found []string
	unranked := map[string]bool{}
	for _, f := range files {
		pkg := path.Dir(f.path)
		if slices.Contains(support, pkg) {
			continue
		}
		rank, ok := ranks[pkg]
		if !ok {
			unranked[pkg] = true
			continue
		}
		for _, imported := range f.imports {
			if why := forbidden(f.path, rank, imported); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s: %s", f.path, imported, why))
			}
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(unranked)) {
		found = append(found, pkg+" has no rank: give it one in internal/layers_test.go")
	}
	return found
}

// forbidden returns why the file at name, in a package of that rank, may not import a package; ""
// when it may.
func forbidden(name string, rank int, imported string) string {
	for pkg, importers := range reserved {
		if imported != pkg && !strings.HasPrefix(imported, pkg+"/") {
			continue
		}
		if !slices.Contains(importers, name) && !slices.Contains(importers, path.Dir(name)) {
			return "only " + strings.Join(importers, " and ") + " may"
		}
	}
	ours, ok := strings.CutPrefix(imported, module+"/")
	switch other, ranked := ranks[ours]; {
	case !ok:
		return ""
	case slices.Contains(support, ours):
		return "only tests may"
	case !ranked:
		return "that package has no rank in internal/layers_test.go"
	case other > rank:
		return "imports go down, this one goes up"
	case other == rank:
		return "imports go down, this one goes sideways"
	}
	return ""
}

// readFiles reads the imports of all Go files of the module in dir, for every system that they
// may be built for, except tests and nested modules.
func readFiles(dir string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && name != dir {
			return skipDir(name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := readFile(dir, name)
		files = append(files, f)
		return err
	})
	return files, err
}

// skipDir returns fs.SkipDir for the folders that the go command leaves out too.
func skipDir(name string) error {
	switch base := filepath.Base(name); {
	case base[0] == '.', base[0] == '_', base == "testdata", base == "node_modules":
		return fs.SkipDir
	}
	_, err := os.Stat(filepath.Join(name, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		return fs.SkipDir // a nested module
	}
	return err
}

func readFile(dir, name string) (file, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		return file{}, err
	}
	relative, err := filepath.Rel(dir, name)
	if err != nil {
		return file{}, err
	}
	f := file{path: filepath.ToSlash(relative)}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return file{}, err
		}
		f.imports = append(f.imports, imported)
	}
	return f, nil
}

// TestViolations: the rule accepts valid imports and refuses invalid ones.
func TestViolations(t *testing.T) {
	t.Parallel()
	tests := []struct{ from, imports, want string }{
		{"cmd/calotype/serve.go", "calotype/internal/api", ""},
		{"cmd/calotype/serve.go", "calotype/internal/blob", ""},
		{"cmd/calotype/worker.go", "calotype/internal/render/vips", ""},
		{"internal/api/api.go", "calotype/internal/cfapi", ""},
		{"internal/cfapi/cfapi.go", "calotype/internal/images", ""},
		{"internal/images/images.go", "calotype/internal/sqldb", ""},
		{"internal/images/images.go", "database/sql", ""},
		{"internal/render/vips/vips.go", "calotype/internal/render", ""},
		{"internal/sqldb/sqldb.go", "github.com/jackc/pgx/v5/stdlib", ""},
		{"internal/sqldb/sqldb.go", "database/sql/driver", ""},
		{"internal/sqldb/sqldbtest/sqldbtest.go", "calotype/internal/sqldb", ""},
		{"internal/images/imagestest/i.go", "calotype/internal/render/vips", ""},

		{"internal/images/images.go", "calotype/internal/api", "up"},
		{"internal/images/images.go", "calotype/internal/backup", "up"},
		{"internal/backup/run.go", "database/sql", "only internal/accounts and internal/webhooks and internal/partials and internal/receipts and internal/purges and internal/lookalikes and internal/qualities and internal/images and internal/sqldb"},
		{"internal/blob/dir.go", "calotype/internal/images", "up"},
		{"internal/render/pool.go", "calotype/internal/render/vips", "only cmd/calotype/worker.go"},
		{"internal/images/upload.go", "calotype/internal/render/vips", "only cmd/"},
		{"cmd/calotype/serve.go", "calotype/internal/render/vips", "only cmd/calotype/worker.go"},
		{"internal/api/api.go", "calotype/internal/intake", "sideways"},
		{"internal/blob/s3.go", "calotype/internal/outbound", "sideways"},
		{"internal/api/api.go", "calotype/internal/new", "has no rank"},
		{"internal/new/new.go", "fmt", "internal/new has no rank"},
		{"cmd/other/main.go", "fmt", "cmd/other has no rank"},
		{"internal/blob/dir/dir.go", "fmt", "internal/blob/dir has no rank"},
		{"internal/images/images.go", "calotype/internal/blob/blobtest", "only tests"},
		{"internal/api/api.go", "database/sql", "only internal/accounts and internal/webhooks and internal/partials and internal/receipts and internal/purges and internal/lookalikes and internal/qualities and internal/images and internal/sqldb"},
		{"cmd/calotype/admin.go", "database/sql", "only internal/accounts and internal/webhooks and internal/partials and internal/receipts and internal/purges and internal/lookalikes and internal/qualities and internal/images and internal/sqldb"},
		{"internal/images/images.go", "github.com/mattn/go-sqlite3", "only internal/sqldb"},
		{"internal/api/api.go", "github.com/prometheus/client_golang", "only internal/metrics"},
		{"internal/metrics/metrics.go", "github.com/prometheus/client_golang/prometheus", ""},
		{"internal/delivery/delivery.go", "calotype/internal/requestid", ""},
		{"internal/images/body.go", "go.opentelemetry.io/otel/trace", "only internal/trace"},
		{"cmd/calotype/serve.go", "go.opentelemetry.io/otel", "only internal/trace"},
		{"internal/trace/otlp/otlp.go", "go.opentelemetry.io/otel/sdk/trace", ""},
		{"internal/images/images.go", "github.com/jackc/pgx/v5", "only internal/sqldb"},
	}
	for _, test := range tests {
		f := file{path: test.from, imports: []string{"context", test.imports, "time"}}
		got := violations([]file{f})
		switch {
		case test.want == "" && len(got) != 0:
			t.Errorf("%s may import %s, but: %s", test.from, test.imports, got)
		case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
			t.Errorf("%s imports %s: %q, want one sentence with %q",
				test.from, test.imports, got, test.want)
		}
	}
}

// TestReadFiles: the imports of a tree are found, for every system, but not those of tests.
func TestReadFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, source := range map[string]string{
		"internal/api/api.go":           "package api\nimport _ \"calotype/internal/intake\"",
		"internal/api/api_test.go":      "package api\nimport _ \"calotype/internal/pages\"",
		"internal/blob/b_plan9.go":      "package blob\nimport _ \"calotype/internal/images\"",
		"internal/blob/testdata/t.go":   "package t\nimport _ \"calotype/internal/images\"",
		"tools/go.mod":                  "module tools",
		"tools/tools.go":                "package tools\nimport _ \"calotype/internal/images\"",
		"web/node_modules/x/flatted.go": "package x",
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := readFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := "[{internal/api/api.go [calotype/internal/intake]} " +
		"{internal/blob/b_plan9.go [calotype/internal/images]}]"
	if got := fmt.Sprint(files); got != want {
		t.Errorf("read %s\nwant %s", got, want)
	}
	if got := violations(files); len(got) != 2 {
		t.Errorf("violations: %q", got)
	}
}
