package deploy

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// containers runs buildah and podman with separate storage. The base image of the Dockerfile is made of Debian's
// packages, so that no registry of images is needed.
type containers struct {
	t       *testing.T
	storage []string
}

const (
	containerImage  = "localhost/calotype:test"
	containerMemory = 1 << 30
	// containerUser is the user of the Dockerfile.
	containerUser = 10001
	// maxContainer is the size of the image beyond its base, in bytes.
	maxContainer = 110e6
)

func newContainers(t *testing.T) *containers {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	return &containers{t: t, storage: []string{"--root=" + dir + "/storage", "--runroot=" + dir + "/run"}}
}

// command returns a command of buildah or podman.
func (c *containers) command(name string, args ...string) *exec.Cmd {
	c.t.Helper()
	all := append(strings.Fields(strings.Join(c.storage, " ")), args...)
	if name == "podman" {
		all = append([]string{"--runtime=" + findProgram(c.t, "runc"), "--cgroup-manager=cgroupfs",
			"--events-backend=file", "--tmpdir=" + strings.TrimPrefix(c.storage[1], "--runroot=") + "/podman"}, all...)
	}
	cmd := exec.Command(findProgram(c.t, name), all...)
	cmd.Env = append(os.Environ(), "STORAGE_DRIVER=vfs", "BUILDAH_ISOLATION=chroot")
	cmd.Dir = ".."
	return cmd
}

// run runs a command to its end and returns the last line of its output.
func (c *containers) run(name string, args ...string) string {
	c.t.Helper()
	out, err := c.command(name, args...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// build builds the image of the Dockerfile from an archive. It returns its size beyond the base image, in bytes.
func (c *containers) build(archive string) int64 {
	c.t.Helper()
	context := c.t.TempDir()
	if err := os.Mkdir(filepath.Join(context, "dist"), 0o755); err != nil {
		c.t.Fatal(err)
	}
	for from, to := range map[string]string{
		archive: "dist/" + filepath.Base(archive), "../Dockerfile": "Dockerfile", "../.dockerignore": ".dockerignore",
	} {
		writeFile(c.t, filepath.Join(context, to), readFile(c.t, from))
	}
	base := ""
	for _, arg := range arguments(dockerfile(c.t), "ARG") {
		if name, value, _ := strings.Cut(arg, "="); name == "SYSTEM" {
			base = value
		}
	}
	suite := strings.TrimSuffix(strings.TrimPrefix(base, "debian:"), "-slim")
	root := debianRoot(c.t, suite, "apt", "passwd", "debian-archive-keyring")
	working := c.run("buildah", "from", "scratch")
	c.run("buildah", "add", working, root, "/")
	c.run("buildah", "commit", working, "docker.io/library/"+base)
	c.run("buildah", "rm", working)
	c.run("buildah", "build", "--format=docker", "--pull-never", "--build-arg=VERSION="+archiveVersion,
		"--build-arg=TARGETARCH="+runtime.GOARCH, "--tag="+containerImage, context)
	return c.size(containerImage) - c.size("docker.io/library/"+base)
}

func (c *containers) size(image string) int64 {
	c.t.Helper()
	n, err := strconv.ParseInt(c.run("podman", "image", "inspect", "--format={{.Size}}", image), 10, 64)
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// start starts the container with its data in a folder, as compose.yaml does: a read-only root, no capabilities, a
// memory limit.
func (c *containers) start(name, data string) *server {
	c.t.Helper()
	s := &server{address: freeAddress(c.t), data: data}
	cmd := c.command("podman", "run", "--rm", "--pull=never", "--name="+name, "--network=host", "--read-only",
		"--cap-drop=all", "--security-opt=no-new-privileges", fmt.Sprintf("--memory=%d", containerMemory),
		"--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--no-healthcheck", "--volume="+data+":/data",
		"--env=CALOTYPE_LISTEN="+s.address, "--env=CALOTYPE_ACCOUNT_ID="+accountID, "--env=CALOTYPE_API_TOKEN="+token,
		"--env=CALOTYPE_DISK_RESERVE=1MiB", containerImage)
	c.t.Cleanup(func() { _ = c.command("podman", "rm", "--force", "--ignore", name).Run() })
	s.daemon = startDaemon(c.t, cmd, http.DefaultClient, "http://"+s.address+"/readyz")
	return s
}

// TestContainer builds the image and runs it: the steps of the guide, the health check, a restart with the same data,
// SIGTERM, and a complete sandbox.
func TestContainer(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	t.Parallel()
	archive := buildArchive(t, runtime.GOARCH) + ".tar.gz"
	c := newContainers(t)
	size := c.build(archive)
	t.Logf("the image has %.1f MB beyond its base", float64(size)/1e6)
	if size > maxContainer {
		t.Errorf("the image has %d bytes beyond its base, more than %.0f", size, maxContainer)
	}
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(data, containerUser, containerUser); err != nil {
		t.Fatal(err)
	}
	name := "calotype-test-" + strconv.Itoa(os.Getpid())
	s := c.start(name, data)
	if got, want := sandboxOf(t, s), sandboxOf(t, startServer(t, "")); got != want {
		t.Errorf("the sandbox is %s\nbut outside of the container: %s", got, want)
	}
	if memory := fmt.Sprintf(`"memory":%d,`, containerMemory/10*6); !strings.Contains(s.output(), memory) {
		t.Errorf("-memory is not 60 %% of the container's limit:\n%s", s.output())
	}
	c.run("podman", "exec", name, "calotype", "healthcheck")
	followGuide(t, s)
	kept := createUploadURL(t, http.DefaultClient, "http://"+s.address)
	if a := post(t, http.DefaultClient, kept.UploadURL, photo(t, 20_000)); a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	terminate(t, s)

	s = c.start(name, data)
	a := do(t, http.DefaultClient, "GET", "http://"+s.address+"/"+accountHash()+"/"+kept.ID+"/public", nil)
	if a.status != http.StatusOK {
		t.Errorf("after a restart: status %d: %s", a.status, a.body)
	}
	terminate(t, s)
}
