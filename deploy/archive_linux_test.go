package deploy

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// archiveVersion is the version of the archives that these tests build.
const archiveVersion = "0.0.1-test"

// builds has a build of the archives of each architecture, in a folder that removeBuilds deletes.
var builds = struct {
	sync.Mutex
	folder string
	done   map[string]error
}{done: map[string]error{}}

// removeBuilds deletes what the tests have built.
func removeBuilds() error {
	if builds.folder == "" {
		return nil
	}
	return os.RemoveAll(builds.folder)
}

// buildArchive builds the archive and the package of an architecture, once, and returns their path without its end.
func buildArchive(t *testing.T, arch string) string {
	t.Helper()
	for _, name := range []string{"npm", "apt-get", "dpkg-deb", "cmake", "cyclonedx-gomod",
		map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch] + "-linux-gnu-g++"} {
		findProgram(t, name)
	}
	builds.Lock()
	defer builds.Unlock()
	if err, done := builds.done[arch]; !done {
		err = runDist(t, arch)
		builds.done[arch] = err
		if err != nil {
			t.Fatal(err)
		}
	} else if err != nil {
		t.Fatal("the archive was not built")
	}
	return filepath.Join(builds.folder, "calotype_"+archiveVersion+"_linux_"+arch)
}

// runDist builds an architecture into the folder of builds, which the caller has locked.
func runDist(t *testing.T, arch string) error {
	t.Helper()
	if builds.folder == "" {
		var err error
		if builds.folder, err = os.MkdirTemp("", "calotype-dist-"); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(t.Context(), "../scripts/dist", arch)
	cmd.Env = append(os.Environ(), "VERSION="+archiveVersion, "DIST="+builds.folder)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("scripts/dist %s: %w\n%s", arch, err, out)
	}
	return nil
}

// TestArchive runs the archive in roots of Debian that have their essential packages only: the steps of the guide,
// with each kind of picture.
func TestArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	t.Parallel()
	complete := sandboxOf(t, startServer(t, ""))
	for _, suite := range []string{"bullseye", "trixie"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			root := debianRoot(t, suite)
			top := unpack(t, buildArchive(t, runtime.GOARCH)+".tar.gz", filepath.Join(root, "opt"))
			s := startInRoot(t, root, strings.TrimPrefix(top, root)+"/calotype")
			if got := sandboxOf(t, s); got != complete {
				t.Errorf("the sandbox is %s\nbut outside of the root: %s", got, complete)
			}
			followGuide(t, s)
			terminate(t, s)
		})
	}
}

// startInRoot starts the program with another root.
func startInRoot(t *testing.T, root, program string, env ...string) *server {
	t.Helper()
	s := &server{address: freeAddress(t), data: "/var/lib/calotype"}
	cmd := inRoot(t, root, program, "serve", "-listen", s.address, "-data", s.data, "-log-format", "json")
	cmd.Env = append(append(cmd.Env, env...), "CALOTYPE_ACCOUNT_ID="+accountID, "CALOTYPE_API_TOKEN="+token,
		"CALOTYPE_DISK_RESERVE=1MiB")
	s.daemon = startDaemon(t, cmd, http.DefaultClient, "http://"+s.address+"/readyz")
	return s
}

// followGuide does the steps of README.md with pictures of several formats, and wants each delivered as WebP.
func followGuide(t *testing.T, s *server) {
	t.Helper()
	base := "http://" + s.address
	for name, content := range guidePictures(t) {
		p := createUploadURL(t, http.DefaultClient, base, "metadata", `{"key":"value"}`)
		if a := post(t, http.DefaultClient, p.UploadURL, content); a.status != http.StatusOK {
			t.Errorf("%s: status %d: %s\n%s", name, a.status, a.body, s.output())
			continue
		}
		a := do(t, http.DefaultClient, "GET", base+"/client/v4/accounts/"+accountID+"/images/v1/"+p.ID, nil,
			"Authorization", "Bearer "+token)
		var details picture
		if code := a.result(t, &details); code != 0 || details.Draft || len(details.Variants) != 1 {
			t.Errorf("%s: %s", name, a.body)
			continue
		}
		a = do(t, http.DefaultClient, "GET", details.Variants[0], nil, "Accept", "image/webp")
		if a.status != http.StatusOK || !isWebP(a.body) {
			t.Errorf("%s: status %d, %s: %.80q", name, a.status, a.header.Get("Content-Type"), a.body)
		}
	}
}

