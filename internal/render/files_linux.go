package render

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openReadOnly opens f a second time: the worker cannot write to it, and has a separate file offset, so that
// several workers can read one file concurrently.
func openReadOnly(f *os.File) (*os.File, error) {
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("opening the input for a worker: %w", err)
	}
	return again, nil
}

// newScratch makes the file that a worker writes to. It is not the caller's file, so a worker that
// keeps the descriptor cannot change the rendition after the check.
func newScratch() (*os.File, error) {
	fd, err := unix.MemfdCreate("rendition", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a file for a worker: %w", err)
	}
	return os.NewFile(uintptr(fd), "rendition"), nil
}

// pollable opens the description of f again as a file whose reader waits without a thread.
func pollable(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return nil, fmt.Errorf("opening a worker's requests: %w", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// machineMemory returns the memory of this machine in bytes.
func machineMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
