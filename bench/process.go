package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A process is a server that was started here, with whatever it starts.
type process struct {
	cmd  *exec.Cmd
	gone chan struct{}
	log  string // the file of what it prints
}

// startProcess starts a server. It ends with this program at the latest.
func startProcess(log string, env []string, name string, args ...string) (*process, error) {
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
	p := &process{cmd: cmd, gone: make(chan struct{}), log: log}
	go func() { // ends with the process
		_ = cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

// awaitHTTP waits until the server answers a GET of url with whatever status.
func (p *process) awaitHTTP(url string) error {
	for range 600 {
		if answer, err := http.Get(url); err == nil {
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
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it is gone
	select {
	case <-p.gone:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.gone
	}
}

// A stat is what the kernel says of one process.
type stat struct {
	parent int
	cpu    time.Duration // user and system, of all threads, ended ones too
	reaped time.Duration // the same of children that ended
}

// tick is the unit of /proc/PID/stat. The counter is exact except for rounding.
const tick = 10 * time.Millisecond

// readStats reads all processes of the machine.
func readStats() (map[int]stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	all := map[int]stat{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // ended concurrently
		}
		pid, err := strconv.Atoi(strings.Split(file, "/")[2])
		if err != nil {
			return nil, err
		}
		// The name before the ")" may hold anything.
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		var n [17]int64
		for _, i := range []int{1, 11, 12, 13, 14} {
			if n[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
				return nil, fmt.Errorf("reading %s: %w", file, err)
			}
		}
		all[pid] = stat{int(n[1]), time.Duration(n[11]+n[12]) * tick, time.Duration(n[13]+n[14]) * tick}
	}
	return all, nil
}

// tree returns the process and all below it.
func (p *process) tree(all map[int]stat) []int {
	pids := []int{p.cmd.Process.Pid}
	for i := 0; i < len(pids); i++ {
		for pid, s := range all {
			if s.parent == pids[i] {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpu returns the CPU time that the process and all below it have used, ended ones included.
func (p *process) cpu() (time.Duration, error) {
	all, err := readStats()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range p.tree(all) {
		sum += all[pid].cpu + all[pid].reaped
	}
	return sum, nil
}

// memory returns what the process and all below it take of the machine, in bytes: each page
// divided by the number of processes that share it.
func (p *process) memory() (int64, error) {
	all, err := readStats()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range p.tree(all) {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // ended concurrently
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			if fields := strings.Fields(lines.Text()); len(fields) > 1 && fields[0] == "Pss:" {
				kib, err := strconv.ParseInt(fields[1], 10, 64)
				if err != nil {
					return 0, errors.Join(err, f.Close())
				}
				sum += kib << 10
			}
		}
		f.Close() // read only
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
