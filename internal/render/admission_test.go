package render

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// entered tells whether a job is admitted; pending ones are awaited with the returned function.
func entered(t *testing.T, a *admission, l lane, need int64) (now bool, wait func()) {
	t.Helper()
	a.mu.Lock()
	before := len(a.queue[l])
	running := a.running[l]
	a.mu.Unlock()
	done := make(chan error, 1)
	go func() {
		_, err := a.enter(context.Background(), l, need)
		done <- err
	}()
	for range 3000 {
		a.mu.Lock()
		in, queued := a.running[l] > running, len(a.queue[l]) > before
		a.mu.Unlock()
		if in || queued {
			return in, func() {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("neither admitted nor queued")
	return false, nil
}

func TestAdmissionKeepsAReserve(t *testing.T) {
	t.Parallel()
	a := &admission{total: 100, reserve: 25, depth: 10, slots: [lanes]int{2, 4}}
	if now, _ := entered(t, a, renditions, 40); !now {
		t.Error("the first rendition waits")
	}
	now, second := entered(t, a, renditions, 40)
	if now {
		t.Error("80 of 75 were given to renditions")
	}
	// Uploads pass the waiting rendition within their reserve, not beyond it.
	if now, _ := entered(t, a, uploads, 25); !now {
		t.Error("an upload waits though there is a reserve")
	}
	now, third := entered(t, a, uploads, 20)
	if now {
		t.Error("an upload went past a rendition that waits for longer")
	}
	a.leave(renditions, 40)
	second()
	third() // 40 + 25 + 20
	a.leave(renditions, 40)
	a.leave(uploads, 25)
	a.leave(uploads, 20)
	if a.used != [lanes]int64{} || a.running != [lanes]int{} {
		t.Errorf("left over: %+v", a)
	}
}

func TestAdmissionOfGiants(t *testing.T) {
	t.Parallel()
	a := &admission{total: 100, reserve: 25, depth: 10, slots: [lanes]int{1, 2}}
	if now, _ := entered(t, a, renditions, 1<<40); !now {
		t.Error("a job over the budget never runs")
	}
	now, small := entered(t, a, renditions, 1)
	if now {
		t.Error("another rendition runs beside one that takes everything")
	}
	now, giant := entered(t, a, uploads, 1<<40)
	if now {
		t.Error("an upload that takes everything runs beside a rendition")
	}
	a.leave(renditions, 75)
	small() // it came first
	a.leave(renditions, 1)
	giant()
	a.leave(uploads, 100)
}

func TestAdmissionIsBounded(t *testing.T) {
	t.Parallel()
	a := &admission{total: 100, reserve: 25, depth: 1, slots: [lanes]int{1, 1}}
	entered(t, a, renditions, 1)
	_, second := entered(t, a, renditions, 1)
	if _, err := a.enter(t.Context(), renditions, 1); !errors.Is(err, ErrBusy) {
		t.Errorf("got %v", err)
	}
	a.leave(renditions, 1)
	second()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.enter(ctx, renditions, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(a.queue[renditions]); n != 0 {
		t.Errorf("%d in the queue", n)
	}
}

func TestCgroupMemory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("memory.max", "max\n")
	write("slice/memory.max", "1000000\n")
	write("slice/unit/memory.max", "2000000\n")
	write("memory/memory.limit_in_bytes", "9223372036854771712\n")
	write("memory/docker/x/memory.limit_in_bytes", "3000000\n")
	for text, want := range map[string]int64{
		"0::/slice/unit\n":      1_000_000, // the tighter one is above
		"0::/other\n":           0,
		"0::/slice/gone/inner":  1_000_000,
		"4:memory:/docker/x\n":  3_000_000,
		"5:cpu,memory:/docker/": 0,
		"5:cpu:/docker/x\n":     0,
		"nonsense":              0,
		"":                      0,
	} {
		write("membership", text)
		if got := cgroupMemory(filepath.Join(root, "membership"), root); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
	if got := cgroupMemory(filepath.Join(root, "missing"), root); got != 0 {
		t.Errorf("without a file: %d", got)
	}
	if got := defaultWorkers(100); got != 1 {
		t.Errorf("%d workers in 100 bytes", got)
	}
	if defaultMemory() < 64*mib {
		t.Errorf("default memory of %d", defaultMemory())
	}
}
