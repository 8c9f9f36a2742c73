package diskcache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const cacheBlock = 4096

// putFile puts a rendition of a block into the cache, as keep does, but without its sync.
func putFile(t *testing.T, c *Cache, i int, o Owner) (key string) {
	t.Helper()
	key = testKey(i)
	name := fileName(key, o)
	path := c.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	c.add(&cached{key: key, name: name, size: int64(len(key))}, o)
	over := c.lru.size - c.budget
	c.mu.Unlock()
	c.Shrink(over)
	return key
}

// wantKept fails when the cache lacks one of keys.
func wantKept(t *testing.T, c *Cache, what string, keys []string) {
	t.Helper()
	for _, key := range keys {
		if got := readAll(t, c, key); !bytes.Equal(got, []byte(key)) {
			t.Fatalf("%s: rendition %s is %q", what, key, got)
		}
	}
}

func testOwner(i, kind int) Owner {
	return Owner{fmt.Sprintf("%016d", i), kind}
}

// Ten thousand renditions of Flexible variants come. Named ones stay, on the disk and in memory, of
// the same account and of others, after a restart too.
func TestFlexibleRenditionsDoNotFlushNamedOnes(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: stores ten thousand renditions")
	}
	t.Parallel()
	dir := t.TempDir()
	c, err := Open(dir, 1000*cacheBlock)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i := range 700 {
		kept = append(kept, putFile(t, c, i, testOwner(i%3, Named)))
	}
	wantKept(t, c, "before", kept) // in memory from now on
	flood := func(c *Cache, from int) {
		for i := range 5000 {
			key := putFile(t, c, from+i, testOwner(i%2, Flexible))
			if r, err := c.Open(key, Flexible); err != nil || r.Content == nil {
				t.Fatalf("what just came is not there: %v", err)
			}
			if c.lru.size > c.budget || c.memory.lru.size > memoryBudget {
				t.Fatalf("%d bytes on the disk, %d in memory", c.lru.size, c.memory.lru.size)
			}
		}
	}
	flood(c, 10_000)
	inMemory := 0
	for _, key := range kept {
		if e := c.of[key]; e != nil && e.memory != nil {
			inMemory++
		}
	}
	if inMemory != len(kept) {
		t.Errorf("%d of %d Named renditions are in memory", inMemory, len(kept))
	}
	wantKept(t, c, "after the flood", kept)
	if c, err = Open(dir, 940*cacheBlock); err != nil {
		t.Fatal(err)
	}
	wantKept(t, c, "after a restart", kept)
	flood(c, 20_000)
	wantKept(t, c, "after a restart and a flood", kept)
	if c.lru.flexible > c.budget/3 || c.lru.flexible == 0 {
		t.Errorf("Flexible renditions take %d bytes", c.lru.flexible)
	}
}

// One account has a flood of renditions made, by Named variants. Others keep their shares.
func TestAnAccountDoesNotFlushOthers(t *testing.T) {
	if testing.Short() {
		t.Skip("slow: stores thousands of renditions")
	}
	t.Parallel()
	dir := t.TempDir()
	c, err := Open(dir, 900*cacheBlock)
	if err != nil {
		t.Fatal(err)
	}
	var kept []string
	for i := range 400 {
		kept = append(kept, putFile(t, c, i, testOwner(i%2, Named)))
	}
	for i := range 5000 {
		putFile(t, c, 10_000+i, testOwner(9, Named))
	}
	wantKept(t, c, "after the flood", kept)
	if c, err = Open(dir, 620*cacheBlock); err != nil {
		t.Fatal(err)
	}
	wantKept(t, c, "after a restart with less", kept)
	// The account that is alone has all of it.
	if c, err = Open(t.TempDir(), 100*cacheBlock); err != nil {
		t.Fatal(err)
	}
	for i := range 300 {
		putFile(t, c, i, testOwner(1, Named))
	}
	if len(c.of) != 100 {
		t.Errorf("one account alone keeps %d of 100 renditions", len(c.of))
	}
}

// A rendition of a Flexible variant that a Named one asks for is Named from then on.
func TestARenditionIsOfTheVariantThatAsksForIt(t *testing.T) {
	t.Parallel()
	c := newTestCache(t)
	key := putFile(t, c, 1, testOwner(1, Flexible))
	for _, step := range []struct {
		kind int
		want int64
	}{{Flexible, cacheBlock}, {Named, 0}, {Flexible, 0}} {
		if r, err := c.Open(key, step.kind); err != nil || r.Content == nil {
			t.Fatal(err)
		}
		if c.lru.flexible != step.want || c.lru.size != cacheBlock {
			t.Errorf("after kind %d asked, %d of %d bytes are Flexible", step.kind, c.lru.flexible,
				c.lru.size)
		}
		if Flexible := c.memory.lru.flexible > 0; Flexible != (step.want > 0) {
			t.Errorf("after kind %d asked, it is Flexible in memory: %v", step.kind, Flexible)
		}
	}
}

// Files of a release before have no account in their names. They are served, and replaced.
func TestFilesOfAReleaseBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, err := Open(dir, 100*cacheBlock)
	if err != nil {
		t.Fatal(err)
	}
	key := putFile(t, c, 1, Owner{})
	foreign := filepath.Join(dir, key[:2], key+"-x"+strings.Repeat("e", OwnerLength))
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(dir, 100*cacheBlock); err != nil || len(c.of) != 1 {
		t.Fatalf("%d renditions, %v", len(c.of), err)
	}
	wantKept(t, c, "of a release before", []string{key})
	old := c.path(key)
	keepBytes(t, c, key, []byte("new"))
	n, err := c.Create()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Insert(key, testOwner(1, Named)); err != nil {
		t.Fatal(err)
	}
	if err := n.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("the file that was replaced is there: %v", err)
	}
	if n, err := c.RemovePrefix(key[:33]); err != nil || n != 1 || len(c.of) != 0 {
		t.Errorf("removed %d, %d are left, %v", n, len(c.of), err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Errorf("a foreign file: %v", err)
	}
}

// What is added, used and removed at random is counted right, and leaves nothing behind.
func TestFairLRUCounts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	l := newFairLRU[int]()
	there := map[int]*lruItem[int]{}
	check := func() {
		t.Helper()
		var size, flex int64
		most := map[string]int64{}
		for _, item := range there {
			size += item.size
			flex += item.size * int64(item.kind)
			most[item.account.name] += item.size
		}
		n := 0
		for range l.all() {
			n++
		}
		if l.size != size || l.flexible != flex || n != len(there) || len(l.accounts) != len(most) ||
			len(l.largest[byAll].of) != len(most) || len(l.largest[byFlexible].of) != len(most) {
			t.Fatalf("%d bytes, %d Flexible, %d items, want %d, %d, %d", l.size, l.flexible, n, size,
				flex, len(there))
		}
		for _, held := range most {
			if top := l.largest[byAll].of[0].size[byAll]; held > top {
				t.Fatalf("an account has %d bytes, the largest %d", held, top)
			}
		}
	}
	for i := range 3000 {
		switch victim := l.next(); {
		case victim != nil && r.IntN(3) == 0:
			l.remove(victim)
			delete(there, victim.value)
		default:
			there[i] = l.add(fmt.Sprint(r.IntN(8)), r.IntN(2), 1+r.Int64N(100), i)
		}
		for _, item := range there {
			l.use(item, r.IntN(2))
			break
		}
		if i%50 == 0 {
			check()
		}
	}
	for item := l.next(); item != nil; item = l.next() {
		l.remove(item)
		delete(there, item.value)
	}
	check()
}