func isWebP(content []byte) bool {
	return len(content) > 12 && string(content[:4]) == "RIFF" && string(content[8:12]) == "WEBP"
}

// guidePictures returns a picture of each format by its name: a made JPEG, the others of the corpus.
func guidePictures(t *testing.T) map[string][]byte {
	t.Helper()
	pictures := map[string][]byte{"JPEG": photo(t, 20_000)}
	corpus := os.Getenv("CALOTYPE_CORPUS")
	if corpus == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("CALOTYPE_CORPUS names no corpus")
		}
		for _, name := range []string{"AVIF", "HEIC"} {
			pictures[name] = []byte(readFile(t, "../internal/render/probe/probe."+strings.ToLower(name)))
		}
		return pictures
	}
	for name, file := range map[string]string{
		"AVIF": "avif/linku__kimono.crop.avif", "HEIC": "heic/libheif__example.heic",
	} {
		content, err := os.ReadFile(filepath.Join(corpus, file))
		if err != nil {
			t.Fatal(err)
		}
		pictures[name] = content
	}
	return pictures
}

// terminate ends a server by SIGTERM and wants it to end well.
func terminate(t *testing.T, s *server) {
	t.Helper()
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.gone
	if code := s.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("SIGTERM: it ended with %d\n%s", code, s.output())
	}
}

// TestArchiveContents looks at the files in an archive: no path of the machine that built it, the licences, and a list
// of parts that knows them.
func TestArchiveContents(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	t.Parallel()
	archive := buildArchive(t, runtime.GOARCH)
	top := unpack(t, archive+".tar.gz", t.TempDir())
	for _, name := range []string{"calotype", "LICENSE", "NOTICE", "README.md", "calotype.service",
		"lib/libvips-cpp.so.8.18.7", "lib/libheif.so.1", "lib/libstdc++.so.6", "lib/libgcc_s.so.1", "licences/LGPL-3", "licences/GPL-3",
		"completions/calotype.bash", "completions/calotype.zsh", "completions/calotype.fish", "man/calotype.1",
		"deploy/calotype-backup.service", "deploy/calotype-backup.timer", "deploy/nginx.conf", "deploy/nginx-accel.conf",
		"deploy/Caddyfile", "deploy/grafana.json", "deploy/rules.yml"} {
		if info, err := os.Stat(filepath.Join(top, name)); err != nil || info.Size() == 0 {
			t.Errorf("the archive lacks %s: %v", name, err)
		}
	}
	if got := strings.TrimSpace(runIn(t, top, "./calotype", "version")); !strings.HasPrefix(got, "calotype "+archiveVersion) {
		t.Errorf("version is %q", got)
	}
	here, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if program := readFile(t, filepath.Join(top, "calotype")); strings.Contains(program, here) {
		t.Errorf("the program contains the path %s", here)
	}
	notice := readFile(t, filepath.Join(top, "NOTICE"))
	checkLibraries(t, notice)
	var bom struct {
		BOMFormat  string
		Components []struct {
			Name, Version, Purl string
			Components          []struct{ Name string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, archive+".cdx.json")), &bom); err != nil || bom.BOMFormat != "CycloneDX" {
		t.Fatalf("the list of parts: %q, %v", bom.BOMFormat, err)
	}
	inside := []string{}
	for _, one := range bom.Components {
		inside = append(inside, one.Name)
		if strings.HasPrefix(one.Purl, "pkg:golang/github.com/") && !strings.Contains(notice, one.Name+" "+one.Version) {
			t.Errorf("NOTICE lacks %s %s", one.Name, one.Version)
		}
		for _, part := range one.Components {
			inside = append(inside, part.Name)
		}
	}
	for _, want := range []string{"github.com/mattn/go-sqlite3", "svelte", "libstdc++6", "vips", "webp", "aom", "mozjpeg", "libde265"} {
		if !slices.Contains(inside, want) {
			t.Errorf("the list of parts lacks %s", want)
		}
	}
}

