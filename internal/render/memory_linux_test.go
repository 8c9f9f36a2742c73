package render_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/imagefile"
	"calotype/internal/imagefile/imagefiletest"
	"calotype/internal/render"
)

// peaks returns the most memory that a process ever had, in bytes: resident and mapped.
func peaks(t *testing.T, pid int) (resident, mapped int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			resident = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "VmPeak: %d kB", &kib); n == 1 {
			mapped = kib << 10
		}
	}
	if resident == 0 || mapped == 0 {
		t.Fatalf("no peaks of process %d", pid)
	}
	return resident, mapped
}

// wantWithin does a job in new workers and fails the test if it needs more memory than estimated.
func wantWithin(t *testing.T, what string, estimate render.Memory, job func(*render.Pool) error) {
	t.Helper()
	p, err := render.NewPool(render.KeepWorn(render.PoolConfig{
		Command: vipsWorker(t), Memory: 16 << 30,
	}))
	if err != nil {
		t.Fatal(err)
	}
	pids := render.PIDs(p)
	before := map[int]int64{}
	for _, pid := range pids {
		_, before[pid] = peaks(t, pid)
	}
	if err := job(p); err != nil || p.Status().Lost > 0 {
		t.Errorf("%s: %v, %d workers lost", what, err, p.Status().Lost)
	}
	for _, pid := range render.PIDs(p) {
		idle, known := before[pid]
		if !known {
			continue // a spare one
		}
		resident, mapped := peaks(t, pid)
		if most := render.IdleCost + estimate.Resident(); resident > most {
			t.Errorf("%s: %d MiB resident, estimated at %d", what, resident>>20, most>>20)
		}
		if most := idle + estimate.Mapped() + render.DataSlack; mapped > most {
			t.Errorf("%s: %d MiB mapped, estimated at %d", what, mapped>>20, most>>20)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

// fullSize asks for a rendition of the size of its original.
var fullSize = render.Options{Fit: render.ScaleDown, Metadata: render.MetadataNone}

// TestEstimatesHold has no job need more memory than admission thought.
func TestEstimatesHold(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders the whole corpus")
	}
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	small := render.Options{Width: 800, Fit: render.ScaleDown, Metadata: render.MetadataNone}
	for _, o := range originals(t) {
		if o.err != nil || !strings.HasPrefix(o.path, "bench/") &&
			!strings.HasPrefix(o.path, "limits/") {
			continue
		}
		wantWithin(t, o.path+", examine", render.ExamineCost(o.header), func(p *render.Pool) error {
			_, err := p.Examine(t.Context(), o.file, o.header)
			return err
		})
		for f, options := range map[imagefile.Format]render.Options{
			imagefile.JPEG: fullSize, imagefile.WebP: small,
		} {
			options.Still = o.header.Pixels() > imagefile.MaxTransformPixels
			// Whether it is transparent is known after the examination only.
			j := render.Job{Header: o.header, Alpha: true, Options: options, Format: f}
			wantWithin(t, o.path+", "+string(f), render.RenderCost(j), func(p *render.Pool) error {
				_, err := p.Render(t.Context(), o.file, tempFile(t), j)
				return err
			})
		}
	}
}

// TestEstimatesOfGeometryHold: flips, rotations and looks at the pixels do not exceed the estimate of admission.
func TestEstimatesOfGeometryHold(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders large pictures")
	}
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	for _, o := range originals(t) {
		if o.path != "bench/coil__large.jpg" && o.path != "bench/coil__large.png" {
			continue
		}
		for _, text := range []string{
			"", "rotate=90", "flip=v", "trim=border,rotate=270", "gravity=auto,fit=cover,width=3000,height=3000",
		} {
			options, err := render.ParseOptions(text)
			if err != nil {
				t.Fatal(err)
			}
			j := render.Job{Header: o.header, Alpha: true, Options: options, Format: imagefile.JPEG}
			if text == "" {
				j.Header.Orientation = 6 // of EXIF: what the options turn needs as much
			}
			wantWithin(t, o.path+", "+text, render.RenderCost(j), func(p *render.Pool) error {
				_, err := p.Render(t.Context(), o.file, tempFile(t), j)
				return err
			})
		}
	}
}

// TestWhatIsTakenIsMade renders large pictures at their full size, in the format that all clients get,
// and as WebP, within the memory that was estimated. TestLimitsFit has the largest ones.
func TestWhatIsTakenIsMade(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders large pictures at their full size")
	}
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	for _, made := range imagefiletest.CostlyPictures(t) {
		path := filepath.Join(t.TempDir(), made.Name)
		if err := os.WriteFile(path, made.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		o := openOriginal(t, path, made.Name, "accept")
		if o.err != nil {
			t.Errorf("%s: %v", made.Name, o.err)
			continue
		}
		wantWithin(t, o.path+", examine", render.ExamineCost(o.header), func(p *render.Pool) error {
			_, err := p.Examine(t.Context(), o.file, o.header)
			return err
		})
		usual := imagefile.JPEG
		switch {
		case o.header.Frames > 1:
			usual = imagefile.GIF
		case made.Alpha:
			usual = imagefile.PNG
		}
		for _, f := range []imagefile.Format{usual, imagefile.WebP} {
			j := render.Job{Header: o.header, Alpha: made.Alpha, Options: fullSize, Format: f}
			wantWithin(t, o.path+", "+string(f), render.RenderCost(j), func(p *render.Pool) error {
				if !p.Makes(j, int64(len(made.Content))) {
					t.Errorf("%s as %s is not made", o.path, f)
				}
				_, err := p.Render(t.Context(), o.file, tempFile(t), j)
				return err
			})
		}
	}
}

// TestEffectsFitEstimates renders large pictures with effects at their full size within the memory that was estimated.
// The blur is the smallest one that computes boxes, so the one that needs the most memory.
func TestEffectsFitEstimates(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: renders large pictures at their full size")
	}
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	for _, made := range imagefiletest.CostlyPictures(t) {
		path := filepath.Join(t.TempDir(), made.Name)
		if err := os.WriteFile(path, made.Content, 0o600); err != nil {
			t.Fatal(err)
		}
		o := openOriginal(t, path, made.Name, "accept")
		if o.err != nil {
			t.Errorf("%s: %v", made.Name, o.err)
			continue
		}
		formats := []imagefile.Format{imagefile.JPEG, imagefile.WebP}
		if made.Alpha {
			formats[0] = imagefile.PNG
		}
		if o.header.Frames > 1 {
			formats[0] = imagefile.GIF
		}
		for _, f := range formats {
			for _, text := range []string{"blur=4.6", "blur=4.5,sharpen=1,saturation=0",
				"background=rgba(1,2,3,0.5),fit=pad,height=5010,width=5000"} {
				if strings.Contains(text, "pad") && (made.Alpha || f != imagefile.WebP) {
					continue // as without the option
				}
				options, err := render.ParseOptions(text)
				if err != nil {
					t.Fatal(err)
				}
				j := render.Job{Header: o.header, Alpha: made.Alpha, Options: options, Format: f}
				what := o.path + ", " + text + ", " + string(f)
				wantWithin(t, what, render.RenderCost(j), func(p *render.Pool) error {
					_, err := p.Render(t.Context(), o.file, tempFile(t), j)
					return err
				})
			}
		}
	}
}

