package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"calotype/internal/accounts"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
	"calotype/internal/sqldb"
)

// testDoctor returns a doctor whose folder is empty, and what it prints.
func testDoctor(t *testing.T, change func(*Config)) (*doctor, *bytes.Buffer) {
	t.Helper()
	c := Config{Listen: "127.0.0.1:0", DiskReserve: 1, MaxUploadBytes: 1, SpoolBytes: 4, CacheBytes: 1,
		EventRetention: minEventRetention}
	c.Data = t.TempDir()
	if change != nil {
		change(&c)
	}
	var out bytes.Buffer
	d := newDoctor(c, &out)
	d.worker = []string{"/bin/false"}
	return d, &out
}

// want checks the result of a finding, and a part of its text.
func want(t *testing.T, f finding, result, part string) {
	t.Helper()
	if f.Result != result || !strings.Contains(f.Found+"; "+f.Do, part) || (f.Do == "") != (result == resultOK) {
		t.Errorf("%+v, want %s with %q", f, result, part)
	}
}

func TestDoctorFolder(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, nil)
	want(t, d.dataFolder(t.Context())[0], resultOK, "can be read")
	lock, err := lockData(t.Context(), d.Data)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	want(t, d.dataFolder(t.Context())[0], resultOK, fmt.Sprint("process ", os.Getpid()))
	file := filepath.Join(d.Data, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, result := range map[string]string{
		file: resultFailed, filepath.Join(d.Data, "a", "b"): resultWarning, filepath.Join(file, "a"): resultFailed,
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
	want(t, d.dataFolder(t.Context())[0], resultFailed, "cannot read and write")
}

func TestDoctorDisk(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, nil)
	want(t, d.disk(t.Context())[0], resultOK, "GiB free")
	d.DiskReserve = 1 << 60
	want(t, d.disk(t.Context())[0], resultFailed, "refuses uploads")
	if err := os.MkdirAll(filepath.Join(d.Data, "renditions", "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	want(t, d.disk(t.Context())[0], resultWarning, "evicts renditions")
}

func TestDoctorAddress(t *testing.T) {
	t.Parallel()
	d, _ := testDoctor(t, nil)
	want(t, d.address(t.Context())[0], resultOK, "is free")
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
	d.Listen, d.MetricsListen = other.Addr().String(), other.Addr().String()
	want(t, d.address(t.Context())[0], resultFailed, "another program")
	want(t, d.metricsAddress(t.Context())[0], resultFailed, "-metrics-listen")
	for text, test := range map[string]struct {
		status int
		result string
	}{
		"ready": {200, resultOK}, "not ready: out of disk": {503, resultWarning}, "hello": {200, resultFailed},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(test.status)
			fmt.Fprintln(w, text)
		}))
		defer server.Close()
		d.Listen = server.Listener.Addr().String()
		want(t, d.address(t.Context())[0], test.result, "")
	}
	d.Listen = "nothing"
	want(t, d.address(t.Context())[0], resultFailed, "-listen")
}

func TestDoctorConfiguration(t *testing.T) {
	t.Parallel()
	for result, change := range map[string]func(*Config){
		resultOK:      nil,
		resultWarning: func(c *Config) { c.APIToken = "short" },
		resultFailed:  func(c *Config) { c.URL = "images.example.com/path" },
	} {
		d, _ := testDoctor(t, change)
		want(t, d.configuration(t.Context())[0], result, "")
	}
	d, _ := testDoctor(t, func(c *Config) { c.TrustedProxies = "everywhere" })
	want(t, d.configuration(t.Context())[0], resultFailed, "-trusted-proxies")
}

func TestDoctorWorkers(t *testing.T) {
	t.Parallel()
	var s render.SandboxState
	s.Complete, s.Detail = true, "limits, seccomp"
	want(t, sandboxFindings(s, true)[0], resultOK, "limits, seccomp")
	s = render.SandboxState{Parts: map[string]int{}, Detail: "no landlock (why)"}
	for _, part := range render.SandboxParts {
		s.Parts[part] = 1
	}
	s.Parts["landlock"] = 0
	for required, result := range map[bool]string{false: resultWarning, true: resultFailed} {
		got := sandboxFindings(s, required)
		if len(got) != 2 || got[1].Subject != "sandbox landlock" {
			t.Fatalf("%+v", got)
		}
		want(t, got[0], result, "no landlock (why)")
		want(t, got[1], resultWarning, "Linux 5.13")
	}
	for _, part := range render.SandboxParts {
		if render.Remedy(part) == "" {
			t.Errorf("the part %s has no remedy", part)
		}
	}
	want(t, workersFinding(render.Status{Memory: 2 << 30}, 4<<30), resultOK, "2.0 GiB of 4.0 GiB")
	want(t, workersFinding(render.Status{Memory: 5 << 30}, 4<<30), resultWarning, "lower -memory")
	want(t, workersFinding(render.Status{Memory: 1 << 29}, 4<<30), resultWarning, "raise -memory")
	broken := errors.New("no decoder")
	want(t, formatFinding(imagefile.HEIC, "", nil), resultOK, "works")
	want(t, formatFinding(imagefile.HEIC, "libheif", broken), resultWarning, "libheif-plugin-libde265")
	want(t, formatFinding(imagefile.WebP, "libwebp", broken), resultFailed, "no decoder")
}

