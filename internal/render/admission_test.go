package render

import (
	"calotype/internal/imagefile"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// newTestAdmission divides memory among lanes with workers concurrent jobs for one account.
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

// TestAccountsShareALane: one account alone keeps all CPUs busy, and the first jobs of two others start
// beside its own, whatever waits.
func TestAccountsShareALane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for l := range eager {
			a := newTestAdmission(2, 4<<30, 100)
			job := func(account string) demand {
				return demand{lane: l, requester: Requester{Account: account}, need: written(mib), cost: time.Millisecond}
			}
			var running []func() *admitted
			for i := range 10 {
				j, atOnce := enters(t, a, job("greedy"))
				if atOnce != (i < 3) {
					t.Errorf("%s: job %d of one account was admitted: %v", l, i, atOnce)
				}
				running = append(running, j)
			}
			for _, account := range []string{"b", "c"} {
				j, atOnce := enters(t, a, job(account))
				if !atOnce {
					t.Errorf("%s: a job of account %s waits for those of another", l, account)
				}
				running = append(running, j)
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

// TestExpensiveJobsLeaveASlot: whatever expensive jobs of many accounts there are, a cheap one starts.
func TestExpensiveJobsLeaveASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for l := range eager {
			a := newTestAdmission(2, 4<<30, 100)
			var running []func() *admitted
			admittedAtOnce := 0
			for i := range 40 {
				j, atOnce := enters(t, a, demand{lane: l, need: written(mib), cost: time.Second,
					requester: Requester{Account: fmt.Sprint(i)}})
				if atOnce {
					admittedAtOnce++
				}
				running = append(running, j)
			}
			j, atOnce := enters(t, a, demand{lane: l, need: written(mib), cost: time.Millisecond,
				requester: Requester{Account: "cheap"}})
			if !atOnce || admittedAtOnce != 3 {
				t.Errorf("%s: beside %d expensive jobs a cheap one was admitted: %v", l, admittedAtOnce, atOnce)
			}
			j().leave()
			for _, j := range running {
				j().leave()
			}
		}
	})
}

// TestExpensiveJobsOfTheSameAccount: one account alone runs as many expensive jobs as there are CPUs, and a cheap
// one of it starts beside them.
func TestExpensiveJobsOfTheSameAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for workers := 1; workers <= 8; workers++ {
			a := newTestAdmission(workers, 16<<30, 100)
			job := demand{lane: uploads, requester: Requester{Account: "a"}, need: written(mib), cost: time.Second}
			var running []func() *admitted
			for i := range 10 {
				j, atOnce := enters(t, a, job)
				if atOnce != (i < workers) {
					t.Errorf("%d workers: expensive job %d was admitted: %v", workers, i, atOnce)
				}
				running = append(running, j)
			}
			job.cost = time.Millisecond
			cheap, atOnce := enters(t, a, job)
			if !atOnce {
				t.Errorf("%d workers: a cheap job waits for expensive ones of its account", workers)
			}
			for _, j := range append([]func() *admitted{cheap}, running...) {
				j().leave()
			}
		}
	})
}

// TestClientsTakeTurns: within an account a client that asks for one picture does not wait for the
// many of another.
func TestClientsTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTestAdmission(1, 4<<30, 100)
		ask := func(client string) func() *admitted {
			j, _ := enters(t, a, demand{lane: renditions, requester: Requester{Account: "a", Client: client}, need: written(mib), cost: 1000})
			return j
		}
		running := []func() *admitted{ask("greedy"), ask("greedy")} // the share of the account
		var waiting []func() *admitted
		for range 10 {
			waiting = append(waiting, ask("greedy"))
		}
		other := make(chan *admitted, 1)
		wait := ask("other")
		go func() { other <- wait() }()
		running[0]().leave()
		synctest.Wait()
		if len(other) != 1 {
			t.Error("the job of another client waits for more than one of the greedy one")
		}
		(<-other).leave()
		for _, j := range append(waiting, running[1]) {
			j().leave()
		}
	})
}

// TestAdmissionKeepsAReserve: renditions that take all of the memory leave some to uploads.
func TestAdmissionKeepsAReserve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newTestAdmission(2, 4<<30, 100)
		rendition := func(account string, need int64) demand {
			return demand{lane: renditions, requester: Requester{Account: account}, need: written(need), cost: 1}
		}
		giant, atOnce := enters(t, a, rendition("a", 1<<40))
		left := a.shared.Stats().Size - a.shared.Stats().Used
		if !atOnce || left != a.shared.Stats().Size/4 {
			t.Errorf("a job over the budget runs: %v, and leaves %d bytes", atOnce, left)
		}
		beside, atOnce := enters(t, a, rendition("b", left/2))
		if !atOnce {
			t.Error("a job over the budget takes the memory of all others")
		}
		second, atOnce := enters(t, a, rendition("b", left))
		if atOnce {
			t.Error("memory was given twice")
		}
		upload := demand{lane: uploads, requester: Requester{Account: "a"}, need: written(a.reserve.Stats().Size), cost: 1}
		first, atOnce := enters(t, a, upload)
		if !atOnce {
			t.Error("an upload waits though there is a reserve")
		}
		third, atOnce := enters(t, a, upload)
		if atOnce {
			t.Error("the reserve was given twice")
		}
		giant().leave()
		beside().leave()
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
		job := demand{lane: renditions, need: written(1), cost: 1}
		var jobs []func() *admitted
		for i := range 3 {
			j, atOnce := enters(t, a, job)
			if atOnce != (i < 2) {
				t.Errorf("job %d was admitted: %v", i, atOnce)
			}
			jobs = append(jobs, j)
		}
		if _, err := a.enter(t.Context(), job); !errors.Is(err, ErrBusy) {
			t.Errorf("past its share of the queue an account gets %v", err)
		}
		for _, j := range jobs {
			j().leave()
		}
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

// TestCosts: the estimates distinguish a camera's pictures from pictures that keep a CPU busy on purpose.
func TestCosts(t *testing.T) {
	t.Parallel()
	still := func(f imagefile.Format, w, h, scans int) imagefile.Header {
		return imagefile.Header{Format: f, Width: w, Height: h, Frames: 1, Orientation: 1, Scans: scans,
			MaxPixels: int64(w) * int64(h)}
	}
	for name, c := range map[string]struct {
		took      time.Duration
		expensive bool
	}{
		"a phone's JPEG":           {examineTime(still(imagefile.JPEG, 4032, 3024, 1)), false},
		"a progressive one":        {examineTime(still(imagefile.JPEG, 4032, 3024, 10)), false},
		"of 36 MP with 50 scans":   {examineTime(still(imagefile.JPEG, 6000, 6000, 50)), true},
		"a screenshot":             {examineTime(still(imagefile.PNG, 2560, 1440, 0)), false},
		"a PNG of 100 MP":          {examineTime(still(imagefile.PNG, 10000, 10000, 0)), true},
		"a HEIC of 48 MP":          {examineTime(still(imagefile.HEIC, 8064, 6048, 0)), true},
		"a thumbnail of a photo":   {renderTime(Job{Header: still(imagefile.JPEG, 4032, 3024, 1), Format: imagefile.WebP, Options: Options{Width: 800, Height: 600, Fit: ScaleDown}}), false},
		"a small picture blown up": {renderTime(Job{Header: still(imagefile.JPEG, 16, 16, 1), Format: imagefile.WebP, Options: Options{Width: 5000, Height: 5000, Fit: Cover}}), true},
	} {
		if (demand{cost: c.took}).expensive() != c.expensive {
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
