package render

import (
	"fmt"
	"strings"

	"calotype/internal/landlock"
)

// A SandboxState is the state of a worker's sandbox.
type SandboxState struct {
	Complete bool           `json:"complete"` // the result of the function complete
	Detail   string         `json:"detail"`   // the parts, such as "limits, landlock 7, seccomp"
	Parts    map[string]int `json:"parts"`    // by name; see SandboxParts
}

// The parts of the sandbox.
const (
	partLimits     = "limits"       // of descriptors, of output, of memory
	partPrivileges = "no-new-privs" // no program grants privileges
	partLandlock   = "landlock"     // no file, no TCP; from version 6 on no signal to others
	partUndumpable = "undumpable"   // processes of the same user cannot inspect it
	partSeccomp    = "seccomp"      // a list of allowed system calls
	partSealed     = "sealed"       // a shorter list: no path, no shared memory
	partThreads    = "threads"      // the server bounds the number of threads
	partJobMemory  = "job-memory"   // the server sets a limit of memory for each job
	partNamespaces = "namespaces"   // no process, user, socket or host name of the system is visible
)

// SandboxParts are the keys of SandboxState.Parts. A value is 0 if the part is not in force, the version for
// landlock, and 1 for each other part.
var SandboxParts = []string{
	partLimits, partPrivileges, partLandlock, partUndumpable, partSeccomp, partSealed, partThreads,
	partJobMemory, partNamespaces,
}

// complete reports whether the parts are a complete sandbox: each forbidden action is then blocked by at
// least two parts, of which seccomp is one. Files and TCP: landlock. Signals to processes outside:
// landlock from landlock.SignalScope on, or namespaces.
func complete(parts map[string]int) bool {
	for _, name := range SandboxParts {
		if name != partNamespaces && parts[name] == 0 {
			return false
		}
	}
	return parts[partLandlock] >= landlock.SignalScope || parts[partNamespaces] > 0
}

// note records the result of a part: in force as n, or missing because of err.
func (s *SandboxState) note(part string, n int, err error) {
	text := part
	switch {
	case err != nil:
		n, text = 0, fmt.Sprintf("no %s (%v)", part, err)
	case part == partLandlock:
		text = fmt.Sprint(part, " ", n)
	}
	if s.Parts == nil {
		s.Parts = map[string]int{}
	}
	s.Parts[part] = n
	s.Detail = strings.TrimPrefix(s.Detail+", "+sanitise(text), ", ")
	s.Complete = complete(s.Parts)
}

// Missing names the parts that are not in force.
func (s SandboxState) Missing() []string {
	var names []string
	for _, name := range SandboxParts {
		if s.Parts[name] == 0 {
			names = append(names, name)
		}
	}
	return names
}

const filterRemedy = "the filter of system calls of the container or unit must allow "

// remedies say for each part how a system supports it.
var remedies = map[string]string{
	partLimits:     filterRemedy + "prlimit64",
	partPrivileges: filterRemedy + "prctl",
	partLandlock: "it needs Linux 5.13, better 6.12, with landlock in the list of /sys/kernel/security/lsm; " +
		filterRemedy + "landlock_*",
	partUndumpable: filterRemedy + "prctl",
	partSeccomp:    "it needs a kernel with CONFIG_SECCOMP_FILTER; " + filterRemedy + "seccomp",
	partSealed:     filterRemedy + "seccomp",
	partThreads:    "it needs Linux 5.7; " + filterRemedy + "seccomp",
	partJobMemory:  filterRemedy + "prlimit64; the server must be able to write /proc/PID/oom_score_adj of its workers",
	partNamespaces: "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 and " +
		"kernel.apparmor_restrict_unprivileged_userns=0, or the profile of the container",
}

// Remedy says how a system supports a part of the sandbox.
func Remedy(part string) string { return remedies[part] }

// maxJob is the maximal writable memory of a worker for one job, in bytes: the need of the largest
// pictures within DefaultLimits. A test has a list of these.
const maxJob = 2900 * mib

// maxThreads is the maximal number of threads in a sealed worker. Go and libvips have
// about 20, and libheif adds 8 for a picture of tiles.
const maxThreads = 64
