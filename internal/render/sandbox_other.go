//go:build !linux

package render

import (
	"errors"
	"os"
	"syscall"
)

// A sandbox does nothing outside Linux.
type sandbox struct {
	state    SandboxState
	requests *os.File
}

const newestLandlock = 0

func enterSandbox() *sandbox { return &sandbox{} }

func (b *sandbox) seal() { b.state.note(partSeccomp, 0, errors.New("not on Linux")) }

// processAttributes returns the attributes of a worker's start.
func processAttributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func restrictSpawner(int, string) string { return "not on Linux" }

// dieFirst makes the kernel kill the worker first when memory is short.
func (p *process) dieFirst() error { return errors.ErrUnsupported }
