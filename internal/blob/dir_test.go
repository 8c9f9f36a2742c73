package blob_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
)

func openDir(t *testing.T, path string) *blob.Dir {
	t.Helper()
	d, err := blob.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDir(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		return openDir(t, filepath.Join(t.TempDir(), "new", "blobs"))
	})
}

// TestDirAcrossFileSystems runs the suite with every file on a foreign file system.
func TestDirAcrossFileSystems(t *testing.T) {
	t.Parallel()
	blobtest.RunPuts(t, func(t *testing.T) blob.Store {
		d := openDir(t, t.TempDir())
		blob.FailRenames(d, func(oldPath string) error {
			if filepath.Base(filepath.Dir(oldPath)) != ".put" {
				return syscall.EXDEV
			}
			return nil
		})
		return d
	})
}

// TestDirOtherFileSystem renames from memory to disk, where the machine has both.
func TestDirOtherFileSystem(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if strings.HasPrefix(path, "/dev/shm/") {
		t.Skip("the folder for tests is in memory")
	}
	f, err := os.CreateTemp("/dev/shm", "calotype-")
	if err != nil {
		t.Skipf("there is no second file system: %v", err)
	}
	defer func() {
		if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
			t.Error(err)
		}
	}()
	if _, err := f.WriteString("picture"); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, path)
	if err := d.Put(t.Context(), "a/b", f, 7); err != nil {
		t.Fatal(err)
	}
	if got := blobtest.Get(t, d, "a/b"); string(got) != "picture" {
		t.Errorf("got %q", got)
	}
	wantUnfinished(t, path, 0)
}

// TestDirMovesFile: the usual Put copies nothing.
func TestDirMovesFile(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	f := blobtest.File(t, []byte("picture"))
	if err := d.Put(t.Context(), "a/b", f, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Name()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	r, err := d.Open(t.Context(), "a/b", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }() // only read
	stored, ok := r.(*os.File)
	if !ok {
		t.Fatalf("Open returns a %T, want *os.File", r)
	}
	before, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	after, err := stored.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the object is another file")
	}
}

// TestDirFailedCopy: a copy that fails leaves no object and no file behind.
func TestDirFailedCopy(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	blob.FailRenames(d, func(string) error { return syscall.EXDEV })
	f := blobtest.File(t, []byte("picture"))
	if err := d.Put(t.Context(), "a/b", f, 7); !errors.Is(err, syscall.EXDEV) {
		t.Fatalf("Put: %v", err)
	}
	if all := blobtest.All(t, d, ""); len(all) != 0 {
		t.Errorf("listed %v", all)
	}
	wantUnfinished(t, path, 0)
}

// TestDirCrash: the files that a kill in the middle of a Put leaves are never objects, and are removed a
// day later.
func TestDirCrash(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	blobtest.Put(t, openDir(t, path), "2026-07-01/whole", []byte("picture"))
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"today": time.Hour, "yesterday": 25 * time.Hour,
	} {
		file := filepath.Join(path, ".put", name)
		if err := os.WriteFile(file, []byte("pict"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	// The crash came after mkdir and before the rename.
	if err := os.MkdirAll(filepath.Join(path, "2026-07-02", "ab"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, path)
	all := blobtest.All(t, d, "")
	if len(all) != 1 || all[0].Key != "2026-07-01/whole" {
		t.Errorf("listed %v", all)
	}
	if left := wantUnfinished(t, path, 1); !slices.Contains(left, "today") {
		t.Errorf("%q is left", left)
	}
	blobtest.Put(t, d, "2026-07-02/ab/next", []byte("picture"))
}

// TestDirListEmptyFolders: more folders without objects than List holds at a time, as the crash of
// many Puts could leave them, do not hide the object after them.
func TestDirListEmptyFolders(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	for i := range 2*blob.PageSize + 10 {
		if err := os.Mkdir(filepath.Join(path, fmt.Sprintf("m%04d", i)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "m1000/b", "z"} {
		blobtest.Put(t, d, key, []byte("picture"))
	}
	var keys []string
	for _, o := range blobtest.All(t, d, "") {
		keys = append(keys, o.Key)
	}
	if !slices.Equal(keys, []string{"a", "m1000/b", "z"}) {
		t.Errorf("listed %q", keys)
	}
}

// TestDirForeignFiles: other files in the folder are not objects.
func TestDirForeignFiles(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	blobtest.Put(t, d, "a/b", []byte("picture"))
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".DS_Store", "a/.nfs0001", "a/b~", "a/with space"} {
		if err := os.WriteFile(filepath.Join(path, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"a/link": outside, "a/up": filepath.Dir(outside), "a/loop": ".", "lost+found": "a",
	} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if all := blobtest.All(t, d, ""); len(all) != 1 || all[0].Key != "a/b" {
		t.Errorf("listed %v", all)
	}
	for _, key := range []string{"a/link", "a/up/secret"} {
		if r, err := d.Open(t.Context(), key, 0); err == nil {
			content, err := io.ReadAll(r)
			t.Errorf("Open(%q) leaves the directory: %q, %v", key, content, err)
		}
	}
	f := blobtest.File(t, []byte("picture"))
	if err := d.Put(t.Context(), "a/up/new", f, 7); err == nil {
		t.Error("Put leaves the directory")
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(outside), "new")); err == nil {
		t.Error("Put has written outside the directory")
	}
}

// TestDirRemovesEmptyFolders: Delete leaves no folder without objects.
func TestDirRemovesEmptyFolders(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	blobtest.Put(t, d, "a/b/c/one", []byte("1"))
	blobtest.Put(t, d, "a/two", []byte("2"))
	wantNames(t, d, path, "a/b/c/one", []string{".put", "a", "two"})
	wantNames(t, d, path, "a/two", []string{".put"})
}

func wantNames(t *testing.T, d *blob.Dir, path, deleted string, want []string) {
	t.Helper()
	if err := d.Delete(t.Context(), deleted); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(path, func(p string, e os.DirEntry, err error) error {
		if p != path {
			got = append(got, e.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("after Delete(%q) there are %q, want %q", deleted, got, want)
	}
}

func TestOpenDirRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "below")} {
		if _, err := blob.OpenDir(path); err == nil {
			t.Errorf("OpenDir(%q) succeeded", path)
		}
	}
}

// wantUnfinished returns the names of unfinished copies, and fails the test if there are not n.
func wantUnfinished(t *testing.T, path string, n int) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(path, ".put"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != n {
		t.Errorf("unfinished copies: %q, want %d", names, n)
	}
	return names
}
