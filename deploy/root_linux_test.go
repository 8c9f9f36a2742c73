package deploy

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// rootVariable makes the test program enter the folder in it as its root, and then become the program in its
// arguments.
const rootVariable = "CALOTYPE_DEPLOY_ROOT"

// enterRoot is the test program in that role; it returns only if it fails. Unlike chroot, it leaves the old root, so
// that the kernel lets workers have namespaces.
func enterRoot() error {
	root := os.Getenv(rootVariable)
	if err := os.Unsetenv(rootVariable); err != nil {
		return err
	}
	runtime.LockOSThread() // exec continues with the namespace of this thread
	steps := []struct {
		name string
		do   func() error
	}{
		{"unshare", func() error { return unix.Unshare(unix.CLONE_NEWNS) }},
		{"make the mounts private", func() error { return unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"bind the root", func() error { return unix.Mount(root, root, "", unix.MS_BIND, "") }},
		{"mount /proc", func() error { return unix.Mount("proc", filepath.Join(root, "proc"), "proc", 0, "") }},
		{"bind /dev", func() error { return unix.Mount("/dev", filepath.Join(root, "dev"), "", unix.MS_BIND, "") }},
		{"enter", func() error { return os.Chdir(root) }},
		{"pivot_root", func() error { return unix.PivotRoot(".", ".") }},
		{"detach the old root", func() error { return unix.Unmount(".", unix.MNT_DETACH) }},
		{"enter", func() error { return os.Chdir("/") }},
		{"exec", func() error { return unix.Exec(os.Args[1], os.Args[1:], os.Environ()) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// inRoot returns a command that runs with root as its root, in an environment without variables of this machine.
func inRoot(t *testing.T, root string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = []string{rootVariable + "=" + root, "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C",
		"DEBIAN_FRONTEND=noninteractive"}
	return cmd
}

// runInRoot runs a command to its end and returns its output.
func runInRoot(t *testing.T, root string, args ...string) string {
	t.Helper()
	out, err := inRoot(t, root, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// debianRoot returns a new root of a release of Debian with its essential packages and those that are named.
func debianRoot(t *testing.T, suite string, packages ...string) string {
	t.Helper()
	needRoot(t)
	program := findProgram(t, "mmdebstrap")
	root := filepath.Join(t.TempDir(), suite)
	args := []string{"--quiet", "--mode=root", "--variant=essential", "--keyring=" + keyring}
	for _, name := range packages {
		args = append(args, "--include="+name)
	}
	cmd := exec.CommandContext(t.Context(), program, append(args, suite, root, mirror(t))...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap %s: %v\n%s", suite, err, out)
	}
	return root
}

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// mirror returns the mirror of Debian that this machine uses.
func mirror(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("CALOTYPE_DEBIAN_MIRROR"); url != "" {
		return url
	}
	out, err := exec.CommandContext(t.Context(), findProgram(t, "apt-get"), "indextargets", "--format", "$(REPO_URI)",
		"Created-By: Packages", "Origin: Debian", "Label: Debian", "Component: main").Output()
	url, _, _ := strings.Cut(string(out), "\n")
	if err != nil || url == "" {
		lack(t, "apt knows no mirror of Debian: set CALOTYPE_DEBIAN_MIRROR")
	}
	return url
}

// needRoot skips the test if it may not change the root of a process.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		lack(t, "only root may enter another root")
	}
}

// lack skips the test because of a part that this machine lacks. In continuous integration the test fails.
func lack(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// unpack unpacks an archive into a folder and returns the path of its one top folder.
func unpack(t *testing.T, archive, folder string) string {
	t.Helper()
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	tops := map[string]bool{}
	for reader := tar.NewReader(unzipped); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			top, _, _ := strings.Cut(header.Name, "/")
			tops[top] = true
			err = extract(reader, header, folder)
		}
		if err != nil {
			t.Fatalf("%s: %v", archive, err)
		}
	}
	if len(tops) != 1 {
		t.Fatalf("%s has the top folders %v", archive, tops)
	}
	for top := range tops {
		return filepath.Join(folder, top)
	}
	return ""
}

// extract writes one entry of an archive: ours have files and folders only.
func extract(content io.Reader, header *tar.Header, folder string) error {
	path := filepath.Join(folder, filepath.FromSlash(header.Name))
	if !filepath.IsLocal(header.Name) {
		return fmt.Errorf("%s is outside of the archive", header.Name)
	}
	if header.Uid != 0 || header.Gid != 0 || header.Mode&0o022 != 0 {
		return fmt.Errorf("%s has the owner %d:%d and the mode %o", header.Name, header.Uid, header.Gid, header.Mode)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(path, 0o755)
	case tar.TypeReg:
		file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fs.FileMode(header.Mode).Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		return errors.Join(err, file.Close())
	default:
		return fmt.Errorf("%s is of type %q", header.Name, header.Typeflag)
	}
}
