// Package programtest gives tests the path of the real binary.
package programtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run runs the tests of m with the path of the program in binary: CALOTYPE_BIN, else it is built
// from the source and removed afterwards. It returns the exit status.
func Run(m *testing.M, binary *string) int {
	if *binary = os.Getenv("CALOTYPE_BIN"); *binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "calotype-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	*binary = filepath.Join(dir, "calotype")
	build := exec.Command("go", "build", "-o", *binary, "calotype/cmd/calotype")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
