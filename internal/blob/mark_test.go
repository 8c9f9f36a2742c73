package blob_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"calotype/internal/blob"
)

// TestCheckMark: the check without a write refuses what a start refuses.
func TestCheckMark(t *testing.T) {
	t.Parallel()
	open := func(files map[string]string) blob.Store {
		dir := t.TempDir()
		for name, content := range files {
			path := filepath.Join(dir, name)
			err := os.MkdirAll(filepath.Dir(path), 0o700)
			if err == nil {
				err = os.WriteFile(path, []byte(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		store, err := blob.OpenDirToRead(dir)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	const mark = blob.MarkKey
	for name, test := range map[string]struct {
		files  map[string]string
		id     string
		marked bool
		isNew  bool
		err    string
	}{
		"both new":       {nil, "", false, true, ""},
		"new store":      {nil, "a", false, true, ""},
		"ours":           {map[string]string{mark: "a", "x": ""}, "a", true, false, ""},
		"mark is gone":   {nil, "a", true, false, "not the one"},
		"of another":     {map[string]string{mark: "b"}, "a", true, false, "belongs to the installation b"},
		"new database":   {map[string]string{mark: "b"}, "", false, false, "the database is new"},
		"without a mark": {map[string]string{"x": ""}, "a", false, true, "holds objects"},
		// A start that was killed before it had marked the store leaves its claim.
		"our claim":       {map[string]string{"calotype-claim/a": "a"}, "a", false, true, ""},
		"claim of others": {map[string]string{"calotype-claim/b": "b"}, "a", false, true, "holds objects"},
	} {
		isNew, err := blob.CheckMark(t.Context(), open(test.files), test.id, test.marked)
		if isNew != test.isNew || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, %v", name, isNew, err)
		}
	}
}

// TestMarkNew: a new store gets the mark of one installation, whose start may be repeated; no other may use it.
func TestMarkNew(t *testing.T) {
	t.Parallel()
	store, err := blob.OpenDir(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, spool := t.Context(), t.TempDir()
	if err := blob.VerifyMark(ctx, store, "a"); err == nil || !strings.Contains(err.Error(), "has no object") {
		t.Errorf("without a mark: %v", err)
	}
	for range 2 {
		if err := blob.MarkNew(ctx, store, "a", spool); err != nil {
			t.Fatal(err)
		}
	}
	if err := blob.VerifyMark(ctx, store, "a"); err != nil {
		t.Error(err)
	}
	if err := blob.MarkNew(ctx, store, "b", spool); err != nil {
		t.Errorf("a store with a mark: %v", err)
	}
	if err := blob.VerifyMark(ctx, store, "b"); err == nil || !strings.Contains(err.Error(), "the installation a") {
		t.Errorf("the mark of another installation: %v", err)
	}
	if there, _, err := store.List(ctx, "", ""); err != nil || len(there) != 1 || there[0].Key != blob.MarkKey {
		t.Errorf("the store has %v, %v", there, err)
	}
	if left, err := os.ReadDir(spool); err != nil || len(left) != 0 {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	used := storeOf(t, "20260101/x", "of another database")
	if err := blob.MarkNew(ctx, used, "a", spool); err == nil || !strings.Contains(err.Error(), "holds objects") {
		t.Errorf("a store with objects: %v", err)
	}
}
