//go:build !linux

package render

import (
	"errors"
	"os"
	"time"
)

// cpuTime returns the time that all threads of a process have used of processors.
func cpuTime(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

// setMemory sets the limit of writable memory of a worker.
func (p *process) setMemory(int64) error { return errors.ErrUnsupported }

// boundSpace bounds the address space of a worker.
func (p *process) boundSpace() error { return errors.ErrUnsupported }

func superviseThreads(_, _ *os.File) {}
