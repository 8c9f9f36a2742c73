package render_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"calotype/internal/render"
)

// TestSandbox tries from inside a worker what a picture that took over a decoder would try.
func TestSandbox(t *testing.T) {
	t.Parallel()
	p := newFakePool(t, "engine", render.PoolConfig{RequireSandbox: true})
	for _, what := range []string{
		"open /etc/passwd", "raw-open /etc/passwd", "raw-open /proc/self/environ", "raw-open /",
		"open /lib/os-release", "create /tmp/calotype-sandbox-test", "create /dev/shm/x",
		"list /", "unlink /tmp/calotype-no-such-file", "dial 127.0.0.1:1", "socket", "unix-socket",
		"exec /bin/true", "execve /bin/true", "fork", "kill-parent", "tgkill-parent",
		"ptrace-parent", "environ-parent", "memory-parent", "limits", "limits-parent",
	} {
		_, err := p.Examine(t.Context(), command(t, "try "+what), pngHeader)
		if !errors.Is(err, render.ErrUndecodable) || !strings.Contains(err.Error(), "not permitted") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
	if s := p.Status(); !s.Sandbox.Complete || s.Lost != 0 {
		t.Errorf("sandbox %+v, %d workers lost", s.Sandbox, s.Lost)
	}
}

// readMemory reads a byte of another process.
func readMemory(pid int) error {
	buf := make([]byte, 1)
	local := []unix.Iovec{{Base: &buf[0], Len: 1}}
	remote := []unix.RemoteIovec{{Base: 0x400000, Len: 1}}
	_, err := unix.ProcessVMReadv(pid, local, remote, 0)
	return err
}

// try attempts what a sandbox must forbid and says how it went: "done" is bad.
func try(what string) string {
	var err error
	what, argument, _ := strings.Cut(what, " ")
	switch what {
	case "open":
		_, err = os.Open(argument)
	case "raw-open": // past what Go does with paths
		_, err = unix.Open(argument, unix.O_RDONLY, 0)
	case "create":
		_, err = os.Create(argument)
	case "list":
		_, err = os.ReadDir(argument)
	case "unlink":
		err = os.Remove(argument)
	case "dial":
		_, err = net.Dial("tcp", argument)
	case "socket":
		_, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	case "unix-socket":
		_, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	case "exec":
		err = exec.Command(argument).Run()
	case "execve":
		err = unix.Exec(argument, []string{argument}, nil)
	case "fork":
		_, _, e := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
		err = e
	case "kill-parent":
		err = unix.Kill(unix.Getppid(), 0)
	case "tgkill-parent":
		err = unix.Tgkill(unix.Getppid(), unix.Getppid(), 0)
	case "ptrace-parent":
		err = unix.PtraceAttach(unix.Getppid())
	case "environ-parent":
		_, err = os.ReadFile(fmt.Sprintf("/proc/%d/environ", unix.Getppid()))
	case "memory-parent":
		err = readMemory(unix.Getppid())
	case "limits":
		err = unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096})
	case "limits-parent":
		err = unix.Prlimit(unix.Getppid(), unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1, Max: 1}, nil)
	default:
		return "unknown"
	}
	if err == nil || errors.Is(err, syscall.Errno(0)) {
		return "done"
	}
	return err.Error()
}
