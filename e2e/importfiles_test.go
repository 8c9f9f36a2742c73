package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"calotype/internal/blob/blobtest"
)

// TestImportFiles imports files from a folder and from a bucket, beside a running server. Each import is killed
// half-way and run again. CALOTYPE_TEST_FILES is the number of pictures.
func TestImportFiles(t *testing.T) {
	t.Parallel()
	n := 150
	if text := os.Getenv("CALOTYPE_TEST_FILES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	f := newFiles(t, n)
	t.Run("folder", func(t *testing.T) {
		f.addTraps(t)
		f.importInto(t, newServer(t), nil, "folder", f.dir)
	})
	t.Run("s3", func(t *testing.T) {
		gateway := blobtest.StartGateway(t)
		f.putInto(t, gateway)
		f.importInto(t, newServer(t), gateway.Environ(), "s3", gateway.URI("some pictures"))
	})
}

// files are pictures in a folder, and the file of metadata.
type files struct {
	dir, metadata string
	bodies        map[string][]byte // by path
	ids           map[string]string // by path
	private       map[string]bool   // by path
}

// newFiles makes n small pictures that all differ. Each seventh has a private image with a UUID, each fifth a creator
// and metadata.
func newFiles(t *testing.T, n int) *files {
	t.Helper()
	f := &files{
		dir: filepath.Join(t.TempDir(), "pictures"), metadata: filepath.Join(t.TempDir(), "metadata.csv"),
		bodies: map[string][]byte{}, ids: map[string]string{}, private: map[string]bool{},
	}
	rows := "path,id,creator,requireSignedURLs,meta.number\n"
	for i := range n {
		path, body := smallFile(t, i)
		f.bodies[path], f.ids[path] = body, path
		switch {
		case i%7 == 0:
			f.ids[path] = fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)
			f.private[path] = true
			rows += fmt.Sprintf("%s,%s,,true,\n", path, f.ids[path])
		case i%5 == 0:
			rows += fmt.Sprintf("%s,,\"creator, %d\",false,%d\n", path, i%3, i)
		}
		file := filepath.Join(f.dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(f.metadata, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

// smallFile returns the path and the bytes of the picture of a number.
func smallFile(t *testing.T, i int) (path string, body []byte) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 32+i%64, 32+i%48))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			img.SetRGBA(x, y, color.RGBA{uint8(x * i), uint8(y*3 + i>>8), uint8(i), 255})
		}
	}
	var out bytes.Buffer
	path = fmt.Sprintf("d%03d/ü %05d.png", i%200, i)
	err := png.Encode(&out, img)
	if i%2 == 0 {
		path = fmt.Sprintf("d%03d/p%05d.jpg", i%200, i)
		out.Reset()
		err = jpeg.Encode(&out, img, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if i%2 == 0 {
		return path, tagged(out.Bytes(), i)
	}
	return path, out.Bytes()
}

// traps are files of the folder that are no images, with the reason in the report; "" for those that are skipped.
var traps = map[string]string{
	"notes.txt": "non-image file name extension", "text.jpg": "must have image/jpeg", "keys/a.jpg": "keys",
	"empty.png": "empty", ".DS_Store": "", ".git/a.jpg": "",
}

// addTraps adds files to the folder that are no images, links and a pipe.
func (f *files) addTraps(t *testing.T) {
	t.Helper()
	outside := filepath.Join(t.TempDir(), "secret.jpg")
	body := slices.Concat([][]byte{f.bodies[slices.Sorted(maps.Keys(f.bodies))[0]]}...)
	for path := range traps {
		content := body
		if strings.Contains(path, "t") && !strings.HasPrefix(path, ".git") {
			content = []byte("this is a text")
		}
		if path == "empty.png" {
			content = nil
		}
		file := filepath.Join(f.dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(outside, body, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link.jpg": outside, "above": "..", "d000/in.jpg": "../notes.txt"} {
		if err := os.Symlink(to, filepath.Join(f.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(f.dir, "pipe.jpg"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// putInto stores the pictures in a bucket, with one object that is no picture.
func (f *files) putInto(t *testing.T, g blobtest.Gateway) {
	t.Helper()
	paths := make(chan string)
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for path := range paths {
				body := f.bodies[path]
				if body == nil {
					body = []byte("this is a text")
				}
				if err := g.PutObject(t.Context(), "some pictures/"+path, body); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for path := range f.bodies {
		paths <- path
	}
	for _, path := range []string{"text.jpg", ".hidden/a.jpg"} {
		paths <- path
	}
	close(paths)
	clients.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// command is an import of the files into target.
func (f *files) command(target *server, env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append(append([]string{"import"}, args...), "-data", target.data,
		"-metadata", f.metadata)...)
	cmd.Env = append(append(os.Environ(), "CALOTYPE_DISK_RESERVE=1MiB"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// importInto imports into target, is killed half-way, stopped by Ctrl-C, and imports the rest.
func (f *files) importInto(t *testing.T, target *server, env []string, args ...string) {
	t.Helper()
	plan := f.plan(t, target, env, args...)
	if plan.Images["import"] < len(f.bodies) || target.count() != 0 {
		t.Errorf("the plan is %+v, and %d images are there", plan.Images, target.count())
	}
	f.interrupted(t, syscall.SIGKILL, target, f.command(target, env, args...))
	said := f.interrupted(t, syscall.SIGINT, target, f.command(target, env, args...))
	if !strings.Contains(said, "the import stopped at ") || !strings.Contains(said, "run the command again to continue") ||
		strings.Contains(said, "context canceled") || strings.Contains(said, "left") {
		t.Errorf("after Ctrl-C the import prints\n%s", said)
	}
	before, began := target.count(), time.Now()
	last := f.command(target, env, args...)
	text, err := last.CombinedOutput()
	took := time.Since(began)
	if last.ProcessState.ExitCode() != 3 {
		t.Fatalf("the last import: %v\n%s", err, text)
	}
	t.Logf("%d of %d images were there, the rest took %v: %.0f a second", before, len(f.bodies), took,
		float64(len(f.bodies)-before)/took.Seconds())
	f.want(t, target)
	f.wantFileReport(t, target, args[0] == "folder")
	again := f.command(target, env, append(args, "-verify")...)
	if text, _ := again.CombinedOutput(); again.ProcessState.ExitCode() != 3 ||
		!strings.Contains(strings.ReplaceAll(string(text), ",", ""),
			fmt.Sprintf("%d images exist here 0 of them imported now", len(f.bodies))) {
		t.Errorf("a repeated import prints\n%s", text)
	}
}

// interrupted runs an import, and sends it a signal when it has imported half of the rest. It returns what the import
// prints.
func (f *files) interrupted(t *testing.T, signal syscall.Signal, target *server, cmd *exec.Cmd) string {
	t.Helper()
	out := &logBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	began, before, most := time.Now(), target.count(), int64(0)
	n := before + (len(f.bodies)-before)/2
	poll := 20 * time.Millisecond
	if len(f.bodies) > 1000 {
		poll = time.Second // it takes processor time from the import
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(20 * time.Minute); target.count() < n; {
		select {
		case err := <-ended:
			t.Fatalf("the import ended before %d images were there: %v\n%s", n, err, out)
		case <-time.After(poll):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d images are not there in time:\n%s", n, out)
		}
		sum := int64(0)
		for _, pid := range processTree(t, cmd.Process.Pid) {
			if used, err := memory(pid); err == nil {
				sum += used
			}
		}
		most = max(most, sum)
	}
	_ = cmd.Process.Signal(signal)
	<-ended
	after := target.count()
	t.Logf("%d images in %v: %.0f a second; the memory of all processes was at most %d MiB", after-before,
		time.Since(began), float64(after-before)/time.Since(began).Seconds(), most>>20)
	if after >= len(f.bodies) {
		t.Fatalf("the import was not stopped half-way: %d images are there", after)
	}
	return out.String()
}

// A filePlan is the JSON of a dry run.
type filePlan struct {
	Images   map[string]int
	Problems []struct{ ID, Outcome, Reason string }
}

// plan runs a dry run.
func (f *files) plan(t *testing.T, target *server, env []string, args ...string) (plan filePlan) {
	t.Helper()
	text, err := f.command(target, env, append(args, "-dry-run", "-json")...).Output()
	if err == nil {
		err = json.Unmarshal(text, &plan)
	}
	if err != nil {
		t.Fatalf("a dry run: %v\n%s", err, text)
	}
	return plan
}

// want compares the images with the files.
func (f *files) want(t *testing.T, target *server) {
	t.Helper()
	if listed := target.listed(); len(listed) != len(f.bodies) {
		t.Errorf("%d images are there, want %d", len(listed), len(f.bodies))
	}
	for path, body := range f.bodies {
		id := f.ids[path]
		a := target.api("GET", "images/v1/"+url.PathEscape(id)+"/blob", nil)
		if a.status != http.StatusOK || !bytes.Equal(a.body, body) {
			t.Fatalf("%q: status %d, %d bytes of %d", id, a.status, len(a.body), len(body))
		}
	}
	for path := range f.bodies {
		var img struct {
			RequireSignedURLs bool
			Filename, Creator string
			Meta              map[string]string
		}
		a := target.api("GET", "images/v1/"+url.PathEscape(f.ids[path]), nil)
		if err := json.Unmarshal(a.envelope(t).Result, &img); err != nil {
			t.Fatal(err)
		}
		if img.RequireSignedURLs != f.private[path] || img.Filename != filepath.Base(path) ||
			strings.HasPrefix(img.Creator, "creator, ") != (img.Meta["number"] != "") {
			t.Fatalf("%q is %+v", path, img)
		}
		if len(f.bodies) > 1000 && img.Meta["number"] != "" {
			break // one of each kind is enough of many
		}
	}
}

// wantFileReport reads the report of the last import.
func (f *files) wantFileReport(t *testing.T, target *server, folder bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(target.data, "import-report.json"))
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		filePlan
		Complete bool
		Notes    []string
	}
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if !report.Complete || report.Images["exists"] != len(f.bodies) || report.Images["failed"] != 0 {
		t.Errorf("the report is\n%.2000s", text)
	}
	wanted := map[string]string{"text.jpg": "must have image/jpeg"}
	skipped := []string{"hidden", ".hidden/a.jpg"}
	if folder {
		wanted, skipped = traps, []string{".DS_Store", ".git", "3 symbolic links", "neither files nor folders", "pipe.jpg"}
	}
	found := map[string]string{}
	for _, p := range report.Problems {
		found[p.ID] = p.Reason
	}
	for path, reason := range wanted {
		if reason != "" && !strings.Contains(found[path], reason) {
			t.Errorf("the reason of %s is %q, want %q", path, found[path], reason)
		}
		if reason != "" {
			delete(found, path)
		}
	}
	if len(found) > 0 {
		t.Errorf("further problems: %v", found)
	}
	for _, want := range skipped {
		if !strings.Contains(strings.Join(report.Notes, "\n"), want) {
			t.Errorf("the notes lack %q: %q", want, report.Notes)
		}
	}
}