// TestTooLittleMemory refuses what could not be delivered, and takes it where there is enough.
func TestTooLittleMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		header imagefile.Header
		memory int64 // bytes
		takes  bool
	}{
		{"a photograph", imagefile.Header{Format: imagefile.JPEG, Width: 4000, Height: 3000, Scans: 1}, 300 << 20, true},
		{"a telephone's HEIC", imagefile.Header{Format: imagefile.HEIC, Width: 4032, Height: 3024}, 256 << 20, true},
		{"a telephone's HEIC", imagefile.Header{Format: imagefile.HEIC, Width: 8064, Height: 6048}, 1200 << 20, true},
		{"a telephone's HEIC", imagefile.Header{Format: imagefile.HEIC, Width: 8064, Height: 6048}, 600 << 20, false},
		{"a WebP", imagefile.Header{Format: imagefile.WebP, Width: 10_000, Height: 10_000}, 4 << 30, true},
		{"a WebP", imagefile.Header{Format: imagefile.WebP, Width: 10_000, Height: 10_000}, 2 << 30, false},
		{"an animation", imagefile.Header{Format: imagefile.GIF, Width: 7_000, Height: 7_000, Frames: 2}, 4 << 30, true},
		{"an animation", imagefile.Header{Format: imagefile.GIF, Width: 7_000, Height: 7_000, Frames: 2}, 1 << 30, false},
	} {
		c.header.Orientation, c.header.Frames = 1, max(1, c.header.Frames)
		err := render.CheckMemory(c.memory, c.header)
		var refused *imagefile.LimitError
		if c.takes && err != nil || !c.takes && (!errors.As(err, &refused) ||
			refused.What != imagefile.LimitMemory || refused.Allowed != c.memory>>20) {
			t.Errorf("%s with %d MiB: %v", c.name, c.memory>>20, err)
		}
	}
}

