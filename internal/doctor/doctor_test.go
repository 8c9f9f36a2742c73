package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/cfapi"
	"calotype/internal/disk"
	"calotype/internal/imagefile"
	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// testDoctor returns a doctor whose folder is empty, and what it prints.
func testDoctor(t *testing.T, change func(*Config)) (*doctor, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	c := Config{
		Version: "calotype test", Data: dir, SQLite: filepath.Join(dir, "calotype.db"), Blobs: filepath.Join(dir, "blobs"),
		Listen: "127.0.0.1:0", DiskReserve: 1, Worker: []string{"/bin/false"},
		Check: func(*slog.Logger) (cfapi.URLs, error) {
			return cfapi.URLs{API: "http://api", Upload: "http://upload", Delivery: "http://delivery"}, nil
		},
		Connections: func() (int, error) { return 4096, nil },
		DemoKey:     func() error { return nil },
	}
	if change != nil {
		change(&c)
	}
	var out bytes.Buffer
	return newDoctor(c, func(f Finding) {
		fmt.Fprintf(&out, "%-8s %-18s %s; %s\n", f.Result, f.Subject, f.Found, f.Do)
	}), &out
}

// want checks the result of a finding, and a part of its text.
func want(t *testing.T, f Finding, result, part string) {
	t.Helper()
	if f.Result != result || !strings.Contains(f.Found+"; "+f.Do, part) || (f.Do == "") != (result == OK) {
		t.Errorf("%+v, want %s with %q", f, result, part)
	}
}

// lock locks the data folder like a server, until the test ends.
func (d *doctor) lock(t *testing.T) {
	t.Helper()
	lock, err := disk.Lock(t.Context(), d.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lock.Close() })
}

// write writes a file in the data folder, and returns its path.
func (d *doctor) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(d.Data, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFolder(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, nil)
	want(t, d.dataFolder(t.Context())[0], OK, "can be read")
	d.lock(t)
	want(t, d.dataFolder(t.Context())[0], OK, fmt.Sprint("process ", os.Getpid()))
	d.write(t, "lock", "") // as on a full disk
	want(t, d.dataFolder(t.Context())[0], OK, "a server uses it")
	file := d.write(t, "file", "")
	for path, result := range map[string]string{
		file: Failed, filepath.Join(d.Data, "a", "b"): Warning, filepath.Join(file, "a"): Failed,
	} {
		d.Data = path
		want(t, d.dataFolder(t.Context())[0], result, path)
	}
	if os.Geteuid() == 0 {
		return // root may write everywhere: TestDoctorAsOtherUser
	}
	closed := t.TempDir()
	if err := os.Chmod(closed, 0o500); err != nil {
		t.Fatal(err)
	}
	d.Data = closed
	want(t, d.dataFolder(t.Context())[0], Failed, "cannot read and write")
}

