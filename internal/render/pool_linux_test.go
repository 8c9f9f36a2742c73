package render_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

var pngHeader = imagefile.Header{Format: imagefile.PNG, Width: 40, Height: 30, Orientation: 1, Frames: 1}

// pngJob is a rendition of 20x15 pixels.
var pngJob = render.Job{
	Header:  pngHeader,
	Options: render.Options{Width: 20, Fit: render.ScaleDown, Metadata: render.MetadataNone},
	Format:  imagefile.PNG,
}

// newFakePool starts a Pool of fake workers.
func newFakePool(t *testing.T, kind string, c render.PoolConfig) *render.Pool {
	t.Helper()
	c.Command = []string{os.Args[0], "worker", kind}
	p, err := render.NewPool(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// command is an input file with a command for a fake worker.
func command(t *testing.T, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestPoolWorks(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{RequireSandbox: true, Workers: 2})
	if p.Version() != "fake-1" {
		t.Errorf("version %q", p.Version())
	}
	in := command(t, "ok")
	// The offset of the caller's file does not matter and does not move.
	if _, err := in.Seek(1, 0); err != nil {
		t.Fatal(err)
	}
	properties, err := p.Examine(t.Context(), in, pngHeader)
	if err != nil || properties.Width != 40 || properties.Height != 30 || string(properties.Thumbhash) != "thumb" {
		t.Errorf("got %+v, %v", properties, err)
	}
	out := command(t, strings.Repeat("old content ", 1000))
	got, err := p.Render(t.Context(), in, out, pngJob)
	if err != nil || got.Width != 20 || got.Height != 15 || got.Frames != 1 {
		t.Errorf("got %+v, %v", got, err)
	}
	if info, err := out.Stat(); err != nil || info.Size() != got.Size || got.Size > 1000 {
		t.Errorf("%d bytes, reported as %d, %v", info.Size(), got.Size, err)
	}
	if at, err := in.Seek(0, 1); at != 1 || err != nil {
		t.Errorf("the input's offset is now %d, %v", at, err)
	}
	s := p.Status()
	if s.Uploads.Workers != 1 || s.Renditions.Workers != 1 || s.MemoryInUse != 2*render.IdleCost || s.Lost != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestPoolDoesNotStart(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{
		"exit":           "I will not",
		"broken-engine":  "no libvips here",
		"wrong-protocol": "protocol 99",
		"unknown-field":  "unknown field",
	} {
		p, err := render.NewPool(render.PoolConfig{Command: []string{os.Args[0], "worker", kind}})
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q in it", kind, err, want)
		}
	}
	for _, c := range []render.PoolConfig{
		{}, {Command: []string{"/nonexistent/program"}},
		{Command: []string{os.Args[0], "worker", "garbage"}, RequireSandbox: true},
	} {
		if p, err := render.NewPool(c); err == nil {
			p.Close()
			t.Errorf("%v started", c.Command)
		}
	}
}

// TestWorkerSpeaksNonsense has workers whose answers are no answers.
func TestWorkerSpeaksNonsense(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"garbage", "huge", "two-values", "half", "unknown-kind"} {
		p := newFakePool(t, kind, render.PoolConfig{})
		for round := range 2 {
			_, err := p.Examine(t.Context(), command(t, "ok"), pngHeader)
			if !errors.Is(err, render.ErrWorker) || errors.Is(err, render.ErrUndecodable) {
				t.Errorf("%s: got %v", kind, err)
			}
			if s := p.Status(); s.Lost != int64(round+1) {
				t.Errorf("%s: %d workers lost after %d jobs", kind, s.Lost, round+1)
			}
		}
	}
}

func TestErrorsOfJobs(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	p := newFakePool(t, "engine", render.PoolConfig{
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	for _, c := range []struct {
		command string
		want    error
		text    string
		lost    int64
		reason  string
	}{
		{"undecodable", render.ErrUndecodable, "bad bytes yyy", 0, "failed"},
		{"encode", render.ErrEncode, "no room", 0, "failed"},
		{"crash", render.ErrWorker, "EOF", 1, "crashed"},
		{"memory", render.ErrOutOfMemory, "all gone", 1, "out-of-memory"},
		{"memory", render.ErrWorker, "all gone", 1, "out-of-memory"},
		{"nonsense", render.ErrWorker, "no command", 1, "failed"},
		{"wide", render.ErrWorker, "41x30", 1, "failed"},
		{"frames", render.ErrWorker, "7 frames", 1, "failed"},
		{"hashless", render.ErrWorker, "0 bytes", 1, "failed"},
	} {
		before := p.Status()
		_, err := p.Examine(t.Context(), command(t, c.command), pngHeader)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) ||
			len(err.Error()) > 300 {
			t.Errorf("%s: got %v, want %v", c.command, err, c.want)
		}
		after := p.Status()
		if lost := after.Lost - before.Lost; lost != c.lost {
			t.Errorf("%s: %d workers lost, want %d", c.command, lost, c.lost)
		}
		if n := after.Ended[c.reason] - before.Ended[c.reason]; n != c.lost {
			t.Errorf("%s: %d workers ended as %s: %v", c.command, n, c.reason, after.Ended)
		}
		if _, err := p.Examine(t.Context(), command(t, "ok"), pngHeader); err != nil {
			t.Errorf("the job after %s: %v", c.command, err)
		}
	}
	if s := log.String(); !strings.Contains(s, "crash") || strings.Contains(s, "\x1b") ||
		len(s) > 40_000 {
		t.Errorf("the log of a crash is %d bytes: %.300s", len(s), s)
	}
}

// TestOutputIsNotTrusted has workers that write something else than they should.
func TestOutputIsNotTrusted(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{})
	for _, c := range []struct {
		command, text string
		want          error
	}{
		{"small", "19x15", render.ErrWorker},
		{"script", "not a picture", render.ErrWorker},
		{"nothing", "0 bytes", render.ErrWorker},
		{"fill", "file too large", render.ErrEncode},
		{"write-input", "bad file descriptor", render.ErrEncode},
	} {
		_, err := p.Render(t.Context(), command(t, c.command), command(t, ""), pngJob)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %v, want %v", c.command, err, c.want)
		}
	}
	job := pngJob
	job.Format = imagefile.WebP
	_, err := p.Render(t.Context(), command(t, "ok"), command(t, ""), job)
	if !errors.Is(err, render.ErrWorker) || !strings.Contains(err.Error(), "png, not webp") {
		t.Errorf("got %v for a PNG that should be a WebP", err)
	}
	for _, bad := range []imagefile.Format{imagefile.AVIF, imagefile.HEIC, "svg", ""} {
		job.Format = bad
		if _, err := p.Render(t.Context(), command(t, "ok"), command(t, ""), job); err == nil {
			t.Errorf("%q was made", bad)
		}
	}
}