// TestDoctorWithoutWorkers: workers that end or hang fail one check, and version says so.
func TestDoctorWithoutWorkers(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"ends": {"/bin/false"}, "hangs": {"/bin/sleep", "60"}, "is missing": {"/nowhere/calotype"},
	} {
		d, out := testDoctor(t, nil)
		d.worker, d.limit = command, time.Second
		began := time.Now()
		d.run(t.Context())
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("a worker that %s: %v", name, took)
		}
		if !strings.Contains(out.String(), "failed   engine") || strings.Count(out.String(), "failed ") != 1 ||
			!strings.Contains(out.String(), " installation ") {
			t.Errorf("a worker that %s:\n%s", name, out)
		}
		if got := engineVersions(t.Context(), command); !strings.HasPrefix(got, "engine  missing: ") {
			t.Errorf("a worker that %s: %s", name, got)
		}
	}
}

func TestDoctorCheckIsBounded(t *testing.T) {
	t.Parallel()
	d, out := testDoctor(t, nil)
	d.limit = 10 * time.Millisecond
	never := make(chan struct{})
	defer close(never)
	if d.check(t.Context(), "hung", func(context.Context) []finding { <-never; return nil }) {
		t.Error("the check has ended")
	}
	if !strings.Contains(out.String(), "failed   hung               no result within 10ms") {
		t.Errorf("printed %s", out)
	}
}

func TestDoctorClock(t *testing.T) {
	t.Parallel()
	for ahead, result := range map[time.Duration]string{
		0: resultOK, 3 * time.Second: resultOK, -6 * time.Second: resultWarning, time.Minute: resultWarning,
		-3 * time.Minute: resultFailed, 24 * time.Hour: resultFailed,
	} {
		want(t, skewFinding("S3", ahead), result, "from the clock of S3")
	}
	want(t, clocks(t.Context(), doctorState{})[0], resultOK, "not compared")
}

// state runs the checks of the state, and returns the findings by their subject.
func (d *doctor) state(t *testing.T) map[string]finding {
	t.Helper()
	d.findings = nil
	d.checkState(t.Context())
	by := map[string]finding{}
	for _, f := range d.findings {
		by[f.Subject] = f
	}
	return by
}

// startedOn returns a doctor whose state is that of a server that has started.
func startedOn(t *testing.T) *doctor {
	t.Helper()
	d, _ := testDoctor(t, nil)
	db, err := d.openDB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blobs, err := d.openBlobs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	core := images.New(images.Config{DB: db, Blobs: blobs, Dir: d.Data, DiskReserve: 1})
	defer core.Close()
	if _, _, err := core.Accounts.SetUp(t.Context(), accounts.Setup{}); err != nil {
		t.Fatal(err)
	}
	if err := core.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDoctorState(t *testing.T) {
	t.Parallel()
	d := startedOn(t)
	for subject, part := range map[string]string{
		"database": "SQLite 3.", "schema": "", "integrity": "no page", "store": "1 objects",
		"installation": "belong to the installation", "clock": "not compared",
	} {
		want(t, d.state(t)[subject], resultOK, part)
	}
	other := startedOn(t)
	d.Blobs = other.blobs()
	want(t, d.state(t)["installation"], resultFailed, "belongs to the installation")
	d.Blobs = t.TempDir()
	want(t, d.state(t)["installation"], resultFailed, "not the one this database was used with")
	d.Blobs = filepath.Join(t.TempDir(), "none")
	want(t, d.state(t)["installation"], resultFailed, "does not exist")
	d.Blobs, other.Data, other.Blobs = "", t.TempDir(), other.blobs()
	want(t, other.state(t)["database"], resultOK, "does not exist")
	want(t, other.state(t)["installation"], resultFailed, "the database is new")
	d.Blobs = "s3://key:canary-secret@bucket"
	for _, f := range d.state(t) {
		if strings.Contains(fmt.Sprint(f), "canary") {
			t.Errorf("%+v", f)
		}
	}
}

func TestDoctorSchema(t *testing.T) {
	t.Parallel()
	d := startedOn(t)
	db, err := sqldb.Open(t.Context(), d.dsn())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	got := d.state(t)
	want(t, got["schema"], resultFailed, "schema 9999")
	want(t, got["installation"], resultWarning, "was not checked")
	if err := os.WriteFile(d.dsn(), bytes.Repeat([]byte("damage"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, d.state(t)["database"], resultFailed, "not a database")
}

// TestDoctorWrongPassword: neither a wrong password nor a server that quotes it shows it.
func TestDoctorWrongPassword(t *testing.T) {
	t.Parallel()
	const canary = "canary-password-8F3K"
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() { // until the listener is closed
		for {
			conn, err := server.Accept()
			if err != nil {
				return
			}
			// Requests the password in plain text, and refuses it.
			fmt.Fprint(conn, "R\x00\x00\x00\x08\x00\x00\x00\x03")
			text := "SFATAL\x00C28P01\x00Mpassword authentication failed, not " + canary + "\x00\x00"
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = conn.Read(make([]byte, 4096))
			fmt.Fprintf(conn, "E\x00\x00\x00%c%s", len(text)+4, text)
			conn.Close()
		}
	}()
	d, out := testDoctor(t, func(c *Config) {
		c.DB = "postgres://me:" + canary + "@" + server.Addr().String() + "/x?sslmode=disable"
	})
	want(t, d.state(t)["database"], resultFailed, "[secret]")
	d.DB = "mysql://me:" + canary + "@host/x"
	want(t, d.state(t)["database"], resultFailed, "-db is not valid")
	d.DB = "postgres://me:" + canary + "@host:port/x"
	want(t, d.state(t)["database"], resultFailed, "not valid")
	if strings.Contains(out.String(), canary) {
		t.Errorf("printed %s", out)
	}
}