// runIn runs a command in a folder and returns its output.
func runIn(t *testing.T, folder, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestArchiveRepeats builds the archive twice, and looks for its sums in SHA256SUMS.
func TestArchiveRepeats(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	path := buildArchive(t, runtime.GOARCH)
	ends := []string{".tar.gz", ".deb", ".cdx.json"}
	sums := func() (all []string) {
		for _, end := range ends {
			all = append(all, fmt.Sprintf("%x", sha256.Sum256([]byte(readFile(t, path+end)))))
		}
		return all
	}
	first := sums()
	builds.Lock()
	err := runDist(t, runtime.GOARCH)
	builds.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	listed := readFile(t, filepath.Join(filepath.Dir(path), "SHA256SUMS"))
	for i, sum := range sums() {
		if sum != first[i] {
			t.Errorf("the second build of %s differs", ends[i])
		}
		if !strings.Contains(listed, sum+"  "+filepath.Base(path)+ends[i]+"\n") {
			t.Errorf("SHA256SUMS lacks %s", ends[i])
		}
	}
}

// TestPackage installs the package in a root of Debian 11, runs its program, upgrades and purges it.
func TestPackage(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	t.Parallel()
	root := debianRoot(t, "bullseye", "adduser")
	content, err := os.ReadFile(buildArchive(t, runtime.GOARCH) + ".deb")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "calotype.deb"), content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	runInRoot(t, root, "/usr/bin/dpkg", "--install", "/calotype.deb")
	user := runInRoot(t, root, "/usr/bin/getent", "passwd", "calotype")
	if !strings.Contains(user, ":/var/lib/calotype:") || !strings.Contains(user, "nologin") {
		t.Errorf("the user is %s", user)
	}
	unit := readFile(t, filepath.Join(root, "usr/lib/systemd/system/calotype.service"))
	if !strings.Contains(unit, "\nExecStart=/usr/bin/calotype serve\n") {
		t.Errorf("the unit is\n%s", unit)
	}
	for _, name := range []string{"lib/systemd/system/calotype-backup.service", "lib/systemd/system/calotype-backup.timer",
		"share/doc/calotype/deploy/grafana.json", "share/doc/calotype/deploy/rules.yml"} {
		if readFile(t, filepath.Join(root, "usr", name)) != readFile(t, filepath.Base(name)) {
			t.Errorf("the package has another %s", name)
		}
	}
	s := startInRoot(t, root, "/usr/bin/calotype")
	followGuide(t, s)
	terminate(t, s)

	settings := filepath.Join(root, "etc/calotype/environment")
	writeFile(t, settings, "CALOTYPE_LISTEN=:80\n")
	runInRoot(t, root, "/usr/bin/dpkg", "--install", "--force-confdef", "--force-confold", "/calotype.deb")
	if got := readFile(t, settings); got != "CALOTYPE_LISTEN=:80\n" {
		t.Errorf("an upgrade changes the settings: %q", got)
	}
	data := filepath.Join(root, "var/lib/calotype/calotype.db")
	runInRoot(t, root, "/usr/bin/dpkg", "--purge", "calotype")
	if _, err := os.Stat(data); err != nil {
		t.Errorf("a purge deletes the data: %v", err)
	}
	if _, err := os.Stat(settings); err == nil {
		t.Error("a purge leaves the settings")
	}
	runInRoot(t, root, "/usr/bin/dpkg", "--install", "/calotype.deb")
	runInRoot(t, root, "/usr/bin/env", "CALOTYPE_PURGE_DATA=yes", "dpkg", "--purge", "calotype")
	if _, err := os.Stat(data); err == nil {
		t.Error("a purge with CALOTYPE_PURGE_DATA=yes leaves the data")
	}
}