// TestProcessorTime has a worker use up the processor time of a job. That is the picture's fault.
func TestProcessorTime(t *testing.T) {
	t.Parallel()
	// However little of a processor this machine gives it.
	p := newFakePool(t, "engine", render.Patient(render.PoolConfig{Timeout: 200 * time.Millisecond}))
	_, err := p.Examine(t.Context(), command(t, "burn"), pngHeader)
	if !errors.Is(err, render.ErrWorker) || !errors.Is(err, render.ErrTime) ||
		errors.Is(err, render.ErrBusy) || !strings.Contains(err.Error(), "of a processor") {
		t.Errorf("got %v", err)
	}
	if s := p.Status(); s.Lost != 1 || s.Ended["timeout"] != 1 {
		t.Errorf("%d workers lost, want 1; ended %v", s.Lost, s.Ended)
	}
}

// TestWallTime has workers that use no processor and are not done. That says nothing of the picture.
func TestWallTime(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.Confine(
		render.PoolConfig{Timeout: 200 * time.Millisecond},
		render.Confinement{NoNamespaces: true})) // where process 1 cannot be stopped
	for _, c := range []string{"stop", "sleep 1h"} {
		_, err := p.Examine(t.Context(), command(t, c), pngHeader)
		if !errors.Is(err, render.ErrBusy) || errors.Is(err, render.ErrWorker) ||
			errors.Is(err, render.ErrTime) || !strings.Contains(err.Error(), "not done after 1s") {
			t.Errorf("%s: got %v", c, err)
		}
	}
	if s := p.Status(); s.Lost != 2 || s.Ended["timeout"] != 2 {
		t.Errorf("%d workers lost, want 2; ended %v", s.Lost, s.Ended)
	}
}

