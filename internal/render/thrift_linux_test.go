package render_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"calotype/internal/render"
)

// All threads of a worker have the slack, also those that Go starts before main.
func TestTimersOfWorkersAreSlack(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{})
	threads := 0
	for _, pid := range render.PIDs(p) {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			text, err := os.ReadFile("/proc/" + task.Name() + "/timerslack_ns")
			if os.IsPermission(err) {
				t.Skip(err) // for the superuser only
			}
			if err != nil {
				continue // it ended
			}
			threads++
			if got := strings.TrimSpace(string(text)); got != fmt.Sprint(int64(render.WorkerSlack)) {
				t.Errorf("a thread of a worker has a slack of %s ns", got)
			}
		}
	}
	if threads < 2 {
		t.Errorf("%d threads were looked at", threads)
	}
}

// The resident set follows what a process takes, and is 0 when it is gone.
func TestResidentMemory(t *testing.T) {
	t.Parallel()
	const most = 1 << 40
	if n := render.ResidentMemory(os.Getpid()); n < 1<<20 || n > most {
		t.Errorf("this process has %d bytes", n)
	}
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if n := render.ResidentMemory(gone.Process.Pid); n != 0 {
		t.Errorf("a process that is gone has %d bytes", n)
	}
}
