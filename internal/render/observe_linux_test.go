package render_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"calotype/internal/render"
)

// TestTimer: a Pool reports both stages of each job, with its lane.
func TestTimer(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	p := newFakePool(t, "engine", render.PoolConfig{
		Timer: func(lane, stage string, took time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			if got = append(got, lane+" "+stage); took < 0 || took > time.Hour {
				t.Errorf("%s %s took %v", lane, stage, took)
			}
		},
	})
	if _, err := p.Examine(t.Context(), command(t, "ok"), pngHeader); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Render(t.Context(), command(t, "crash"), command(t, ""), pngJob); err == nil {
		t.Fatal("a worker that crashes has made a picture")
	}
	mu.Lock()
	defer mu.Unlock()
	want := []string{"uploads wait", "uploads work", "renditions wait", "renditions work"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestEndedHasAllReasons: those who count may rely on 0.
func TestEndedHasAllReasons(t *testing.T) {
	t.Parallel()
	ended := newFakePool(t, "engine", render.PoolConfig{}).Status().Ended
	for _, reason := range []string{"gone", "crashed", "timeout", "out-of-memory", "failed",
		"cancelled", "recycled", "idle", "busy-idle"} {
		if n, ok := ended[reason]; n != 0 || !ok {
			t.Errorf("%s: %d, %v", reason, n, ok)
		}
	}
	if len(ended) != 9 {
		t.Errorf("%v", ended)
	}
}
