package blob_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
)

func TestDirCopy(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	failed := errors.New("failed")
	for _, test := range []struct {
		r    io.Reader
		size int64
		want string
	}{
		{strings.NewReader("one"), 3, "one"},
		{strings.NewReader("another"), 7, "another"},
		{strings.NewReader("short"), 6, "another"},
		{strings.NewReader("longer"), 5, "another"},
		{io.MultiReader(strings.NewReader("half"), iotest.ErrReader(failed)), 8, "another"},
		{strings.NewReader(""), 0, ""},
	} {
		err := d.Copy(t.Context(), "a/b", test.r, test.size)
		if got := string(blobtest.Get(t, d, "a/b")); got != test.want {
			t.Errorf("the object is %q after %v, want %q", got, err, test.want)
		}
		if (err == nil) != (int64(len(test.want)) == test.size) {
			t.Errorf("%d bytes: %v", test.size, err)
		}
	}
	wantUnfinished(t, path, 0)
	if err := d.Copy(t.Context(), "../b", strings.NewReader("x"), 1); err == nil {
		t.Error("an invalid key was accepted")
	}
}

// TestDirCopyKeepsTheSource: a file that could be moved is not.
func TestDirCopyKeepsTheSource(t *testing.T) {
	t.Parallel()
	d := openDir(t, t.TempDir())
	f := blobtest.File(t, []byte("picture"))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := d.Copy(t.Context(), "a/b", f, 7); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(f.Name()); err != nil || string(text) != "picture" {
		t.Errorf("the source is %q, %v", text, err)
	}
	if got := string(blobtest.Get(t, d, "a/b")); got != "picture" {
		t.Errorf("the copy is %q", got)
	}
}

// TestDirCopyReplacesALink, which was planted at a key, and does not follow it, nor one above it.
func TestDirCopyReplacesALink(t *testing.T) {
	t.Parallel()
	path, outside := t.TempDir(), t.TempDir()
	d := openDir(t, path)
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": secret, "up": outside} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Copy(t.Context(), "link", strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	if err := d.Copy(t.Context(), "up/secret", strings.NewReader("x"), 1); err == nil {
		t.Error("a copy left the directory")
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("the target of the link is %q, %v", text, err)
	}
	if got := string(blobtest.Get(t, d, "link")); got != "x" {
		t.Errorf("the object is %q", got)
	}
}

// TestOpenDirToRead: the directory stays unchanged, also files that a crash left long ago.
func TestOpenDirToRead(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	if err := os.MkdirAll(filepath.Join(path, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, "a", "b"), []byte("picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := blob.OpenDirToRead(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(blobtest.Get(t, d, "a/b")); got != "picture" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(filepath.Join(path, ".put")); !os.IsNotExist(err) {
		t.Errorf("a folder was made: %v", err)
	}
	if _, err := blob.OpenDirToRead(filepath.Join(path, "none")); err == nil {
		t.Error("a directory was opened that is not there")
	}
}