// TestLimitsFit has the documented limits, and what is made of them, fit into what a worker may have.
func TestLimitsFit(t *testing.T) {
	for f, side := range map[imagefile.Format][2]int{
		imagefile.JPEG: {10_000, 10_000}, imagefile.PNG: {10_000, 10_000}, imagefile.WebP: {10_000, 10_000},
		imagefile.GIF: {10_000, 10_000}, imagefile.HEIC: {8_192, 6_152}, imagefile.AVIF: {8_192, 6_152},
	} {
		h := imagefile.Header{Format: f, Width: side[0], Height: side[1], Orientation: 6, Frames: 1, Scans: 10}
		if err := render.CheckMemory(1<<40, h); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		animation := h
		animation.Width, animation.Height, animation.Frames = 10_000, 5_000, 2
		if err := render.CheckMemory(1<<40, animation); f == imagefile.GIF || f == imagefile.WebP {
			if err != nil {
				t.Errorf("an animation as %s: %v", f, err)
			}
		}
	}
}

// TestLargeMemoryIsForOneJob has a worker take memory that one job may have and another may not.
func TestLargeMemoryIsForOneJob(t *testing.T) {
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Memory: 2 << 30})
	large := pngHeader
	large.Width, large.Height = 6000, 6000 // 275 MiB by estimate
	for _, c := range []struct {
		header imagefile.Header
		mib    int
		fits   bool
	}{{pngHeader, 16, true}, {large, 300, true}, {pngHeader, 200, false}, {large, 500, false}} {
		_, err := p.Examine(t.Context(), command(t, fmt.Sprintf("take %d", c.mib)), c.header)
		if fits := err == nil; fits != c.fits || !fits && !errors.Is(err, render.ErrOutOfMemory) {
			t.Errorf("%d MiB for %dx%d: %v", c.mib, c.header.Width, c.header.Height, err)
		}
	}
}

// TestMemoryBesideWhatIsKept: a worker that keeps memory of one job has as much for the next one.
func TestMemoryBesideWhatIsKept(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 1})
	for _, text := range []string{"hold 100", "take 100"} {
		if _, err := p.Examine(t.Context(), command(t, text), pngHeader); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if s := p.Status(); s.Recycled+s.Lost > 0 || s.Uploads.Workers != 1 {
		t.Errorf("it was not the same worker: %+v", s)
	}
}

// TestMemoryThatIsKeptIsNotMissing: if a worker retains too much memory of a job for the estimate of the
// next one, another worker does the next one.
func TestMemoryThatIsKeptIsNotMissing(t *testing.T) {
	t.Parallel()
	if render.RaceDetector {
		t.Skip("the race detector needs additional memory")
	}
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 1, Memory: 64 << 20})
	for _, text := range []string{"hold 100", "take 10"} {
		h := pngHeader
		if text == "take 10" {
			h.Width, h.Height = 4000, 4000 // a larger one gets another worker anyway
		}
		if _, err := p.Examine(t.Context(), command(t, text), h); err != nil &&
			!errors.Is(err, render.ErrWorker) { // the fake says nothing of 4000 x 4000 pixels
			t.Errorf("%s: %v", text, err)
		}
	}
	if s := p.Status(); s.Ended["recycled"] != 1 || s.Ended["out-of-memory"] != 0 {
		t.Errorf("the worker was not replaced: %+v", s)
	}
}
