package render

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
)

const mib = 1 << 20

// workerShare is the memory for each further worker by default, in bytes.
const workerShare = 384 * mib

// idleCost is the estimated memory of an idle worker, in bytes: 46 MiB measured, of which the workers and the server
// share 38.
const idleCost = 48 * mib

// defaultMemory returns 60 % of MemoryLimit.
func defaultMemory() int64 { return MemoryLimit() / 10 * 6 }

// MemoryLimit returns the memory that this process may use, in bytes: that of the cgroup or the machine.
func MemoryLimit() int64 {
	limit := machineMemory()
	cg := cgroupMemory("/proc/self/cgroup", "/sys/fs/cgroup")
	if cg > 0 && (limit <= 0 || cg < limit) {
		limit = cg
	}
	if limit <= 0 {
		limit = 2 << 30 // unknown: assume a small machine
	}
	return limit
}

// defaultWorkers returns the default number of concurrent jobs. GOMAXPROCS follows the machine and the
// CPU quota of the cgroup.
func defaultWorkers(memory int64) int {
	return int(max(1, min(int64(runtime.GOMAXPROCS(0)), memory/workerShare)))
}

// cgroupMemory returns the smallest memory limit of this process's cgroup and those above it,
// version 1 or 2, in bytes; 0 without a limit.
func cgroupMemory(membership, root string) int64 {
	text, err := os.ReadFile(membership)
	if err != nil {
		return 0 // not Linux, or no /proc: the limit is not known
	}
	var limit int64
	for line := range strings.Lines(string(text)) {
		// hierarchy:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		dir, file := root, "memory.max"
		if parts[1] != "" {
			if !strings.Contains(","+parts[1]+",", ",memory,") {
				continue
			}
			dir, file = path.Join(root, "memory"), "memory.limit_in_bytes"
		}
		// In a container the path may be that of the host and be missing here; its parents are not.
		for p := path.Join("/", parts[2]); ; p = path.Dir(p) {
			if n := readLimit(path.Join(dir, p, file)); n > 0 && (limit == 0 || n < limit) {
				limit = n
			}
			if p == "/" {
				break
			}
		}
	}
	return limit
}

// readLimit reads one limit; 0 without a limit. Version 1 writes "no limit" as a huge number.
func readLimit(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n >= 1<<60 {
		return 0
	}
	return n
}

// openStat opens a file in /proc of a process, such as "statm", for repeated reading; nil if it cannot be opened.
func openStat(pid int, name string) *os.File {
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return nil
	}
	return f
}

// A memoryUsage is the memory of a process, in bytes.
type memoryUsage struct {
	space    int64 // address space
	resident int64
	data     int64 // writable and private
}

// usage returns the memory of the worker; zero if the system does not report it, or the worker has ended.
func (p *process) usage() memoryUsage { return memoryOf(p.statm) }

// memoryOf reads the statm of a process.
func memoryOf(statm *os.File) memoryUsage {
	var text [128]byte
	n, _ := statm.ReadAt(text[:], 0) // a nil file has nothing to read
	fields := bytes.Fields(text[:n]) // size, resident, shared, code, 0, data, 0; in pages
	if len(fields) < 6 {
		return memoryUsage{}
	}
	var bytes [6]int64
	for i := range bytes {
		pages, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return memoryUsage{}
		}
		bytes[i] = pages * int64(os.Getpagesize())
	}
	return memoryUsage{space: bytes[0], resident: bytes[1], data: bytes[5]}
}

// threads returns the number of threads of a process by its stat.
func threads(stat *os.File) (int, error) {
	var text [512]byte
	n, err := stat.ReadAt(text[:], 0)
	if n == 0 {
		return 0, fmt.Errorf("counting the threads of a worker: %w", err)
	}
	// The name of the program, in brackets, may hold anything; the number is the 18th after it.
	_, rest, _ := bytes.Cut(text[:n], []byte(") "))
	fields := bytes.Fields(rest)
	if len(fields) < 18 {
		return 0, errors.New("counting the threads of a worker: stat has too few fields")
	}
	return strconv.Atoi(string(fields[17]))
}
