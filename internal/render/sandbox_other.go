//go:build !linux

package render

import (
	"errors"
	"os"
	"syscall"
)

// A sandbox is nothing outside Linux.
type sandbox struct {
	state    SandboxState
	requests *os.File
}

const newestLandlock = 0

func enterSandbox() *sandbox { return &sandbox{} }

func (b *sandbox) seal() { b.state.note(partSeccomp, 0, errors.New("not on Linux")) }

// processAttributes are how a worker is started.
func processAttributes(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func restrictSpawner(int, string) string { return "not on Linux" }

// dieFirst asks the kernel to end the worker first when memory is short.
func (p *process) dieFirst() error { return errors.ErrUnsupported }
