//go:build !linux

package render

import (
	"errors"
	"fmt"
	"os"
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

// newScratch makes the file that a worker writes to.
func newScratch() (*os.File, error) {
	f, err := os.CreateTemp("", "calotype-rendition-")
	if err != nil {
		return nil, fmt.Errorf("making a file for a worker: %w", err)
	}
	os.Remove(f.Name())
	return f, nil
}

// machineMemory is not known here.
func machineMemory() int64 { return 0 }

// pollable opens the description of f again as a file whose reader waits without a thread.
func pollable(f *os.File) (*os.File, error) { return nil, errors.ErrUnsupported }
