package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"calotype/internal/blob"
)

// storeOf returns a folder with an object.
func storeOf(t *testing.T, key, content string) *blob.Dir {
	t.Helper()
	store, err := blob.OpenDir(filepath.Join(t.TempDir(), "blobs"))
	if err == nil {
		err = store.Copy(t.Context(), key, strings.NewReader(content), int64(len(content)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// An openings is a store that counts calls of Open.
type openings struct {
	blob.Store
	n atomic.Int64
}

func (o *openings) Open(ctx context.Context, key string, from int64) (io.ReadCloser, error) {
	o.n.Add(1)
	return o.Store.Open(ctx, key, from)
}

// TestReader: a Reader reads from every position, opens the object only after a seek, and reports a short object.
func TestReader(t *testing.T) {
	t.Parallel()
	store := &openings{Store: storeOf(t, "a/b", "0123456789")}
	r, err := blob.OpenReader(t.Context(), store, "a/b", 10)
	if err != nil {
		t.Fatal(err)
	}
	want := func(text string, opened int64) {
		t.Helper()
		got, err := io.ReadAll(r)
		if err != nil || string(got) != text || store.n.Load() != opened {
			t.Errorf("read %q after %d openings, %v; want %q after %d", got, store.n.Load(), err, text, opened)
		}
	}
	seek := func(offset int64, whence int, at int64) {
		t.Helper()
		if got, err := r.Seek(offset, whence); err != nil || got != at {
			t.Errorf("at %d, %v; want %d", got, err, at)
		}
	}
	want("0123456789", 1)
	seek(0, io.SeekEnd, 10)
	want("", 1)
	seek(-3, io.SeekCurrent, 7)
	want("789", 2)
	seek(2, io.SeekStart, 2)
	seek(5, io.SeekStart, 5)
	want("56789", 3)
	seek(90, io.SeekStart, 90)
	want("", 3)
	if at, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Errorf("went to %d", at)
	}
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	short, err := blob.OpenReader(t.Context(), store, "a/b", 11)
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	if got, err := io.ReadAll(short); !errors.Is(err, io.ErrUnexpectedEOF) || len(got) != 10 {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := blob.OpenReader(t.Context(), store, "a/c", 1); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("an object that is not there: %v", err)
	}
}

// A sticky store deletes no object whose key ends in a 7.
type sticky struct{ blob.Store }

func (s sticky) Delete(ctx context.Context, key string) error {
	if strings.HasSuffix(key, "7") {
		return errors.New("refused: " + key)
	}
	return s.Store.Delete(ctx, key)
}

// TestDeleteAll: each key has its error, and one that fails stops no other.
func TestDeleteAll(t *testing.T) {
	t.Parallel()
	dir := storeOf(t, "a/x", "stays")
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprintf("a/%d", i))
		if err := dir.Copy(t.Context(), keys[i], strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	for i, err := range blob.DeleteAll(t.Context(), sticky{dir}, keys) {
		_, left := dir.Stat(t.Context(), keys[i])
		if fails := i%10 == 7; fails != (err != nil) || fails != (left == nil) {
			t.Errorf("%s: %v, then %v", keys[i], err, left)
		}
		if err != nil && !strings.HasSuffix(err.Error(), keys[i]) {
			t.Errorf("%s has the error of another key: %v", keys[i], err)
		}
	}
	if _, err := dir.Stat(t.Context(), "a/x"); err != nil {
		t.Error(err)
	}
	if failed := blob.DeleteAll(t.Context(), dir, nil); len(failed) != 0 {
		t.Errorf("without keys: %v", failed)
	}
}
