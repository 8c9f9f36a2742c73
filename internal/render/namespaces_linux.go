package render

import (
	"errors"
	"os"
	"syscall"
)

// namespaces are those that a worker gets of its own. It is process 1 among its processes: it
// cannot name one outside, whatever the system call. It has no capability outside, even when the
// server runs as root.
const namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
	syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS

// processAttributes are how a worker is started: in a session of its own, so that a Ctrl-C goes to
// the server only, and killed when the thread that started it ends. In its namespaces its user is
// mapped to none: it needs none, and so it has no capabilities inside either.
func processAttributes(isolate bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if isolate {
		attr.Cloneflags = namespaces
	}
	return attr
}

// inNamespaces returns nil in a worker that was started in namespaces.
func inNamespaces() error {
	if os.Getpid() != 1 {
		return errors.New("not used")
	}
	return nil
}
