package render

// NewPoolIdle is NewPool with another patience with idle workers.
var NewPoolIdle = newPool

// The estimates of memory, in bytes.
var (
	ExamineCost = examineCost
	RenderCost  = renderCost
)

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
	statm := openStatm(pid)
	defer statm.Close()
	return residentMemory(statm)
}

// WorkerSlack is by how much the timers of a worker may be late.
const WorkerSlack = workerSlack
