package render_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/render"
)

// eagerly names the requester of an eager job.
func eagerly(ctx context.Context) context.Context {
	return render.WithRequester(ctx, render.Requester{Account: "a", Eager: true})
}

// TestEagerJobs: an eager job gets a worker of the lowest priority, which no other lane uses. A job that is cancelled
// counts as no lost worker. Close ends a job that runs and one that waits.
func TestEagerJobs(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 1, Eager: true})
	others := map[int]bool{}
	for _, pid := range render.PIDs(p) {
		others[pid] = true
	}
	if _, err := p.Render(eagerly(t.Context()), command(t, "ok"), command(t, ""), pngJob); err != nil {
		t.Fatal(err)
	}
	before, err := unix.Getpriority(unix.PRIO_PROCESS, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range render.PIDs(p) {
		want := 20 - before // that of this process
		if !others[pid] {
			want = render.EagerNice
		}
		for _, n := range niceness(t, pid) {
			if n != want {
				t.Errorf("a worker, an eager one: %v, has the niceness %d, want %d", !others[pid], n, want)
			}
		}
	}
	if s := p.Status(); s.Eager.Workers != 1 || s.Eager.Limit != 1 || s.Renditions.Workers != 1 {
		t.Errorf("after a job: %+v", s)
	}
	ctx, cancel := context.WithCancel(eagerly(t.Context()))
	ended := make(chan error, 2)
	start := func(ctx context.Context) {
		in, out := command(t, "sleep 1h"), command(t, "")
		go func() {
			_, err := p.Render(ctx, in, out, pngJob)
			ended <- err
		}()
	}
	eager := func(run, wait int) {
		t.Helper()
		for range 3000 {
			if s := p.Status().Eager; s.Running == run && s.Waiting == wait {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Fatalf("never %d running and %d waiting: %+v", run, wait, p.Status().Eager)
	}
	start(ctx)
	eager(1, 0)
	if _, err := p.Render(t.Context(), command(t, "ok"), command(t, ""), pngJob); err != nil {
		t.Errorf("a view beside an eager job: %v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled job: %v", err)
	}
	if s := p.Status(); s.Lost != 0 {
		t.Errorf("%d workers lost", s.Lost)
	}
	start(eagerly(t.Context()))
	eager(1, 0)
	start(eagerly(t.Context()))
	eager(1, 1)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, render.ErrBusy) {
			t.Errorf("at the end of the Pool: %v", err)
		}
	}
}
