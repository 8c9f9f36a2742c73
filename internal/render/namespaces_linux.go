package render

import (
	"errors"
	"os"
	"syscall"
)

// namespaces are the separate namespaces of a worker. The worker is process 1 in its PID namespace: no system
// call can name a process outside. It has no capability outside, even if the server runs as root.
const namespaces = syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET |
	syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS

// processAttributes returns the attributes of a worker's start. The worker has a separate session, so that a
// Ctrl-C goes to the server only, and is killed when the thread that started it ends. In its namespaces no
// user is mapped: the worker needs none, and so it has no capabilities inside either.
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
