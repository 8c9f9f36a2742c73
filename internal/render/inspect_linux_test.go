package render_test

import (
	"os"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// TestInspect: a worker reports its libraries as one line each, and why it does not start.
func TestInspect(t *testing.T) {
	t.Parallel()
	fake := func(kind string) render.PoolConfig {
		return render.PoolConfig{Command: []string{os.Args[0], "worker", kind}}
	}
	got, err := render.Inspect(t.Context(), fake("engine"))
	if err != nil || got.Version != "fake-1" || got.Libraries[imagefile.JPEG] != "libfake 1" {
		t.Errorf("%+v, %v", got, err)
	}
	for _, kind := range []string{"broken-engine", "exit", "wrong-protocol"} {
		if got, err := render.Inspect(t.Context(), fake(kind)); err == nil {
			t.Errorf("%s: %+v", kind, got)
		}
	}
}

// TestProbe: the workers of this machine process each format, and a worker that does not is found.
func TestProbe(t *testing.T) {
	t.Parallel()
	pool, err := render.NewPool(render.PoolConfig{Command: vipsWorker(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	broken, err := render.NewPool(render.PoolConfig{Command: []string{os.Args[0], "worker", "engine"}})
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	for _, format := range render.Formats {
		if err := pool.Probe(t.Context(), format); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		if pool.Libraries()[format] == "" {
			t.Errorf("the library of %s is not known", format)
		}
		if err := broken.Probe(t.Context(), format); err == nil {
			t.Errorf("%s: an engine without codecs works", format)
		}
	}
}
