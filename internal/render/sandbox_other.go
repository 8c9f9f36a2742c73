//go:build !linux

package render

import "syscall"

// A sandbox is nothing outside Linux.
type sandbox struct{}

func enterSandbox() *sandbox { return &sandbox{} }

func (*sandbox) seal() {}

func (*sandbox) state() SandboxState { return SandboxState{Detail: "none: not on Linux"} }

// processAttributes are how a worker is started.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func slackenTimers() {}
