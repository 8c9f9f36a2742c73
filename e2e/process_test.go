package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// These read /proc: what a server's processes are, and what they take.

// A process is one line of the table of processes.
type process struct {
	pid, parent int
	dead        bool // a zombie: gone, but not yet collected
	command     string
}

// processes returns the table of processes; those that end concurrently are left out.
func processes(t testing.TB) map[int]process {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Skipf("this test needs /proc: %v", err)
	}
	all := map[int]process{}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		command, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		// The name, in parentheses, may hold anything. State and parent follow it.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if err != nil || len(fields) < 2 {
			t.Fatalf("%s reads %q", path, stat)
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatalf("%s reads %q", path, stat)
		}
		all[pid] = process{
			pid: pid, parent: parent, dead: fields[0] == "Z" || fields[0] == "X",
			command: strings.TrimRight(strings.ReplaceAll(string(command), "\x00", " "), " "),
		}
	}
	return all
}

// workerCommand is the command line of a render worker.
const workerCommand = "/proc/self/exe worker"

// workers returns the render workers of a server.
func (s *server) workers() []int {
	s.t.Helper()
	var pids []int
	for pid, p := range processes(s.t) {
		if p.parent == s.cmd.Process.Pid && p.command == workerCommand && !p.dead {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killWithWorkers kills a server and waits until its workers have ended. The kernel ends them, soon after
// the server. It looks at the workers of this server only: other servers of this machine have others.
func (s *server) killWithWorkers() {
	s.t.Helper()
	// A stopped server starts no worker between the look and its end.
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	workers := s.workers()
	s.kill()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		all := processes(s.t)
		left := slices.DeleteFunc(slices.Clone(workers), func(pid int) bool {
			p := all[pid]
			return p.dead || p.command != workerCommand
		})
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("workers outlived their server: %v of %v", left, workers)
		}
	}
}

// tree returns the processes of a server, itself the first.
func (s *server) tree() []int { return processTree(s.t, s.cmd.Process.Pid) }

// processTree returns a process and those that it has started.
func processTree(t *testing.T, pid int) []int {
	all := processes(t)
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		for pid, p := range all {
			if p.parent == tree[i] && !p.dead {
				tree = append(tree, pid)
			}
		}
	}
	return tree
}

// memory returns a process's memory in bytes: its proportional share if the kernel shows it
// (of workers only to root), else its resident memory, which counts shared pages several times.
func memory(pid int) (int64, error) {
	n, err := procField(pid, "smaps_rollup", "Pss:")
	if errors.Is(err, fs.ErrPermission) {
		n, err = procField(pid, "status", "VmRSS:")
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return 0, nil // it ended
	}
	return n << 10, err
}

// procField returns the number that follows a name in a file of a process.
func procField(pid int, file, name string) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%d/%s has no %s: %w", pid, file, name, syscall.ESRCH)
}

// treeMemory returns the memory of all of a server's processes, in bytes.
func (s *server) treeMemory() int64 {
	var sum int64
	for _, pid := range s.tree() {
		n, err := memory(pid)
		if err != nil {
			s.t.Error(err)
		}
		sum += n
	}
	return sum
}

// watchMemory samples the memory of a server's processes until the returned function is called,
// which returns the peak in bytes and the number of samples.
func (s *server) watchMemory() (peak func() (bytes int64, samples int)) {
	end, ended := make(chan struct{}), make(chan struct{})
	var most int64
	n := 0
	go func() {
		defer close(ended)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, s.treeMemory())
			n++
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	}()
	return func() (int64, int) {
		close(end)
		<-ended
		return most, n
	}
}

// openRenditions is how many large renditions a server may keep open.
const openRenditions = 256

// pooledFiles bounds the files that a server opens once under load and keeps: eight connections that read SQLite, with
// two files each, and idle connections of clients. A leak has one file for each request, far more.
const pooledFiles = 32

// holdings are what a server's main process holds, for tests that look for leaks.
type holdings struct {
	resident             int64 // bytes
	threads, files, kids int
}

func (s *server) holdings() holdings {
	s.t.Helper()
	pid := s.cmd.Process.Pid
	resident, err := procField(pid, "status", "VmRSS:")
	if err != nil {
		s.t.Fatal(err)
	}
	threads, err := procField(pid, "status", "Threads:")
	if err != nil {
		s.t.Fatal(err)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		s.t.Fatal(err)
	}
	return holdings{resident << 10, int(threads), len(files), len(s.workers())}
}

func (h holdings) String() string {
	return fmt.Sprintf("%d MiB resident, %d threads, %d files, %d workers",
		h.resident>>20, h.threads, h.files, h.kids)
}