// TestFiles: files that the server may not use are named, also to root, who may use all.
func TestFiles(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, func(c *Config) { c.Read, c.Written = []string{"try-key"}, []string{"webhook-secret"} })
	want(t, d.files(t.Context())[0], OK, "the first start creates them")
	d.write(t, "try-key", "a short key")
	d.DemoKey = func() error { return errors.New("try-key holds no key") }
	want(t, d.files(t.Context())[0], Failed, "try-key holds no key")
	d.DemoKey = func() error { return nil }
	want(t, d.files(t.Context())[0], OK, "")
	d.write(t, "try-key", strings.Repeat("k", 26))
	names := []string{d.write(t, "calotype.db", ""), d.write(t, "lock", ""), d.write(t, "webhook-secret", ""),
		filepath.Join(d.Data, "spool")}
	if err := os.Mkdir(names[3], 0o700); err != nil {
		t.Fatal(err)
	}
	deny := func(path string) error { return os.Chmod(path, 0o400) }
	allow := func(path string) error { return os.Chmod(path, 0o700) }
	if os.Geteuid() == 0 { // the folder is the server's, the file is root's
		deny = func(path string) error { return os.Chown(path, 0, 0) }
		allow = func(path string) error { return os.Chown(path, 65534, 65534) }
	}
	for _, path := range append(names, filepath.Join(d.Data, "try-key"), d.Data) {
		if err := allow(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range names {
		want(t, d.files(t.Context())[0], OK, "this user can use")
		if err := deny(path); err != nil {
			t.Fatal(err)
		}
		want(t, d.files(t.Context())[0], Failed, path)
		if err := allow(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDisk(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, nil)
	want(t, d.disk(t.Context())[0], OK, "GiB free")
	d.DiskReserve = 1 << 60
	want(t, d.disk(t.Context())[0], Failed, "refuses uploads")
	if err := os.MkdirAll(filepath.Join(d.Data, "renditions", "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, d.disk(t.Context())[0], Warning, "evicts renditions")
}

// serveReady serves /readyz on an address of this process, which it returns.
func serveReady(t *testing.T, status int, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestAddress(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, nil)
	for _, free := range []string{"127.0.0.1:0", "localhost:0", "[::1]:0", ":0", "0.0.0.0:0", "[::]:0"} {
		d.Listen = free
		if f := d.address(t.Context())[0]; f.Result != OK && !strings.Contains(f.Found, "cannot assign") &&
			!strings.Contains(f.Found, "not supported") { // a machine without IPv6
			t.Errorf("%s: %+v", free, f)
		}
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() { // until the listener is closed
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	ready, busy := serveReady(t, 200, "ready"), serveReady(t, 503, "not ready: out of disk")
	foreign := serveReady(t, 200, "hello")
	// No server uses the folder.
	for address, part := range map[string]string{
		other.Addr().String(): "another program", foreign: "another program",
		ready: "does not use " + d.Data, busy: "does not use " + d.Data,
	} {
		d.Listen, d.MetricsListen = address, address
		want(t, d.address(t.Context())[0], Failed, part)
		want(t, d.metricsAddress(t.Context())[0], Failed, "-metrics-listen")
	}
	d.lock(t) // as the server of the folder: this process, which listens on all four
	for _, holder := range []string{fmt.Sprintln(os.Getpid()), ""} {
		d.write(t, "lock", holder)
		for address, result := range map[string]string{
			ready: OK, busy: Warning, other.Addr().String(): Warning,
		} {
			d.Listen, d.MetricsListen = address, address
			want(t, d.address(t.Context())[0], result, address)
			want(t, d.metricsAddress(t.Context())[0], OK, address)
		}
	}
	// Another process has locked the folder, and does not listen there.
	sleeper := exec.CommandContext(t.Context(), "sleep", "60")
	lock, err := os.Open(filepath.Join(d.Data, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	sleeper.ExtraFiles = []*os.File{lock}
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sleeper.Process.Kill(); sleeper.Wait() }()
	d.write(t, "lock", fmt.Sprintln(sleeper.Process.Pid))
	d.Listen, d.MetricsListen = ready, ready
	want(t, d.address(t.Context())[0], Failed, "does not use "+d.Data)
	want(t, d.metricsAddress(t.Context())[0], Failed, "another program")
	// The number of a process in another container is that of any process here.
	d.write(t, "lock", "1\n")
	want(t, d.address(t.Context())[0], OK, ready)
	want(t, d.metricsAddress(t.Context())[0], OK, ready)
	d.Listen = "nothing"
	want(t, d.address(t.Context())[0], Failed, "-listen")
}

// TestLeavesAddress: a server that starts at the same time gets the address.
func TestLeavesAddress(t *testing.T) {
	// Not parallel: a process that another test starts has this listener until its exec, also after Close.
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := first.Addr().String()
	first.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	looks := 0
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			listenFinding(ctx, address, "-listen")
			looks++
		}
	}()
	for range 2000 {
		server, err := net.Listen("tcp", address)
		if err != nil {
			t.Error(err)
			break
		}
		server.Close()
	}
	cancel()
	if <-ended; looks < 100 {
		t.Errorf("looked %d times", looks)
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	for result, check := range map[string]func(*slog.Logger) (cfapi.URLs, error){
		OK:      nil,
		Warning: func(log *slog.Logger) (cfapi.URLs, error) { log.Warn("the token is short"); return cfapi.URLs{}, nil },
		Failed:  func(*slog.Logger) (cfapi.URLs, error) { return cfapi.URLs{}, errors.New("-url is not valid") },
	} {
		d, _ := testDoctor(t, nil)
		if check != nil {
			d.Check = check
		}
		part := map[string]string{OK: "API at http://api", Warning: "token is short", Failed: "-url is not valid"}[result]
		want(t, d.configuration(t.Context())[0], result, part)
	}
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	var s render.SandboxState
	s.Complete, s.Detail = true, "limits, seccomp"
	want(t, sandboxFindings(s, true)[0], OK, "limits, seccomp")
	s = render.SandboxState{Parts: map[string]int{}, Detail: "no landlock (why)"}
	for _, part := range render.SandboxParts {
		s.Parts[part] = 1
	}
	s.Parts["landlock"] = 0
	for required, result := range map[bool]string{false: Warning, true: Failed} {
		got := sandboxFindings(s, required)
		if len(got) != 2 || got[1].Subject != "sandbox landlock" {
			t.Fatalf("%+v", got)
		}
		want(t, got[0], result, "no landlock (why)")
		want(t, got[1], Warning, "Linux 5.13")
	}
	for _, part := range render.SandboxParts {
		if render.Remedy(part) == "" {
			t.Errorf("the part %s has no remedy", part)
		}
	}
	want(t, workersFinding(render.Status{Memory: 2 << 30}, 4<<30), OK, "2.0 GiB of 4.0 GiB")
	want(t, workersFinding(render.Status{Memory: 5 << 30}, 4<<30), Warning, "lower -memory")
	want(t, workersFinding(render.Status{Memory: 1 << 29}, 4<<30), Warning, "raise -memory")
	broken := fmt.Errorf("it cannot be decoded: %w: why", render.ErrUndecodable)
	want(t, formatFinding(imagefile.HEIC, "libheif 1", nil), OK, "works, with libheif 1")
	want(t, formatFinding(imagefile.HEIC, render.NoHEVC, broken), Warning, "refused, no libheif with HEVC")
	want(t, formatFinding(imagefile.HEIC, "libheif 1", broken), Warning, "libheif-plugin-libde265")
	want(t, formatFinding(imagefile.AVIF, "", broken), Warning, "libheif-plugin-dav1d")
	want(t, formatFinding(imagefile.WebP, "libwebp", broken), Failed, "install a libvips with this format")
	noEncoder := fmt.Errorf("it cannot be encoded: %w: why", render.ErrEncode)
	want(t, formatFinding(imagefile.AVIF, "", noEncoder), Warning, "libheif-plugin-aomenc")
	want(t, formatFinding(imagefile.JPEG, "", noEncoder), Failed, "install a libvips with this format")
	// A decoder package does not help if the worker is the reason.
	for err, result := range map[error]string{
		render.ErrWorker: Failed, render.ErrNoWorker: Failed, render.ErrBusy: Warning,
		context.DeadlineExceeded: Warning,
	} {
		for _, format := range []imagefile.Format{imagefile.HEIC, imagefile.AVIF, imagefile.JPEG} {
			f := formatFinding(format, "", fmt.Errorf("it cannot be decoded: %w", err))
			want(t, f, result, err.Error())
			if strings.Contains(f.Do, "install") || strings.Contains(f.Do, "plugin") {
				t.Errorf("%v: %+v", err, f)
			}
		}
	}
}

// TestWithoutWorkers: workers that end or hang fail one check.
func TestWithoutWorkers(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"ends": {"/bin/false"}, "hangs": {"/bin/sleep", "60"}, "is missing": {"/nowhere/calotype"},
	} {
		d, out := testDoctor(t, nil)
		d.Worker, d.limit, d.engineLimit = command, 5*time.Second, time.Second
		began := time.Now()
		d.run(t.Context())
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("a worker that %s: %v", name, took)
		}
		if !strings.Contains(out.String(), "failed   engine") || strings.Count(out.String(), "failed ") != 1 ||
			!strings.Contains(out.String(), " installation ") {
			t.Errorf("a worker that %s:\n%s", name, out)
		}
	}
}

func TestCheckIsBounded(t *testing.T) {
	t.Parallel()
	d, out := testDoctor(t, nil)
	d.limit = 10 * time.Millisecond
	never := make(chan struct{})
	defer close(never)
	if d.check(t.Context(), "hung", func(context.Context) []Finding { <-never; return nil }) {
		t.Error("the check has ended")
	}
	if !strings.Contains(out.String(), "failed   hung               no result within 10ms") {
		t.Errorf("printed %s", out)
	}
}

// TestInterrupted: nothing is reported after an interruption, whatever a check then finds.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	d, out := testDoctor(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	interrupt := func(context.Context) []Finding {
		cancel()
		return []Finding{failed("do", "context canceled")}
	}
	if d.check(ctx, "interrupted", interrupt) || d.check(ctx, "later", interrupt) || out.Len() > 0 {
		t.Errorf("printed %s", out)
	}
	d.run(ctx)
	if len(d.findings) > 0 {
		t.Errorf("%+v", d.findings)
	}
	started := startedOn(t)
	db, err := sqldb.OpenToRead(t.Context(), started.dsn())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if f := integrity(ctx, db)[0]; f.Result == OK {
		t.Errorf("an interrupted check: %+v", f)
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for ahead, result := range map[time.Duration]string{
		0: OK, 3 * time.Second: OK, -6 * time.Second: Warning, time.Minute: Warning,
		-3 * time.Minute: Failed, 24 * time.Hour: Failed,
	} {
		want(t, skewFinding("S3", ahead), result, "from the clock of S3")
	}
	d, _ := testDoctor(t, nil)
	if f := d.clocks(t.Context(), &state{})[0]; !strings.Contains(f.Found, "the kernel") {
		t.Errorf("without another clock: %+v", f)
	}
	// A clock that was not read is not ok.
	d.DB, d.Blobs = "postgres://host/x", "s3://bucket"
	found := d.clocks(t.Context(), &state{})
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	for _, f := range found {
		want(t, f, Warning, "was not read")
	}
}
