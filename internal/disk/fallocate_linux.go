package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// fallocate reserves the disk space of an empty file. Errors: errors.ErrUnsupported, if the file system cannot.
func fallocate(f *os.File, size int64) error { return unix.Fallocate(int(f.Fd()), 0, 0, size) }
