package render_test

import (
	"os"
	"testing"

	"calotype/internal/render"
	"calotype/internal/render/vips"
)

// TestMain is also the worker: a Pool under test re-executes this binary with arguments.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		if len(os.Args) > 2 {
			os.Exit(fakeWorker(os.Args[2]))
		}
		os.Exit(render.WorkerMain(vips.New))
	}
	os.Exit(m.Run())
}
