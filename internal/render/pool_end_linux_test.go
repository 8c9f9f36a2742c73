package render_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/render"
)

// TestKilledWorkers kills idle workers, which costs no job, a busy one, which costs its job
// a second try, and that of the second try as well, which says nothing of the picture.
func TestKilledWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: kills workers with -9")
	}
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 1})
	for range 5 {
		for _, pid := range render.PIDs(p) {
			unix.Kill(pid, unix.SIGKILL)
		}
		if _, err := p.Examine(t.Context(), command(t, "ok"), pngHeader); err != nil {
			t.Errorf("after the idle worker was killed: %v", err)
		}
	}
	if s := p.Status(); s.Ended["gone"] != 5 {
		t.Errorf("5 idle workers were killed, but of those that ended %v", s.Ended)
	}
	failed := make(chan error)
	render1 := func(what string) {
		in, out := command(t, what), command(t, "")
		go func() {
			_, err := p.Render(t.Context(), in, out, pngJob)
			failed <- err
		}()
		running(t, p, 1, 0)
	}
	render1("sleep 2s")
	for _, pid := range render.PIDs(p) {
		unix.Kill(pid, unix.SIGKILL)
	}
	if err := <-failed; err != nil {
		t.Errorf("a job whose first worker was killed: %v", err)
	}
	render1("sleep 1h")
	for done := false; !done; {
		for _, pid := range render.PIDs(p) {
			unix.Kill(pid, unix.SIGKILL)
		}
		select {
		case err := <-failed:
			done = true
			if !errors.Is(err, render.ErrNoWorker) || errors.Is(err, render.ErrWorker) {
				t.Errorf("the job of two killed workers: %v", err)
			}
		case <-time.After(50 * time.Millisecond):
		}
	}
	if _, err := p.Render(t.Context(), command(t, "ok"), command(t, ""), pngJob); err != nil {
		t.Errorf("the next job: %v", err)
	}
}

func TestIdleWorkersEnd(t *testing.T) {
	t.Parallel()
	p, err := render.NewPoolIdle(render.PoolConfig{
		Command: []string{os.Args[0], "worker", "engine"}, Workers: 3,
	}, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, end := context.WithCancel(t.Context())
	var jobs sync.WaitGroup
	for range 3 {
		in, out := command(t, "sleep 50ms"), command(t, "")
		jobs.Go(func() {
			if _, err := p.Render(ctx, in, out, pngJob); err != nil {
				t.Error(err)
			}
		})
	}
	jobs.Wait()
	end()
	for range 3000 {
		if p.Status().Renditions.Workers == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("status %+v, want one worker left", p.Status())
}

// TestCloseLeavesNothing closes a Pool in the middle of its work. It counts processes and
// goroutines of the whole test program, so it does not run beside others.
func TestCloseLeavesNothing(t *testing.T) {
	goroutines := runtime.NumGoroutine()
	p, err := render.NewPool(render.PoolConfig{
		Command: []string{os.Args[0], "worker", "engine"}, Workers: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	var jobs sync.WaitGroup
	for range 5 {
		in, out := command(t, "sleep 1h"), command(t, "")
		jobs.Go(func() {
			if _, err := p.Render(t.Context(), in, out, pngJob); !errors.Is(err, render.ErrBusy) {
				t.Errorf("a job of a closed pool: %v", err)
			}
		})
	}
	running(t, p, 3, 2)
	pids := render.PIDs(p)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	jobs.Wait()
	if err := p.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	_, err = p.Examine(t.Context(), command(t, "ok"), pngHeader)
	if !errors.Is(err, render.ErrBusy) {
		t.Errorf("a job after closing: %v", err)
	}
	if left := children(t); len(left) > 0 {
		t.Errorf("processes left: %v (idle ones were %v)", left, pids)
	}
	for range 3000 {
		if runtime.NumGoroutine() <= goroutines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
}

// children lists the processes that this one has started.
func children(t *testing.T) []string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		all = append(all, strings.Fields(string(text))...)
	}
	return all
}

// TestWorkersDieWithServer kills a server with SIGKILL.
func TestWorkersDieWithServer(t *testing.T) {
	t.Parallel()
	server := exec.Command(os.Args[0], "worker", "parent")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	pids := strings.Fields(strings.Trim(line, "[]\n"))
	if len(pids) != 2 {
		t.Errorf("workers %q", line)
	}
	server.Process.Kill()
	server.Wait()
	for _, pid := range pids {
		gone := false
		for range 3000 {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			// A zombie without a parent that collects it is dead as well.
			if gone = err != nil || bytes.Contains(stat, []byte(") Z ")); gone {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !gone {
			t.Errorf("worker %s lives on", pid)
		}
	}
}
