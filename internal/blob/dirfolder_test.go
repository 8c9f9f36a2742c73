package blob_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"calotype/internal/blob"
	"calotype/internal/blob/blobtest"
)

// A Put caches the folder of the previous Put. A folder that replaces it under the same name gets the
// objects of later Puts.
func TestDirFolderIsReplaced(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	d := openDir(t, path)
	for name, replace := range map[string]func(folder string) error{
		"removed": os.RemoveAll,
		"moved":   func(folder string) error { return os.Rename(folder, folder+"-moved") },
		"replaced": func(folder string) error {
			if err := os.Rename(folder, folder+"-moved"); err != nil {
				return err
			}
			return os.Mkdir(folder, 0o700)
		},
	} {
		for i := range 3 {
			blobtest.Put(t, d, fmt.Sprintf("%s/%d", name, i), []byte("before"))
		}
		if err := replace(filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			key := fmt.Sprintf("%s/%d", name, i+2)
			blobtest.Put(t, d, key, []byte(key))
			if got := blobtest.Get(t, d, key); string(got) != key {
				t.Errorf("%s is %q", key, got)
			}
		}
	}
}

// Concurrent Puts into several folders, while Deletes empty and remove the folders and another store
// does the same, lose no object and leak no descriptor.
func TestDirFoldersThatComeAndGo(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	stores := []*blob.Dir{openDir(t, path), openDir(t, path)}
	var group sync.WaitGroup
	for worker := range 8 {
		d := stores[worker%len(stores)]
		group.Go(func() {
			for i := range 60 {
				key := fmt.Sprintf("day%d/%d-%d", i/4%3, worker, i)
				if err := putText(t.Context(), d, t.TempDir(), key); err != nil {
					t.Errorf("%s: %v", key, err)
					continue
				}
				if got := blobtest.Get(t, d, key); string(got) != key {
					t.Errorf("%s is %q", key, got)
				}
				if err := d.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("only /proc lists open files: %v", err)
	}
	kept := 0
	for _, fd := range open {
		to, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
		if err == nil && len(to) > len(path) && to[:len(path)+1] == path+"/" {
			kept++
		}
	}
	if kept > len(stores) {
		t.Errorf("%d descriptors of %d stores are open", kept, len(stores))
	}
}

func putText(ctx context.Context, d *blob.Dir, dir, text string) error {
	f, err := os.CreateTemp(dir, "")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return d.Put(ctx, text, f, int64(len(text)))
}
