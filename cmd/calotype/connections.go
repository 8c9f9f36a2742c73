package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	maxConnections = 16 << 10
	// otherFiles is the number of descriptors besides connections: uploads in progress, pictures, the
	// database, pipes of workers, outgoing requests.
	otherFiles = 512
	// maxHeader limits the header of a request, in bytes. The longest path of a delivery has about
	// 13 KiB: an id of 1,024 characters, each of up to 12 bytes.
	maxHeader = 24 << 10
)

// connectionsAllowed returns the number of client connections that the limit on open files allows. Go
// has raised the soft limit to the hard limit at its start.
func connectionsAllowed() (int, error) {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err != nil {
		return 0, fmt.Errorf("asking for the limit on open files: %w", err)
	}
	return connectionsFor(uint64(files.Cur)), nil
}

// connectionsFor leaves at least three quarters of a small limit to other descriptors.
func connectionsFor(files uint64) int {
	allowed := max(files, otherFiles) - otherFiles
	return int(min(maxConnections, max(allowed, files/4)))
}
