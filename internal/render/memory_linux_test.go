package render_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"calotype/internal/render"
)

// peak returns the most resident memory that a process ever had, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatalf("no VmHWM of process %d", pid)
	return 0
}

// TestEstimatesHold has no job need more memory than admission thought.
func TestEstimatesHold(t *testing.T) {
	if render.RaceDetector {
		t.Skip("the race detector needs memory of its own")
	}
	full := render.Options{Fit: render.ScaleDown, Metadata: render.MetadataNone}
	small := render.Options{Width: 800, Fit: render.ScaleDown, Metadata: render.MetadataNone}
	for _, o := range originals(t) {
		if o.err != nil || !strings.HasPrefix(o.path, "bench/") &&
			!strings.HasPrefix(o.path, "limits/") {
			continue
		}
		check := func(what string, estimate int64, job func(*render.Pool) error) {
			p := newVipsPool(t)
			pids := render.PIDs(p)
			if err := job(p); err != nil {
				t.Errorf("%s, %s: %v", o.path, what, err)
			}
			for _, pid := range pids {
				if got := peak(t, pid); got > estimate+render.IdleCost {
					t.Errorf("%s, %s: %d MiB, estimated at %d", o.path, what, got>>20,
						(estimate+render.IdleCost)>>20)
				}
			}
			p.Close()
		}
		check("examine", render.ExamineCost(o.header), func(p *render.Pool) error {
			_, err := p.Examine(t.Context(), o.file, o.header)
			return err
		})
		for f, options := range map[render.Format]render.Options{
			render.JPEG: full, render.WebP: small,
		} {
			options.Still = o.header.Pixels() > render.MaxTransformPixels
			j := render.Job{Header: o.header, Options: options, Format: f}
			check(string(f), render.RenderCost(j), func(p *render.Pool) error {
				_, err := p.Render(t.Context(), o.file, tempFile(t), j)
				return err
			})
		}
	}
}
