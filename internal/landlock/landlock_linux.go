package landlock

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The rights to files that landlock can forbid from a version on. The server forbids all that the
// kernel supports.
var fileRights = map[int]uint64{
	1: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1, // all rights up to that one
	2: unix.LANDLOCK_ACCESS_FS_REFER,
	3: unix.LANDLOCK_ACCESS_FS_TRUNCATE,
	5: unix.LANDLOCK_ACCESS_FS_IOCTL_DEV,
}

const (
	network = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	scopes  = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL

	// The allowed rights to libraries and to the worker's program.
	readFile = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE
	readDir  = readFile | unix.LANDLOCK_ACCESS_FS_READ_DIR
)

// Restrict restricts the calling thread, and the processes that it starts from now on, to reading
// libraries and running program. It forbids TCP, and signals to processes outside if landlock supports
// that. It uses landlock up to the version newest, and returns the version that is in force.
func Restrict(newest int, program string) (int, error) {
	abi, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0,
		unix.LANDLOCK_CREATE_RULESET_VERSION)
	if e != 0 {
		// ENOSYS: not built in. EOPNOTSUPP: not switched on. EPERM: forbidden by the container.
		return 0, fmt.Errorf("not offered by the kernel: %w", e)
	}
	version := min(int(abi), newest)
	if version < 1 {
		return 0, errors.New("not used")
	}
	ruleset, err := createRuleset(version)
	if err != nil {
		return 0, err
	}
	defer unix.Close(ruleset)
	if err := allowLibraries(ruleset, program); err != nil {
		return 0, err
	}
	if _, _, e := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(ruleset), 0, 0); e != 0 {
		return 0, fmt.Errorf("putting it in force: %w", e)
	}
	return version, nil
}

// createRuleset creates a set of rules that forbids everything that a version of landlock supports.
func createRuleset(version int) (int, error) {
	var attr unix.LandlockRulesetAttr
	for from, rights := range fileRights {
		if from <= version {
			attr.Handled_access_fs |= rights
		}
	}
	// An older kernel needs a shorter struct.
	size := unsafe.Sizeof(attr.Handled_access_fs)
	if version >= 4 {
		attr.Handled_access_net, size = network, 2*unsafe.Sizeof(attr.Handled_access_net)
	}
	if version >= SignalScope {
		attr.Scoped, size = scopes, 3*unsafe.Sizeof(attr.Scoped)
	}
	fd, _, e := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if e != 0 {
		return 0, fmt.Errorf("making rules: %w", e)
	}
	unix.CloseOnExec(int(fd))
	return int(fd), nil
}

// allowLibraries adds rules for the files that a worker reads: its program, the libraries that this
// process has loaded, and the folders from which the worker may load others.
func allowLibraries(ruleset int, program string) error {
	rules := map[string]uint64{program: readFile, "/etc/ld.so.cache": readFile}
	for _, file := range loadedFiles() {
		rules[file] = readFile
	}
	dirs := append(runPath(program), "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
	for _, dir := range filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		rules[dir] = readDir
	}
	for path, rights := range rules {
		if err := allowPath(ruleset, path, rights); err != nil {
			return err
		}
	}
	return nil
}

// runPath returns the folders that a program names for its own libraries, such as $ORIGIN/lib, the folder lib
// beside it. It returns none if the program cannot be read.
func runPath(program string) []string {
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	file, err := elf.Open(program)
	if err != nil {
		return nil // the usual folders remain
	}
	defer file.Close()
	beside := strings.NewReplacer("$ORIGIN", filepath.Dir(program), "${ORIGIN}", filepath.Dir(program))
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, _ := file.DynString(tag)
		for _, list := range lists {
			for _, dir := range filepath.SplitList(list) {
				if dir = beside.Replace(dir); filepath.IsAbs(dir) {
					dirs = append(dirs, dir)
				}
			}
		}
	}
	return dirs
}

// allowPath adds a rule for a file, or for a folder and its contents. A path that does not exist is skipped.
func allowPath(ruleset int, path string, rights uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	attr := unix.LandlockPathBeneathAttr{Allowed_access: rights, Parent_fd: int32(fd)}
	_, _, e := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(ruleset),
		unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&attr)), 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("allowing %s: %w", path, e)
	}
	return nil
}

// loadedFiles lists the programs and libraries that this process has mapped.
func loadedFiles() []string {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil // the usual folders remain
	}
	defer maps.Close()
	var files []string
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// address rights offset device inode path
		fields := strings.Fields(lines.Text())
		if len(fields) == 6 && strings.Contains(fields[1], "x") && filepath.IsAbs(fields[5]) {
			files = append(files, fields[5])
		}
	}
	return files
}

// Check runs in a worker. It returns the version of landlock that the server states, after a check that
// landlock is in force, or an error.
func Check(said string) (int, error) {
	version, err := strconv.Atoi(said)
	if err != nil || version < 1 {
		return 0, errors.New(said)
	}
	if f, err := os.Open("/proc/self/environ"); err == nil {
		f.Close()
		return 0, errors.New("has no effect")
	}
	return version, nil
}
