package render_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

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
	if err != nil || got.Version != "fake-1" || got.Libraries[imagefile.JPEG] != "libfake 1" ||
		len(got.Libraries) != len(render.Formats) {
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
		err := pool.Probe(t.Context(), format)
		if pool.Libraries()[format] == render.NoHEVC && format == imagefile.HEIC {
			if missing := new(render.NoDecoderError); !errors.As(err, &missing) {
				t.Errorf("an engine without HEVC: %v", err)
			}
		} else if err != nil {
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

// TestStartPoolIsBounded: the start of a worker that says nothing ends with its context, before its own limit.
func TestStartPoolIsBounded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	p, err := render.StartPool(ctx, render.PoolConfig{Command: []string{"/bin/sleep", "60"}})
	if err == nil {
		p.Close()
	}
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > 10*time.Second {
		t.Errorf("%v after %v", err, took)
	}
}
