package deploy

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// registerQemu makes the kernel run programs of arm64 by qemu until the end of the test, unless it does already.
func registerQemu(t *testing.T) {
	t.Helper()
	const folder, name = "/proc/sys/fs/binfmt_misc", "calotype-test-aarch64"
	for _, registered := range []string{"qemu-aarch64", name} {
		if _, err := os.Stat(filepath.Join(folder, registered)); err == nil {
			return
		}
	}
	findProgram(t, "qemu-aarch64-static")
	if _, err := os.Stat(folder + "/register"); err != nil {
		if err := syscall.Mount("binfmt_misc", folder, "binfmt_misc", 0, ""); err != nil {
			lack(t, "the kernel has no binfmt_misc: "+err.Error())
		}
	}
	rule := readFile(t, "/usr/lib/binfmt.d/qemu-aarch64.conf")
	rule = strings.Replace(strings.TrimSpace(rule), ":qemu-aarch64:", ":"+name+":", 1)
	if err := os.WriteFile(folder+"/register", []byte(rule), 0o200); err != nil {
		lack(t, "registering qemu: "+err.Error())
	}
	t.Cleanup(func() {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("-1"), 0o200); err != nil {
			t.Error(err)
		}
	})
}

// versionUnderQemu returns what the command version prints. qemu 7.2 may deadlock in the fork of a process with several
// threads, before the program of the worker runs: then the command is repeated.
func versionUnderQemu(t *testing.T, root, program string) string {
	t.Helper()
	for range 3 {
		var out bytes.Buffer
		cmd := inRoot(t, root, program, "version")
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := time.AfterFunc(time.Minute, func() { killAll(t, program+"\x00version") })
		err := cmd.Wait()
		if end.Stop() {
			if err != nil {
				t.Fatalf("version: %v\n%s", err, &out)
			}
			return out.String()
		}
		t.Log("version did not end within a minute")
	}
	t.Fatal("version did not end")
	return ""
}

// killAll kills the processes whose command line has a text.
func killAll(t *testing.T, text string) {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, path := range processes {
		line, err := os.ReadFile(path)
		pid, notNumber := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || notNumber != nil || !bytes.Contains(line, []byte(text)) {
			continue // it has ended, or is another one
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err)
		}
	}
}
