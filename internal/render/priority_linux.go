package render

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// dearNice is the niceness of workers that do dear jobs: beside other work they get a tenth of a
// CPU, without it all of it.
const dearNice = 10

// lowerPriority lowers the priority of all threads of a worker. Later threads inherit it.
func lowerPriority(pid int) {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return // it has ended, or there is no /proc: the job runs at the usual priority
	}
	for _, task := range tasks {
		if tid, err := strconv.Atoi(task.Name()); err == nil {
			// A thread may have ended by now.
			_ = unix.Setpriority(unix.PRIO_PROCESS, tid, dearNice)
		}
	}
}
