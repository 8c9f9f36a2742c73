// Package programtest gives tests the real binary.
package programtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Run runs the tests of m with the path of the program in binary. It returns the exit status.
func Run(m *testing.M, binary *string) int {
	defer Remove()
	var err error
	if *binary, err = build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// Binary returns the path of the program, for tests that do not always need it. TestMain must call Remove.
func Binary(t testing.TB) string {
	t.Helper()
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

var dir string // of the program, if it was built

// Remove removes the program, if it was built.
func Remove() {
	if dir != "" {
		os.RemoveAll(dir)
	}
}

// build returns CALOTYPE_BIN; if it is not set, it builds the program from the source.
var build = sync.OnceValues(func() (binary string, err error) {
	if binary = os.Getenv("CALOTYPE_BIN"); binary != "" {
		return binary, nil
	}
	if dir, err = os.MkdirTemp("", "calotype-test-"); err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "calotype")
	if out, err := exec.Command("go", "build", "-o", binary, "calotype/cmd/calotype").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return binary, nil
})
