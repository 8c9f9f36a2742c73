package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// A process is a server that was started here, with whatever it starts.
type process struct {
	cmd     *exec.Cmd
	gone    chan struct{}
	address string
	log     string // the file of what it prints
}

// startProcess starts a server, which is to listen on an address, and waits until it answers a GET of path there with
// whatever status. It ends with this program at the latest.
func startProcess(address, path, log string, env []string, name string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(name), err)
	}
	defer out.Close() // the child has its own
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(name), err)
	}
	p := &process{cmd: cmd, gone: make(chan struct{}), address: address, log: log}
	go func() { // ends with the process
		_ = cmd.Wait()
		close(p.gone)
	}()
	if err := p.awaitAnswer(path); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) base() string { return "http://" + p.address }

func (p *process) awaitAnswer(path string) error {
	for range 600 {
		if answer, err := http.Get(p.base() + path); err == nil {
			return answer.Body.Close()
		}
		select {
		case <-p.gone:
			printed, err := os.ReadFile(p.log)
			return errors.Join(fmt.Errorf("%s ended at its start:\n%s", p.cmd.Path, printed), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s does not answer", p.cmd.Path)
}

// stop ends the server in good order, or else at once.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it is gone
	select {
	case <-p.gone:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// tick is the unit of /proc/PID/stat. The counter is exact except for rounding.
const tick = 10 * time.Millisecond

// tree returns the state of the process and of all below it.
func (p *process) tree() ([]procfs.ProcStat, error) {
	processes, err := procfs.AllProcs()
	if err != nil {
		return nil, err
	}
	children := map[int][]procfs.ProcStat{} // by parent
	var tree []procfs.ProcStat
	for _, one := range processes {
		stat, err := one.Stat()
		switch {
		case err != nil: // ended concurrently
		case stat.PID == p.cmd.Process.Pid:
			tree = append(tree, stat)
		default:
			children[stat.PPID] = append(children[stat.PPID], stat)
		}
	}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i].PID]...)
	}
	return tree, nil
}

// cpu returns the CPU time that the process and all below it have used, ended ones included.
func (p *process) cpu() (time.Duration, error) {
	tree, err := p.tree()
	var ticks int
	for _, s := range tree {
		ticks += int(s.UTime+s.STime) + s.CUTime + s.CSTime
	}
	return time.Duration(ticks) * tick, err
}

// memory returns what the process and all below it take of the machine, in bytes: each page
// divided by the number of processes that share it.
func (p *process) memory() (int64, error) {
	tree, err := p.tree()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range tree {
		one, err := procfs.NewProc(s.PID)
		if err != nil {
			continue // ended concurrently
		}
		pages, err := one.ProcSMapsRollup()
		switch {
		case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH): // as above
		case err != nil:
			return 0, fmt.Errorf("reading the memory of a process: %w", err)
		}
		sum += int64(pages.Pss)
	}
	return sum, nil
}

// runCommand runs a command to its end and returns the CPU time that it took.
func runCommand(name string, args ...string) (time.Duration, error) {
	cmd := exec.Command(name, args...)
	// One thread, as our workers have: more of them cost CPU to talk to each other.
	cmd.Env = append(os.Environ(), "VIPS_CONCURRENCY=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("running %s: %w\n%s", name, err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// ownCPU returns the CPU time that fn takes in this process, which runs nothing else.
func ownCPU(fn func() error) (time.Duration, error) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return 0, err
	}
	if err := fn(); err != nil {
		return 0, err
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return 0, err
	}
	of := func(r syscall.Rusage) int64 { return r.Utime.Nano() + r.Stime.Nano() }
	return time.Duration(of(after) - of(before)), nil
}

// freeAddress returns an address on the loopback interface that is free now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
