package render

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// spaceSlack is by how much the address space of a worker may grow beyond what it may write to, in
// bytes: what glibc and Go reserve, and files that are mapped. It bounds what the kernel keeps of
// mappings that are only read.
const spaceSlack = 1 << 30

// setMemory sets the limit of writable memory of a worker, in bytes. The worker cannot raise it:
// its filter forbids that. A limit below what it has already forbids more.
func (p *process) setMemory(n int64) error {
	if raceDetector {
		return nil // the race detector needs additional memory
	}
	limit := unix.Rlimit{Cur: uint64(min(n, p.mostData)), Max: uint64(p.mostData)}
	return p.setLimit(unix.RLIMIT_DATA, limit)
}

// boundSpace bounds the address space of a worker, for its whole life.
func (p *process) boundSpace() error {
	if raceDetector {
		return nil
	}
	n := uint64(p.usage().space + p.mostData + spaceSlack)
	return p.setLimit(unix.RLIMIT_AS, unix.Rlimit{Cur: n, Max: n})
}

func (p *process) setLimit(what int, limit unix.Rlimit) error {
	if err := unix.Prlimit(p.cmd.Process.Pid, what, &limit, nil); err != nil {
		return fmt.Errorf("limiting the memory of a worker: %w", err)
	}
	return nil
}

// dieFirst asks the kernel to end the worker first when memory is short.
func (p *process) dieFirst() error {
	name := fmt.Sprintf("/proc/%d/oom_score_adj", p.cmd.Process.Pid)
	if err := os.WriteFile(name, []byte("1000"), 0); err != nil {
		return fmt.Errorf("marking a worker as the first to end: %w", err)
	}
	return nil
}
