package diskcache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func newTestCache(t *testing.T) *Cache {
	t.Helper()
	c, err := Open(t.TempDir(), 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testKey(i int) string { return fmt.Sprintf("%02x%055d", i%256, i) }

func keepBytes(t *testing.T, c *Cache, key string, data []byte) {
	t.Helper()
	n, err := c.Create()
	if err == nil {
		_, err = n.Write(data)
	}
	if err == nil {
		err = n.Insert(key, Owner{})
	}
	if err := errors.Join(err, n.Discard()); err != nil {
		t.Fatal(err)
	}
}

// readAll opens a rendition and returns its bytes, nil if the cache does not have it.
func readAll(t *testing.T, c *Cache, key string) []byte {
	t.Helper()
	r, err := c.Open(key, Named)
	if err != nil {
		t.Fatal(err)
	}
	if r.Content == nil {
		return nil
	}
	data, err := io.ReadAll(r.Content)
	if err := errors.Join(err, r.Content.Close()); err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != r.Size || r.Bytes != nil && !bytes.Equal(r.Bytes, data) {
		t.Errorf("Content has %d bytes, Bytes %d, Size is %d", len(data), len(r.Bytes), r.Size)
	}
	return data
}

func TestTheMemoryTierIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: stores large renditions")
	}
	t.Parallel()
	c := newTestCache(t)
	const small, large = 270, 270
	want := func(i int) []byte {
		size := maxMemoryItem
		if i >= small {
			size++
		}
		return bytes.Repeat([]byte{byte(i), byte(i >> 8)}, size/2+1)[:size]
	}
	for i := range small + large { // without the sync of keep
		path := c.path(testKey(i))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want(i), 0o600); err != nil {
			t.Fatal(err)
		}
		e := &cached{key: testKey(i), name: testKey(i), size: int64(len(want(i)))}
		c.add(e, Owner{})
	}
	for range 2 {
		for i := range small + large {
			for range 2 { // from the disk, and then from what is at hand
				if !bytes.Equal(readAll(t, c, testKey(i)), want(i)) {
					t.Fatalf("rendition %d is not what was kept", i)
				}
			}
			if size := c.memory.lru.size; size > memoryBudget || size == 0 {
				t.Fatalf("%d bytes are at hand", c.memory.lru.size)
			}
		}
	}
	for i := range small + large {
		c.Remove(testKey(i))
		if readAll(t, c, testKey(i)) != nil {
			t.Fatalf("rendition %d is served though it was dropped", i)
		}
	}
	if c.memory.lru.size != 0 || len(c.memory.lru.accounts) != 0 {
		t.Errorf("%d bytes and %d entries are left", c.memory.lru.size, len(c.memory.lru.accounts))
	}
}

// A client that is being sent a file gets all of it, although it is evicted concurrently; then it is closed.
func TestADroppedFileIsClosedByItsLastUser(t *testing.T) {
	t.Parallel()
	c, data := newTestCache(t), bytes.Repeat([]byte("picture "), maxMemoryItem)
	keepBytes(t, c, testKey(1), data)
	var open []Value
	for range 3 {
		r, err := c.Open(testKey(1), Named)
		if err != nil || r.File == nil {
			t.Fatalf("got %+v, %v", r, err)
		}
		open = append(open, r)
	}
	if open[0].File != open[1].File || open[1].File != open[2].File {
		t.Error("it was opened more than once")
	}
	c.Remove(testKey(1))
	for _, r := range open {
		got, err := io.ReadAll(r.Content)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		if err := errors.Join(r.Content.Close(), r.Content.Close()); err != nil {
			t.Error(err)
		}
	}
	if _, err := open[0].File.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is not closed: %v", err)
	}
}

func TestADamagedRenditionIsMadeAgain(t *testing.T) {
	t.Parallel()
	c := newTestCache(t)
	keepBytes(t, c, testKey(1), []byte("a whole picture"))
	if err := os.Truncate(c.path(testKey(1)), 3); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c, testKey(1)); got != nil {
		t.Errorf("served %q", got)
	}
	if _, err := os.Stat(c.path(testKey(1))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// A concurrent reader must not bring back an evicted rendition: after an eviction only renditions that were
// stored since are served.
func TestNothingDroppedIsServedAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: races readers of the rendition cache")
	}
	t.Parallel()
	for _, size := range []int{1000, maxMemoryItem + 1000} {
		c, key := newTestCache(t), testKey(7)
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					r, err := c.Open(key, Named)
					if err != nil {
						t.Error(err)
						return
					}
					if r.Content != nil {
						_ = r.Content.Close()
					}
				}
			})
		}
		for i := range 50 {
			want := bytes.Repeat([]byte{byte(i)}, size)
			keepBytes(t, c, key, want)
			// A reader may have taken it for damaged while it was replaced.
			if got := readAll(t, c, key); got != nil && !bytes.Equal(got, want) {
				t.Errorf("round %d is served as %d", i, got[0])
			}
			c.Remove(key)
			if readAll(t, c, key) != nil {
				t.Errorf("round %d is served though it was dropped", i)
			}
		}
		close(stop)
		readers.Wait()
		if c.memory.lru.size != 0 {
			t.Errorf("%d bytes are left", c.memory.lru.size)
		}
	}
}
