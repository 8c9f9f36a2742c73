// Package blobtest specifies blob.Store by tests. Every store runs the same suite; properties of one
// store are tested in its package.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"calotype/internal/blob"
)

// Open returns an empty store that no other call has returned. It lives until its test ends.
type Open func(t *testing.T) blob.Store

// Run tests the stores that open returns.
func Run(t *testing.T, open Open) {
	RunPuts(t, open)
	run(t, open, listTests)
}

// RunPuts is Run without the tests of List: for a store that differs from another one by its writes only.
func RunPuts(t *testing.T, open Open) { run(t, open, putTests) }

type storeTest struct {
	name string
	test func(t *testing.T, s blob.Store)
}

var putTests = []storeTest{
	{"PutOpenStat", testPutOpenStat},
	{"OpenFrom", testOpenFrom},
	{"PutFirstBytes", testPutFirstBytes},
	{"PutUnlinkedFile", testPutUnlinkedFile},
	{"PutShortFile", testPutShortFile},
	{"PutCancelled", testPutCancelled},
	{"PutCancelledMidway", testPutCancelledMidway},
	{"PutConcurrently", testPutConcurrently},
	{"PutWhileDeleteEmptiesFolder", testPutWhileDeleteEmptiesFolder},
	{"Absent", testAbsent},
	{"Delete", testDelete},
	{"BadKeys", testBadKeys},
	{"LongestKey", testLongestKey},
}

func run(t *testing.T, open Open, tests []storeTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t, open(t))
		})
	}
}

// Put stores content under key as the program does: from a synced file of random name.
func Put(t testing.TB, s blob.Store, key string, content []byte) {
	t.Helper()
	f := File(t, content)
	if err := s.Put(t.Context(), key, f, int64(len(content))); err != nil {
		t.Fatalf("Put(%q): %v", key, err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// File returns an open temporary file with that content, which is removed at the end of the test.
func File(t testing.TB, content []byte) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "spool-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // most tests have closed it
	if _, err := f.Write(content); err != nil {
		t.Fatal(err)
	}
	return f
}

// Get returns the bytes of an object.
func Get(t testing.TB, s blob.Store, key string) []byte {
	t.Helper()
	r, err := s.Open(t.Context(), key, 0)
	if err != nil {
		t.Fatalf("Open(%q): %v", key, err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatalf("reading %q: %v", key, err)
	}
	return content
}

// All returns every object under prefix, page by page, and fails the test if the pages violate
// the contract of List.
func All(t testing.TB, s blob.Store, prefix string) []blob.Info {
	t.Helper()
	var all []blob.Info
	for cursor := ""; ; {
		page, next, err := s.List(t.Context(), prefix, cursor)
		if err != nil {
			t.Fatalf("List(%q, %q): %v", prefix, cursor, err)
		}
		if len(page) > blob.PageSize {
			t.Fatalf("List(%q, %q) returned %d objects", prefix, cursor, len(page))
		}
		all = append(all, page...)
		if next == "" {
			break
		}
		if next <= cursor {
			t.Fatalf("List(%q, %q): the next cursor is %q", prefix, cursor, next)
		}
		cursor = next
	}
	for i, o := range all {
		if !strings.HasPrefix(o.Key, prefix) {
			t.Fatalf("List(%q) returned %q", prefix, o.Key)
		}
		if i > 0 && all[i-1].Key >= o.Key {
			t.Fatalf("List(%q) returned %q before %q", prefix, all[i-1].Key, o.Key)
		}
	}
	return all
}

func testPutOpenStat(t *testing.T, s blob.Store) {
	before := time.Now().Add(-time.Minute) // the store's clock may differ, and have seconds only
	for key, content := range map[string][]byte{
		"calotype-installation":       []byte("7f3a"),
		"2026-07-01/ab/k_e.Y-1":       []byte("picture"),
		"2026-07-01/ab/empty":         {},
		"2026-07-01/ab/cd/ten-mib":    pattern(10 << 20),
		"2026-07-02/" + rep("x", 200): pattern(1 << 16),
	} {
		Put(t, s, key, content)
		if got := Get(t, s, key); !bytes.Equal(got, content) {
			t.Errorf("%s: got %d bytes with sum %x, want %d with sum %x", key,
				len(got), sha256.Sum256(got), len(content), sha256.Sum256(content))
		}
		info, err := s.Stat(t.Context(), key)
		if err != nil {
			t.Fatalf("Stat(%q): %v", key, err)
		}
		if info.Key != key || info.Size != int64(len(content)) {
			t.Errorf("Stat(%q) = %+v, want a size of %d", key, info, len(content))
		}
		if info.Modified.Before(before) || info.Modified.After(time.Now().Add(time.Minute)) {
			t.Errorf("Stat(%q) says modified %v, it was just now", key, info.Modified)
		}
	}
	for _, o := range All(t, s, "") {
		info, err := s.Stat(t.Context(), o.Key)
		if err != nil {
			t.Fatalf("Stat(%q): %v", o.Key, err)
		}
		// S3 has fractions of a second in one answer and not in the other.
		if d := o.Modified.Sub(info.Modified).Abs(); o.Size != info.Size || d > time.Second {
			t.Errorf("List has %+v, Stat %+v", o, info)
		}
	}
}

func testPutFirstBytes(t *testing.T, s blob.Store) {
	f := File(t, []byte("picture and more"))
	// The offset of the file does not matter.
	if _, err := f.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "first", f, 7); err != nil {
		t.Fatal(err)
	}
	if got := Get(t, s, "first"); string(got) != "picture" {
		t.Errorf("got %q", got)
	}
}

func testPutUnlinkedFile(t *testing.T, s blob.Store) {
	f := File(t, []byte("picture"))
	if err := os.Remove(f.Name()); err != nil {
		t.Fatal(err)
	}
	// Another file with the same name is not the file that Put got.
	if err := os.WriteFile(f.Name(), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "unlinked", f, 7); err != nil {
		t.Fatal(err)
	}
	if got := Get(t, s, "unlinked"); string(got) != "picture" {
		t.Errorf("got %q", got)
	}
}

func testPutShortFile(t *testing.T, s blob.Store) {
	for _, size := range []int64{8, -1} {
		f := File(t, []byte("picture"))
		if err := s.Put(t.Context(), "short", f, size); err == nil {
			t.Errorf("Put took %d bytes of a file of 7", size)
		}
	}
	wantAbsent(t, s, "short")
}

func testPutCancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := File(t, []byte("picture"))
	if err := s.Put(ctx, "2026-07-01/cancelled", f, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("Put with a cancelled context: %v", err)
	}
	wantAbsent(t, s, "2026-07-01/cancelled")
}

// testPutCancelledMidway cancels during the transfer: whatever Put returns, no incomplete object may be
// visible.
func testPutCancelledMidway(t *testing.T, s blob.Store) {
	content := pattern(4 << 20)
	for i := range 20 {
		key := fmt.Sprintf("midway/%02d", i)
		f := File(t, content)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(i)*time.Millisecond, cancel)
		err := s.Put(ctx, key, f, int64(len(content)))
		cancel()
		info, statErr := s.Stat(t.Context(), key)
		switch {
		case statErr == nil && info.Size != int64(len(content)):
			t.Errorf("%s: %d bytes are there; Put said %v", key, info.Size, err)
		case statErr != nil && !errors.Is(statErr, blob.ErrNotExist):
			t.Errorf("Stat(%q): %v", key, statErr)
		case statErr != nil && err == nil:
			t.Errorf("%s: Put succeeded, but nothing is there", key)
		}
	}
	for _, o := range All(t, s, "") {
		if o.Size != int64(len(content)) {
			t.Errorf("List has %+v", o)
		}
	}
}

