//go:build !linux

package render

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// openReadOnly opens f a second time, for reading only, where the system can.
func openReadOnly(f *os.File) (*os.File, error) {
	again, err := os.Open(f.Name())
	if err != nil {
		return nil, fmt.Errorf("opening the input for a worker: %w", err)
	}
	ours, err1 := f.Stat()
	theirs, err2 := again.Stat()
	if err1 != nil || err2 != nil || !os.SameFile(ours, theirs) {
		again.Close()
		return nil, fmt.Errorf("opening the input for a worker: %s is another file now", f.Name())
	}
	return again, nil
}

func newScratch() (*os.File, error) {
	f, err := os.CreateTemp("", "calotype-rendition-")
	if err != nil {
		return nil, fmt.Errorf("making a file for a worker: %w", err)
	}
	os.Remove(f.Name())
	return f, nil
}

// machineMemory returns 0: it is not known.
func machineMemory() int64 { return 0 }

func pollable(f *os.File) (*os.File, error) { return nil, errors.ErrUnsupported }

func cpuTime(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

func (p *process) setMemory(int64) error { return errors.ErrUnsupported }

func (p *process) boundSpace() error { return errors.ErrUnsupported }

func superviseThreads(_, _ *os.File) {}

func lowerPriority(int, int) {}

// A sandbox does nothing outside Linux.
type sandbox struct {
	state    SandboxState
	requests *os.File
}

func enterSandbox() *sandbox { return &sandbox{} }

func (b *sandbox) seal() { b.state.note(partSeccomp, 0, errors.New("not on Linux")) }

func processAttributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func restrictSpawner(int, string) string { return "not on Linux" }

func (p *process) dieFirst() error { return errors.ErrUnsupported }