// running waits until run jobs run and wait jobs wait in the renditions' lane.
func running(t *testing.T, p *render.Pool, run, wait int) {
	t.Helper()
	for range 3000 {
		// A job counts as running while its worker starts, which Workers does not count.
		if s := p.Status().Renditions; s.Running == run && s.Waiting == wait && s.Workers >= run {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never %d running and %d waiting: %+v", run, wait, p.Status())
}

// TestQueue fills the renditions' lane. Uploads continue, and a cancelled caller leaves the queue.
func TestQueue(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 1, Queue: 4})
	var jobs sync.WaitGroup
	job := func(ctx context.Context, text string, want error) {
		in, out := command(t, text), command(t, "")
		jobs.Go(func() {
			if _, err := p.Render(ctx, in, out, pngJob); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", text, err, want)
			}
		})
	}
	first, endFirst := context.WithCancel(t.Context())
	second, endSecond := context.WithCancel(t.Context())
	job(first, "sleep 1h", context.Canceled)
	job(first, "sleep 1h", context.Canceled)
	running(t, p, 2, 0)
	job(second, "ok", context.Canceled)
	running(t, p, 2, 1)
	job(t.Context(), "ok", nil)
	running(t, p, 2, 2)
	_, err := p.Render(t.Context(), command(t, "ok"), command(t, ""), pngJob)
	if !errors.Is(err, render.ErrBusy) {
		t.Errorf("the third in the queue got %v", err)
	}
	other := render.WithRequester(t.Context(), render.Requester{Account: "other"})
	if _, err := p.Render(other, command(t, "ok"), command(t, ""), pngJob); err != nil {
		t.Errorf("a rendition of another account while those of one are stuck: %v", err)
	}
	if _, err := p.Examine(t.Context(), command(t, "ok"), pngHeader); err != nil {
		t.Errorf("an upload while renditions are stuck: %v", err)
	}
	endSecond()
	running(t, p, 2, 1)
	endFirst() // kills the workers; the job that waits gets another one
	jobs.Wait()
	if s := p.Status(); s.Lost != 2 || s.Ended["cancelled"] != 2 ||
		s.MemoryInUse != int64(s.Uploads.Workers+s.Renditions.Workers)*render.IdleCost {
		t.Errorf("status %+v", s)
	}
}

// TestEnvironment looks at what a worker gets to know, and at its place in line when memory is
// short.
func TestEnvironment(t *testing.T) {
	t.Setenv("CALOTYPE_SECRET", "CANARY")
	p := newFakePool(t, "engine", render.PoolConfig{})
	for _, pid := range render.PIDs(p) {
		text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			t.Skip("cannot read a worker's environment: ", err)
		}
		if bytes.Contains(text, []byte("CANARY")) || bytes.Contains(text, []byte("HOME=")) {
			t.Errorf("a worker has %q", text)
		}
		score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
		if err != nil || strings.TrimSpace(string(score)) != "1000" {
			t.Errorf("oom_score_adj %q, %v", score, err)
		}
	}
}

// BenchmarkEmptyJob is what the processes, frames and files cost, without pixels.
func BenchmarkEmptyJob(b *testing.B) {
	p, err := render.NewPool(render.PoolConfig{Command: []string{os.Args[0], "worker", "engine"}})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	name := filepath.Join(b.TempDir(), "in")
	if err := os.WriteFile(name, []byte("ok"), 0o600); err != nil {
		b.Fatal(err)
	}
	in, err := os.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	for b.Loop() {
		if _, err := p.Examine(b.Context(), in, pngHeader); err != nil {
			b.Fatal(err)
		}
	}
}