func testPutConcurrently(t *testing.T, s blob.Store) {
	const puts = 64
	var wg sync.WaitGroup
	for i := range puts {
		wg.Go(func() {
			key := fmt.Sprintf("concurrent/%d/%d", i%4, i)
			content := pattern(1000 + i)
			f := File(t, content)
			if err := s.Put(t.Context(), key, f, int64(len(content))); err != nil {
				t.Errorf("Put(%q): %v", key, err)
			}
		})
	}
	wg.Wait()
	all := All(t, s, "concurrent/")
	if len(all) != puts {
		t.Errorf("%d objects, want %d", len(all), puts)
	}
	for i := range puts {
		key := fmt.Sprintf("concurrent/%d/%d", i%4, i)
		if !bytes.Equal(Get(t, s, key), pattern(1000+i)) {
			t.Errorf("%s has other bytes", key)
		}
	}
}

// testPutWhileDeleteEmptiesFolder has several writers put and delete in the same deep folder, so that it
// often becomes empty. No Put may fail because of that, or lose its object.
func testPutWhileDeleteEmptiesFolder(t *testing.T, s blob.Store) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 30 {
				key := fmt.Sprintf("a/b/c/%d-%d", w, i)
				f := File(t, []byte(key))
				if err := s.Put(t.Context(), key, f, int64(len(key))); err != nil {
					t.Errorf("Put(%q): %v", key, err)
					return
				}
				if info, err := s.Stat(t.Context(), key); err != nil ||
					info.Size != int64(len(key)) {
					t.Errorf("Stat(%q) after Put: %+v, %v", key, info, err)
				}
				if err := s.Delete(t.Context(), key); err != nil {
					t.Errorf("Delete(%q): %v", key, err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if all := All(t, s, ""); len(all) != 0 {
		t.Errorf("left over: %v", all)
	}
}

func testAbsent(t *testing.T, s blob.Store) {
	Put(t, s, "folder/object", []byte("picture"))
	wantAbsent(t, s, "absent")
	wantAbsent(t, s, "absent/deep/down")
	wantAbsent(t, s, "folder")
	wantAbsent(t, s, "folder/objec")
	wantAbsent(t, s, "folder/object/below")
	for _, key := range []string{"absent", "folder", "folder/object/below"} {
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("Delete(%q) of nothing: %v", key, err)
		}
	}
	if got := Get(t, s, "folder/object"); string(got) != "picture" {
		t.Errorf("deleting what is not there left %q", got)
	}
}

func testDelete(t *testing.T, s blob.Store) {
	Put(t, s, "d/one", []byte("1"))
	Put(t, s, "d/two", []byte("2"))
	if err := s.Delete(t.Context(), "d/one"); err != nil {
		t.Fatal(err)
	}
	wantAbsent(t, s, "d/one")
	if got := Get(t, s, "d/two"); string(got) != "2" {
		t.Errorf("its neighbour holds %q", got)
	}
	if err := s.Delete(t.Context(), "d/two"); err != nil {
		t.Fatal(err)
	}
	if all := All(t, s, ""); len(all) != 0 {
		t.Errorf("left over: %v", all)
	}
}

// testOpenFrom reads an object from each of its bytes to its end.
func testOpenFrom(t *testing.T, s blob.Store) {
	Put(t, s, "a", []byte("picture"))
	for from := range int64(7) {
		r, err := s.Open(t.Context(), "a", from)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(content) != "picture"[from:] {
			t.Errorf("from %d: %q, %v", from, content, err)
		}
	}
}

func testBadKeys(t *testing.T, s blob.Store) {
	Put(t, s, "a/good", []byte("picture"))
	bad := []string{
		"", "/", ".", "..", "/a", "a/", "a//b", "../a", "a/..", "a/../b", "a/./b", ".hidden",
		"a/.put", "a\x00", "a\\b", "..\\a", "a b", "a\n", "ä", "a%2fb", "a:b", "a?b", "a~",
		"C:/a", rep("x", 256), rep("abcdefgh/", 57),
	}
	for _, key := range bad {
		f := File(t, []byte("picture"))
		if err := s.Put(t.Context(), key, f, 7); err == nil {
			t.Errorf("Put took the key %q", key)
		}
		r, err := s.Open(t.Context(), key, 0)
		if err == nil {
			_ = r.Close()
		}
		_, statErr := s.Stat(t.Context(), key)
		for op, err := range map[string]error{
			"Open": err, "Stat": statErr, "Delete": s.Delete(t.Context(), key),
		} {
			if err == nil || errors.Is(err, blob.ErrNotExist) {
				t.Errorf("%s(%q) = %v, want a refusal", op, key, err)
			}
		}
	}
	for _, prefix := range []string{"/", "../", "a//", "a/..", "a\x00", "a\\", ".p", "ä"} {
		if _, _, err := s.List(t.Context(), prefix, ""); err == nil {
			t.Errorf("List took the prefix %q", prefix)
		}
	}
	if all := All(t, s, ""); len(all) != 1 || all[0].Key != "a/good" {
		t.Errorf("the store now holds %v", all)
	}
}

// testLongestKey uses all 512 bytes: two segments of the longest kind and the slash.
func testLongestKey(t *testing.T, s blob.Store) {
	key := filepath.ToSlash(filepath.Join(rep("d", 255), rep("f", 255)))
	Put(t, s, key, []byte("picture"))
	if got := Get(t, s, key); string(got) != "picture" {
		t.Errorf("got %q", got)
	}
	if all := All(t, s, rep("d", 255)); len(all) != 1 || all[0].Key != key {
		t.Errorf("listed %v", all)
	}
}

// wantAbsent fails the test if any method sees an object at key.
func wantAbsent(t *testing.T, s blob.Store, key string) {
	t.Helper()
	r, err := s.Open(t.Context(), key, 0)
	if err == nil {
		_ = r.Close()
	}
	if !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Open(%q): %v, want ErrNotExist", key, err)
	}
	if _, err := s.Stat(t.Context(), key); !errors.Is(err, blob.ErrNotExist) {
		t.Errorf("Stat(%q): %v, want ErrNotExist", key, err)
	}
	for _, o := range All(t, s, "") {
		if o.Key == key {
			t.Errorf("List has %q", key)
		}
	}
}

// pattern returns n bytes of which no two neighbouring blocks are the same.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func rep(s string, n int) string { return strings.Repeat(s, n) }
