package render_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// as returns a context whose jobs are those of an account.
func as(t *testing.T, account string) context.Context {
	return render.WithRequester(t.Context(), render.Requester{Account: account})
}

// kept runs a job of an account in a worker that keeps its input open, and returns the earlier inputs that
// the worker can still read.
func kept(t *testing.T, p *render.Pool, account, text string) string {
	t.Helper()
	_, err := p.Examine(as(t, account), command(t, "keep "+text), pngHeader)
	if !errors.Is(err, render.ErrUndecodable) {
		t.Fatal(err)
	}
	return err.Error()
}

// TestWorkerPerAccount: what a worker keeps of one account's pictures, another account's job never
// sees, while the worker of an account is used again.
func TestWorkerPerAccount(t *testing.T) {
	t.Parallel()
	for _, perAccount := range []bool{true, false} {
		p := newFakePool(t, "engine", render.PoolConfig{Workers: 1, WorkerPerAccount: perAccount})
		seen, again := 0, 0
		for round := range 6 {
			for _, account := range []string{"a", "a", "b", "c", "d"} {
				has := kept(t, p, account, fmt.Sprintf("secret-of-%s-%d", account, round))
				for _, other := range []string{"a", "b", "c", "d"} {
					switch n := strings.Count(has, "secret-of-"+other); {
					case other != account:
						seen += n
					case n > 1:
						again++
					}
				}
			}
		}
		if perAccount && seen > 0 {
			t.Errorf("a worker had %d inputs of other accounts", seen)
		}
		if !perAccount && seen == 0 {
			t.Error("without the flag no worker is used again: this test would see nothing")
		}
		if perAccount && again == 0 {
			t.Error("no worker was used again by its own account")
		}
		if s := p.Status(); int64(s.Uploads.Workers) > int64(s.Uploads.Limit)+1 {
			t.Errorf("%d workers for %d slots", s.Uploads.Workers, s.Uploads.Limit)
		}
	}
}

// TestDedicatedWorker: the first decoding of a HEIC or an AVIF never shares a worker with another job, not even
// with one of its account; that of a PNG does.
func TestDedicatedWorker(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 1})
	shared := 0
	for i, f := range []imagefile.Format{imagefile.PNG, imagefile.PNG, imagefile.HEIC, imagefile.PNG,
		imagefile.AVIF, imagefile.AVIF, imagefile.HEIC, imagefile.PNG, imagefile.PNG} {
		h := pngHeader
		h.Format = f
		_, err := p.Examine(as(t, "a"), command(t, fmt.Sprintf("keep %s-%d", f, i)), h)
		if !errors.Is(err, render.ErrUndecodable) {
			t.Fatal(err)
		}
		has := err.Error()
		others := strings.Count(has, "heic-") + strings.Count(has, "avif-")
		if f == imagefile.PNG {
			shared += strings.Count(has, "png-") - 1
		} else {
			others += strings.Count(has, "png-") - 1 // its own
		}
		if others != 0 {
			t.Errorf("job %d, a %s, got a worker with %s", i, f, has)
		}
	}
	if shared == 0 {
		t.Error("no worker was used again for a PNG: this test would see nothing")
	}
	if s := p.Status(); s.Ended["recycled"] != 4 || int64(s.Uploads.Workers) > int64(s.Uploads.Limit)+1 {
		t.Errorf("ended %v; %d workers for %d slots", s.Ended, s.Uploads.Workers, s.Uploads.Limit)
	}
}

// TestAccountsKeepTheirWorkers: also without the flag an account gets its own worker back.
func TestAccountsKeepTheirWorkers(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 2})
	var both sync.WaitGroup
	for _, account := range []string{"a", "b"} { // at once, so that there are two workers
		in := command(t, "sleep 300ms")
		both.Go(func() {
			if _, err := p.Examine(as(t, account), in, pngHeader); err == nil {
				return
			} else if !strings.Contains(err.Error(), "no command") {
				t.Error(err)
			}
		})
	}
	both.Wait()
	for range 5 {
		for account, other := range map[string]string{"a": "secret-of-b", "b": "secret-of-a"} {
			if has := kept(t, p, account, "secret-of-"+account); strings.Contains(has, other) {
				t.Errorf("account %s got a worker that has %s", account, has)
			}
		}
	}
}

// TestBusyIdleWorkerEnds: a worker that uses the CPU without a job is ended, whatever else is idle.
func TestBusyIdleWorkerEnds(t *testing.T) {
	t.Parallel()
	p, err := render.NewPoolIdle(render.PoolConfig{
		Command: []string{os.Args[0], "worker", "engine"}, Workers: 1,
	}, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Examine(t.Context(), command(t, "burn-later"), pngHeader); err != nil {
		t.Fatal(err)
	}
	for range 3000 {
		if p.Status().Ended["busy-idle"] == 1 {
			if _, err := p.Examine(t.Context(), command(t, "ok"), pngHeader); err != nil {
				t.Errorf("the next job: %v", err)
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("ended: %v", p.Status().Ended)
}

// TestPriorityOfExpensiveJobs: expensive jobs run in workers of a lower priority, the others never do.
func TestPriorityOfExpensiveJobs(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{Workers: 2})
	expensive := pngHeader
	expensive.Width, expensive.Height = 10_000, 10_000
	for range 3 {
		for _, h := range []imagefile.Header{pngHeader, expensive} {
			if _, err := p.Examine(t.Context(), command(t, "ok"), h); err != nil {
				t.Fatal(err)
			}
		}
	}
	workers := map[int]int{} // by niceness
	for _, pid := range render.PIDs(p) {
		threads := map[int]bool{}
		for _, n := range niceness(t, pid) {
			threads[n] = true
		}
		if len(threads) != 1 {
			t.Errorf("the threads of a worker have %v", threads)
		}
		for n := range threads {
			workers[n]++
		}
	}
	// One in each lane did not have an expensive job; of the uploads' there is one more.
	if len(workers) != 2 || workers[0] != 2 || workers[render.ExpensiveNice] != 1 {
		t.Errorf("workers by niceness: %v", workers)
	}
}

// niceness returns that of all threads of a process.
func niceness(t *testing.T, pid int) (all []int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			t.Fatal(err)
		}
		prio, err := unix.Getpriority(unix.PRIO_PROCESS, tid)
		if err != nil {
			continue // the thread has ended
		}
		all = append(all, 20-prio) // the system call counts the other way round
	}
	return all
}

// heldInputs are what a fake worker keeps of its inputs.
var heldInputs []int

// keepInput keeps a copy of the descriptor of an input, and says what all of them hold.
func keepInput(in *os.File) string {
	if fd, err := unix.Dup(int(in.Fd())); err == nil {
		heldInputs = append(heldInputs, fd)
	}
	var all []string
	for _, fd := range heldInputs {
		b := make([]byte, 40)
		n, _ := unix.Pread(fd, b, 0)
		_, text, _ := strings.Cut(string(b[:max(n, 0)]), " ")
		all = append(all, text)
	}
	return strings.Join(all[max(0, len(all)-6):], ",")
}

// burn uses the CPU for ever.
func burn() {
	for i := uint64(1); ; i++ {
		if i == 0 {
			return
		}
	}
}