// TestArm64 runs the archive of the other architecture under qemu: the smaller half of the corpus' good pictures.
// make release builds and tests it; CALOTYPE_ARM64=yes does so here.
func TestArm64(t *testing.T) {
	if os.Getenv("CALOTYPE_ARM64") != "yes" || runtime.GOARCH != "amd64" {
		t.Skip("make release tests arm64")
	}
	t.Parallel()
	needRoot(t)
	registerQemu(t)
	archive := buildArchive(t, "arm64")
	// The program needs the C library only.
	root := t.TempDir()
	runIn(t, "../.tools/sysroot/arm64", "cp", "-R", "lib", root)
	for _, name := range []string{"proc", "dev", "tmp"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program := strings.TrimPrefix(unpack(t, archive+".tar.gz", root), root) + "/calotype"
	if got := versionUnderQemu(t, root, program); !strings.HasPrefix(got, "calotype "+archiveVersion) {
		t.Errorf("version is %q", got)
	}
	s := startInRoot(t, root, program, "CALOTYPE_WORKER_TIMEOUT=10m") // qemu takes ten times the processor time
	t.Logf("under qemu the sandbox is %s", sandboxOf(t, s))
	followGuide(t, s)
	base := "http://" + s.address
	for name, content := range smallPictures(t) {
		p := createUploadURL(t, http.DefaultClient, base)
		if a := post(t, http.DefaultClient, p.UploadURL, content); a.status != http.StatusOK {
			t.Errorf("%s: status %d: %s", name, a.status, a.body)
			continue
		}
		a := answer{status: http.StatusServiceUnavailable} // until a slow rendering is ready
		for i := 0; i < 10 && a.status == http.StatusServiceUnavailable; i++ {
			a = do(t, http.DefaultClient, "GET", base+"/"+accountHash()+"/"+p.ID+"/public", nil, "Accept", "image/webp")
		}
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "image/") {
			t.Errorf("%s: status %d, %s", name, a.status, a.header.Get("Content-Type"))
		}
	}
	terminate(t, s)
}

// smallPictures returns the smaller half, by bytes, of the pictures that the corpus wants accepted.
func smallPictures(t *testing.T) map[string][]byte {
	t.Helper()
	corpus := os.Getenv("CALOTYPE_CORPUS")
	if corpus == "" {
		lack(t, "CALOTYPE_CORPUS names no corpus")
	}
	type file struct {
		name    string
		content []byte
	}
	var files []file
	for line := range strings.Lines(readFile(t, filepath.Join(corpus, "MANIFEST.tsv"))) {
		fields := strings.Split(line, "\t")
		if fields[2] != "accept" || strings.HasPrefix(fields[4], "SVG") {
			continue
		}
		files = append(files, file{fields[0], []byte(readFile(t, filepath.Join(corpus, fields[0])))})
	}
	slices.SortFunc(files, func(a, b file) int { return len(a.content) - len(b.content) })
	small := map[string][]byte{}
	for _, one := range files[:len(files)/2] {
		small[one.name] = one.content
	}
	if len(small) < 50 {
		t.Fatalf("the corpus has %d small pictures", len(small))
	}
	return small
}

// checkLibraries checks that NOTICE has a text for each library in libvips' own table of them.
func checkLibraries(t *testing.T, notice string) {
	t.Helper()
	_, table, ok := strings.Cut(notice, "| Library ")
	table, _, end := strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if !ok || !end || len(rows) < 20 {
		t.Fatalf("NOTICE has no table of libraries: %q", table)
	}
	var texts []string
	for line := range strings.Lines(notice) {
		if _, name, ok := strings.Cut(line, "inside libvips: "); ok {
			texts = append(texts, name)
		}
	}
	for _, row := range rows[2:] {
		name := strings.TrimSpace(strings.Split(row, "|")[1])
		if name == "zlib-ng" {
			name = "zlib1g" // Debian's name of the original
		}
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, name) }) {
			t.Errorf("NOTICE has no text for %s", name)
		}
	}
}
