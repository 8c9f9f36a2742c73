package render_test

import (
	"os"
	"testing"

	"calotype/internal/programtest"
)

// TestMain is also the fake worker: a Pool under test re-executes this binary with arguments. The binary does not
// link libvips, whose libraries take most of the time in which a worker starts.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "worker" {
		os.Exit(fakeWorker(os.Args[2]))
	}
	code := m.Run()
	programtest.Remove()
	os.Exit(code)
}

// realWorker returns the command of the real program's workers, which need libvips.
func realWorker(t testing.TB) []string {
	t.Helper()
	return []string{programtest.Binary(t), "worker"}
}
