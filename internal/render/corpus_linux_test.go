package render_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
)

// original is a file of the corpus.
type original struct {
	path, expected string
	file           *os.File
	header         imagefile.Header
	err            error // of reading the header
}

// originals opens the files of the corpus that CALOTYPE_CORPUS names, except SVG.
func originals(t testing.TB) []original {
	t.Helper()
	dir := imagefiletest.Corpus(t)
	var all []original
	for _, f := range imagefiletest.CorpusFiles(t) {
		if f.Format == "SVG" || strings.HasPrefix(f.Category, "svg") {
			continue
		}
		all = append(all, openOriginal(t, filepath.Join(dir, f.Path), f.Path, f.Expected))
	}
	return all
}

// openOriginal opens a file and reads its header.
func openOriginal(t testing.TB, file, name, expected string) original {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	o := original{path: name, expected: expected, file: f}
	if o.header, o.err = imagefile.ReadHeader(f, info.Size()); o.err == nil {
		o.err = imagefile.DefaultLimits.Check(o.header)
	}
	return o
}

// newVipsPool starts a Pool of real workers.
func newVipsPool(t testing.TB) *render.Pool {
	t.Helper()
	p, err := render.NewPool(render.PoolConfig{Command: vipsWorker(t)})
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

// TestCorpus sends every file of the corpus through real workers: what must be accepted is, what
// must be refused is, and what is accepted can be rendered without anything of its metadata. No
// file costs a worker, or 10 s of its processor: the clock on the wall would also count what else a
// machine has to do.
func TestCorpus(t *testing.T) {
	all := originals(t)
	p := newVipsPool(t)
	counts := map[string]int{}
	for _, o := range all {
		before := processorTime(t, p)
		properties, err := render.Properties{}, o.err
		if err == nil {
			properties, err = p.Examine(t.Context(), o.file, o.header)
		}
		if took := processorTime(t, p) - before; took > 10*time.Second {
			t.Errorf("%s took %s of a processor", o.path, took)
		}
		outcome := "accepted"
		if err != nil {
			outcome = "refused"
		}
		counts[o.expected+" "+outcome]++
		if o.expected == "accept" && err != nil || o.expected == "refuse" && err == nil {
			t.Errorf("%s: %s is the rule, got %v", o.path, o.expected, err)
		}
		if errors.Is(err, render.ErrWorker) {
			t.Errorf("%s: %v", o.path, err)
		}
		if err == nil {
			renderAll(t, p, o, properties)
		}
	}
	t.Logf("%v, %+v", counts, p.Status())
	if s := p.Status(); s.Lost != 0 {
		t.Errorf("%d workers were lost", s.Lost)
	}
}

// processorTime is what the workers of a pool have used so far.
func processorTime(t *testing.T, p *render.Pool) time.Duration {
	t.Helper()
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Linux runs
	var sum time.Duration
	for _, pid := range render.PIDs(p) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue // it has ended, which other checks see
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] { // utime and stime
			ticks, err := strconv.ParseInt(f, 10, 64)
			if err != nil {
				t.Fatalf("/proc/%d/stat: %v", pid, err)
			}
			sum += time.Duration(ticks) * tick
		}
	}
	return sum
}

// renderAll makes the default variant of one original in every format. AVIF is smaller, and the first frame.
func renderAll(t *testing.T, p *render.Pool, o original, properties render.Properties) {
	t.Helper()
	options := render.Options{
		Width: 1366, Height: 768, Fit: render.ScaleDown, Metadata: render.MetadataNone,
	}
	for _, f := range []imagefile.Format{imagefile.JPEG, imagefile.PNG, imagefile.WebP, imagefile.AVIF} {
		out := tempFile(t)
		job := render.Job{Header: o.header, Alpha: properties.Alpha, Options: options, Format: f}
		if f == imagefile.AVIF {
			job.Options.Width, job.Options.Still = 320, true
			if !p.Makes(job, 0) { // a libvips of the system without the encoder
				continue
			}
		}
		before := processorTime(t, p)
		got, err := p.Render(t.Context(), o.file, out, job)
		if took := processorTime(t, p) - before; took > 10*time.Second {
			t.Errorf("%s as %s took %s of a processor", o.path, f, took)
		}
		var limit *imagefile.LimitError
		if f == imagefile.WebP && o.header.Frames > 1 &&
			o.header.Pixels() > imagefile.MaxTransformPixels {
			if !errors.As(err, &limit) {
				t.Errorf("%s as %s: got %v, want a limit", o.path, f, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s as %s: %v", o.path, f, err)
			continue
		}
		if w, h := o.header.Shown(); got.Width > w || got.Height > h {
			t.Errorf("%s as %s was enlarged: %+v", o.path, f, got)
		}
		data, err := os.ReadFile(out.Name())
		if err != nil {
			t.Fatal(err)
		}
		// Long enough not to occur by chance in compressed pixels.
		for _, secret := range []string{
			"CANARY-", "GPSLat", "Exif\x00\x00", "http://ns.adobe.com", "ICC_PROFILE",
			"Photoshop",
		} {
			if bytes.Contains(data, []byte(secret)) {
				t.Errorf("%s as %s holds %q", o.path, f, secret)
			}
		}
		out.Close()
		os.Remove(out.Name())
	}
}

func tempFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "rendition")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestStampede asks for 200 cold renditions at once. Each is made or refused as too busy, and the
// workers together stay within the memory that the Pool was given.
func TestStampede(t *testing.T) {
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	var photo original
	for _, o := range originals(t) {
		if o.path == "bench/image__test.jpg" {
			photo = o
		}
	}
	const budget = 320 << 20
	p, err := render.NewPool(render.PoolConfig{
		Command: vipsWorker(t), Workers: 2, Memory: budget,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	job := render.Job{Header: photo.header, Format: imagefile.WebP, Options: render.Options{
		Width: 1366, Height: 768, Fit: render.ScaleDown, Metadata: render.MetadataNone,
	}}
	var made, busy atomic.Int64
	var jobs sync.WaitGroup
	for range 200 {
		out := tempFile(t)
		jobs.Go(func() {
			switch _, err := p.Render(t.Context(), photo.file, out, job); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, render.ErrBusy):
				busy.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	jobs.Wait()
	var sum int64
	for _, pid := range render.PIDs(p) {
		resident, _ := peaks(t, pid)
		sum += resident
	}
	t.Logf("%d made, %d refused, at most %d MiB", made.Load(), busy.Load(), sum>>20)
	if made.Load() < 1 || sum > budget {
		t.Errorf("%d made, %d MiB used of %d", made.Load(), sum>>20, budget>>20)
	}
}
