package render_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestMain is also the fake worker: a Pool under test re-executes this binary with arguments. The binary does not
// link libvips, whose libraries take most of the time in which a worker starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "worker" {
		os.Exit(fakeWorker(os.Args[2]))
	}
	code := m.Run()
	if vipsWorkerDir != "" {
		os.RemoveAll(vipsWorkerDir)
	}
	os.Exit(code)
}

// vipsWorker returns the command of a worker with libvips.
func vipsWorker(t testing.TB) []string {
	t.Helper()
	path, err := buildVipsWorker()
	if err != nil {
		t.Fatal(err)
	}
	return []string{path}
}

var vipsWorkerDir string // "" before the first use

var buildVipsWorker = sync.OnceValues(func() (path string, err error) {
	if vipsWorkerDir, err = os.MkdirTemp("", "calotype-test-"); err != nil {
		return "", err
	}
	path = filepath.Join(vipsWorkerDir, "worker")
	out, err := exec.Command("go", "build", "-o", path, "calotype/internal/render/rendertest").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building a worker: %w\n%s", err, out)
	}
	return path, nil
})
