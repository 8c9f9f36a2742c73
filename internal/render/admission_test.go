package render

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// newTestAdmission divides memory among lanes of so many jobs at once for one account.
func newTestAdmission(workers int, memory int64, queue int) *admission {
	return newAdmission(PoolConfig{Workers: workers, Memory: memory, Queue: queue})
}

// enters runs enter inside a bubble of synctest, and reports whether the job was admitted at once.
func enters(t *testing.T, a *admission, d demand) (job func() *admitted, atOnce bool) {
	t.Helper()
	result := make(chan *admitted, 1)
	go func() {
		j, err := a.enter(t.Context(), d)
		if err != nil {
			t.Error(err)
			return
		}
		result <- j
	}()
	synctest.Wait()
	return func() *admitted { return <-result }, len(result) == 1
}

// TestAccountsShareALane: one account alone runs as many jobs as there are CPUs, and the first job of
// another one starts beside them, whatever waits.
func TestAccountsShareALane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for l := range lanes {
			a := newTestAdmission(2, 4<<30, 100)
			job := func(account string) demand {
				return demand{lane: l, asker: Asker{Account: account}, need: mib, cost: time.Millisecond}
			}
			var running []func() *admitted
			for i := range 10 {
				j, atOnce := enters(t, a, job("greedy"))
				if atOnce != (i < 2) {
					t.Errorf("%s: job %d of one account was admitted: %v", l, i, atOnce)
				}
				running = append(running, j)
			}
			for _, account := range []string{"b", "c"} {
				j, atOnce := enters(t, a, job(account))
				if !atOnce {
					t.Errorf("%s: a job of account %s waits for those of another", l, account)
				}
				j().leave()
			}
			for _, j := range running {
				j().leave()
			}
			for _, p := range a.pools() {
				if s := p.Stats(); s.Used != 0 || s.Waiting != 0 {
					t.Errorf("left over: %+v", s)
				}
			}
		}
	})
}

// TestDearJobsLeaveASlot: whatever dear jobs of many accounts there are, a cheap one starts.
func TestDearJobsLeaveASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for l := range lanes {
			a := newTestAdmission(2, 4<<30, 100)
			var running []func() *admitted
			admittedAtOnce := 0
			for i := range 40 {
				j, atOnce := enters(t, a, demand{lane: l, need: mib, cost: time.Second,
					asker: Asker{Account: fmt.Sprint(i)}})
				if atOnce {
					admittedAtOnce++
				}
				running = append(running, j)
			}
			j, atOnce := enters(t, a, demand{lane: l, need: mib, cost: time.Millisecond,
				asker: Asker{Account: "cheap"}})
			if !atOnce || admittedAtOnce != 3 {
				t.Errorf("%s: beside %d dear jobs a cheap one was admitted: %v", l, admittedAtOnce, atOnce)
			}
			j().leave()
			for _, j := range running {
				j().leave()
			}
		}
	})
}

// TestAdmissionKeepsAReserve: renditions that take all of the memory leave some to uploads.
func TestAdmissionKeepsAReserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTestAdmission(2, 4<<30, 100)
		all := a.shared.Stats().Size
		rendition := func(account string, need int64) demand {
			return demand{lane: renditions, asker: Asker{Account: account}, need: need, cost: 1}
		}
		giant, atOnce := enters(t, a, rendition("a", 1<<40))
		if !atOnce || a.shared.Stats().Used != all {
			t.Error("a job over the budget never runs")
		}
		second, atOnce := enters(t, a, rendition("b", 1))
		if atOnce {
			t.Error("another rendition runs beside one that takes everything")
		}
		upload := demand{lane: uploads, asker: Asker{Account: "a"}, need: a.reserve.Stats().Size, cost: 1}
		first, atOnce := enters(t, a, upload)
		if !atOnce {
			t.Error("an upload waits though there is a reserve")
		}
		third, atOnce := enters(t, a, upload)
		if atOnce {
			t.Error("the reserve was given twice")
		}
		giant().leave()
		second().leave()
		third().leave()
		first().leave()
		for _, p := range a.pools() {
			if s := p.Stats(); s.Used != 0 {
				t.Errorf("left over: %+v", s)
			}
		}
	})
}

func TestAdmissionIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTestAdmission(1, 4<<30, 2)
		job := demand{lane: renditions, need: 1, cost: 1}
		first, _ := enters(t, a, job)
		second, atOnce := enters(t, a, job)
		if atOnce {
			t.Error("two jobs of one account run on one CPU")
		}
		if _, err := a.enter(t.Context(), job); !errors.Is(err, ErrBusy) {
			t.Errorf("past its share of the queue an account gets %v", err)
		}
		first().leave()
		second().leave()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := a.enter(ctx, job); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if n := a.slots[renditions].Stats().Waiting; n != 0 {
			t.Errorf("%d in the queue", n)
		}
	})
}

// TestCosts: the estimates tell a camera's pictures from what is made to keep a CPU busy.
func TestCosts(t *testing.T) {
	t.Parallel()
	still := func(f Format, w, h, scans int) Header {
		return Header{Format: f, Width: w, Height: h, Frames: 1, Orientation: 1, Scans: scans,
			MaxPixels: int64(w) * int64(h)}
	}
	for name, c := range map[string]struct {
		took time.Duration
		dear bool
	}{
		"a phone's JPEG":           {examineTime(still(JPEG, 4032, 3024, 1)), false},
		"a progressive one":        {examineTime(still(JPEG, 4032, 3024, 10)), false},
		"of 36 MP with 50 scans":   {examineTime(still(JPEG, 6000, 6000, 50)), true},
		"a screenshot":             {examineTime(still(PNG, 2560, 1440, 0)), false},
		"a PNG of 100 MP":          {examineTime(still(PNG, 10000, 10000, 0)), true},
		"a HEIC of 48 MP":          {examineTime(still(HEIC, 8064, 6048, 0)), true},
		"a thumbnail of a photo":   {renderTime(Job{Header: still(JPEG, 4032, 3024, 1), Format: WebP, Options: Options{Width: 800, Height: 600, Fit: ScaleDown}}), false},
		"a small picture blown up": {renderTime(Job{Header: still(JPEG, 16, 16, 1), Format: WebP, Options: Options{Width: 5000, Height: 5000, Fit: Cover}}), true},
	} {
		if (demand{cost: c.took}).dear() != c.dear {
			t.Errorf("%s is estimated at %v", name, c.took)
		}
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
