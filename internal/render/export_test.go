package render

import (
	"context"
	"time"

	"calotype/internal/imagefile"
)

// NewPoolIdle is NewPool with another patience with idle workers.
func NewPoolIdle(c PoolConfig, idle time.Duration) (*Pool, error) {
	return startPool(context.Background(), c, idle)
}

// The estimates of memory.
var (
	ExamineCost = examineCost
	RenderCost  = renderCost
)

// Memory is an estimate.
type Memory = memory

func (m memory) Resident() int64 { return m.resident }
func (m memory) Mapped() int64   { return m.mapped }

// CheckMemory returns the result of a Pool with poolMemory bytes for an original.
func CheckMemory(poolMemory int64, h imagefile.Header) error {
	p := Pool{jobMemory: maxJobMemory(poolMemory)}
	return p.checkMemory(h, 0)
}

// DataSlack is what a worker may map beyond an estimate, in bytes.
const DataSlack = dataSlack

// IdleCost is what a worker takes without a job; RaceDetector makes that far more.
const (
	IdleCost     = idleCost
	RaceDetector = raceDetector
)

// PIDs lists the processes of a Pool, idle and busy.
func PIDs(p *Pool) []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []int
	for w := range p.all {
		all = append(all, w.cmd.Process.Pid)
	}
	return all
}

// ResidentMemory returns the resident set of a process in bytes; 0 when it is gone.
func ResidentMemory(pid int) int64 {
	statm := openStat(pid, "statm")
	defer statm.Close()
	return memoryOf(statm).resident
}

// WorkerSlack is by how much the timers of a worker may be late.
const WorkerSlack = workerSlack

// MaxThreads is how many threads a worker may have.
const MaxThreads = maxThreads

// A Confinement takes away what the system has for sandboxes.
type Confinement struct {
	NoNamespaces bool
	Landlock     int // the newest version to use; negative for none, 0 for all
}

// Confine returns c for a Pool on a system that has less.
func Confine(c PoolConfig, to Confinement) PoolConfig {
	c.noNamespaces, c.landlock = to.NoNamespaces, to.Landlock
	return c
}

// Patient returns c for a Pool that never ends a job by the clock on the wall.
func Patient(c PoolConfig) PoolConfig {
	c.patient = true
	return c
}

// KeepWorn returns c for a Pool that replaces no worker that has done enough.
func KeepWorn(c PoolConfig) PoolConfig {
	c.keepWorn = true
	return c
}

// ExpensiveNice is the niceness of workers that do expensive jobs.
const ExpensiveNice = expensiveNice

// EagerNice is the niceness of workers that do eager jobs.
const EagerNice = eagerNice
