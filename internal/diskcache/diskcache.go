// Package diskcache stores renditions as files in a local folder, and the most used ones in memory.
//
// Create, write and Insert insert a file; Open returns it. Any file may be missing at any time: the cache evicts
// in the order of fairLRU, so that one account cannot evict the renditions of all others, and another
// process may delete files. A kill or a power loss leaves no incomplete rendition.
package diskcache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Cache stores renditions on the local disk. If their bytes exceed the budget, it evicts
// renditions in the order of fairLRU. Any file may be missing at any time.
type Cache struct {
	dir    string
	budget int64 // bytes

	evicted atomic.Int64

	mu     sync.Mutex
	of     map[string]*cached // by key
	lru    *fairLRU[*cached]
	memory memoryTier
}

// A cached rendition is an entry of a Cache.
type cached struct {
	key    string
	name   string // of the file
	size   int64
	lru    *lruItem[*cached]
	memory *lruItem[*memoryItem] // nil if the bytes are not in memory
}

// An Owner holds the account of a rendition, and the kind of its variant: Named or Flexible.
type Owner struct {
	Account string // OwnerLength characters of a hash of the account's id; "" if not known
	Kind    int    // Named or Flexible
}

// onDisk returns the disk space of the file, in bytes: whole blocks.
func (e *cached) onDisk() int64 { return (e.size + 4095) &^ 4095 }

// keyLength is the length of 32 digits of the original, a dash and 24 digits of the options.
const keyLength = 32 + 1 + 24

// The name of a rendition's file is its key, a dash, a letter for the kind of variant and a hash of
// the account. In earlier releases the name of a file is its key: its account is not known.
const (
	kindLetters = "nf"
	// OwnerLength is the length of Owner.Account, in characters of [0-9a-f].
	OwnerLength = 16
)

func fileName(key string, o Owner) string {
	if o.Account == "" {
		return key
	}
	return key + "-" + kindLetters[o.Kind:o.Kind+1] + o.Account
}

// parseFileName is the reverse of fileName; ok is false for a name of another form.
func parseFileName(name string) (key string, o Owner, ok bool) {
	if len(name) == keyLength {
		return name, o, true
	}
	if len(name) != keyLength+2+OwnerLength || name[keyLength] != '-' {
		return "", o, false
	}
	o.Kind = strings.IndexByte(kindLetters, name[keyLength+1])
	o.Account = name[keyLength+2:]
	return name[:keyLength], o, o.Kind >= 0
}

// unfinished is the prefix of the names of unfinished renditions.
const unfinished = "unfinished-"

// New returns a Cache of a folder without reading it: it has no entries, but can delete files. The process
// that opened the folder treats them as evicted.
func New(dir string, budget int64) *Cache {
	return &Cache{dir: dir, budget: budget, of: map[string]*cached{},
		lru: newFairLRU[*cached](), memory: memoryTier{newFairLRU[*memoryItem]()}}
}

// Open creates the folder, or reads the files of an earlier run.
func Open(dir string, budget int64) (*Cache, error) {
	c := New(dir, budget)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the rendition cache: %w", err)
	}
	type found struct {
		*cached
		owner Owner
		made  time.Time
	}
	var all []found
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if strings.HasPrefix(entry.Name(), unfinished) {
			return os.Remove(path)
		}
		key, owner, ok := parseFileName(entry.Name())
		if !ok || path != c.path(entry.Name()) {
			return nil // a foreign file
		}
		info, err := entry.Info()
		if err == nil {
			e := &cached{key: key, name: entry.Name(), size: info.Size()}
			all = append(all, found{e, owner, info.ModTime()})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rendition cache: %w", err)
	}
	slices.SortFunc(all, func(a, b found) int { return a.made.Compare(b.made) })
	for _, f := range all {
		c.add(f.cached, f.owner)
	}
	c.Shrink(c.lru.size - c.budget)
	return c, nil
}

// path returns the path of a file of that name.
func (c *Cache) path(name string) string { return filepath.Join(c.dir, name[:2], name) }

// Open returns a rendition, asked for in a variant of that kind, and marks it as recently used; its
// Content is nil if the cache does not have it.
func (c *Cache) Open(key string, kind int) (Value, error) {
	c.mu.Lock()
	entry, ok := c.of[key]
	if !ok {
		c.mu.Unlock()
		return Value{}, nil
	}
	c.lru.use(entry.lru, kind)
	found := c.memory.use(entry, kind)
	c.mu.Unlock()
	if found.Content != nil {
		return found, nil
	}
	f, err := os.Open(c.path(entry.name))
	if errors.Is(err, fs.ErrNotExist) { // evicted concurrently, or deleted by another program
		c.Remove(key)
		return Value{}, nil
	}
	if err != nil { // for example out of descriptors: the file is not damaged
		return Value{}, fmt.Errorf("opening a rendition: %w", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != entry.size {
		if err = errors.Join(err, f.Close()); err != nil {
			return Value{}, fmt.Errorf("looking at a rendition: %w", err)
		}
		c.Remove(key) // it is damaged, or was rendered again concurrently: render it again
		return Value{}, nil
	}
	return c.promote(entry, f)
}

// promote promotes an entry's rendition to memory, unless it was evicted concurrently, and returns it.
func (c *Cache) promote(entry *cached, f *os.File) (found Value, err error) {
	item := &memoryItem{of: entry}
	if entry.size <= maxMemoryItem {
		if item.data, err = readAndClose(f, entry.size); err != nil {
			return found, fmt.Errorf("reading a rendition: %w", err)
		}
		found = valueOf(item.data)
	} else {
		item.file = &sharedFile{file: f, users: 1}
		found = item.file.use(entry.size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[entry.key] == entry {
		c.memory.put(item)
	} else if item.file != nil {
		_ = item.file.leave() // found still uses it
	}
	return found, nil
}

// A Temp is an unfinished file; the caller must call Insert or Discard.
type Temp struct {
	*os.File
	cache *Cache
}

// Create creates a file for a rendition, under a name that Open never uses.
func (c *Cache) Create() (*Temp, error) {
	f, err := os.CreateTemp(c.dir, unfinished+"*")
	if err != nil {
		return nil, fmt.Errorf("making a rendition's file: %w", err)
	}
	return &Temp{f, c}, nil
}

// Insert inserts the finished file into the cache. It syncs the file first: a power loss may lose a
// rendition, but must not leave an incomplete one.
func (n *Temp) Insert(key string, owner Owner) error {
	info, err := n.Stat()
	if err == nil {
		err = n.Sync()
	}
	name := fileName(key, owner)
	path := n.cache.path(name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = os.Rename(n.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keeping a rendition: %w", err)
	}
	n.cache.mu.Lock()
	before := n.cache.add(&cached{key: key, name: name, size: info.Size()}, owner)
	over := n.cache.lru.size - n.cache.budget
	n.cache.mu.Unlock()
	if before != nil && before.name != name {
		_ = os.Remove(n.cache.path(before.name)) // as in Remove
	}
	n.cache.Shrink(over)
	return nil
}

// Discard closes the file, and deletes it unless Insert has put it into the cache.
func (n *Temp) Discard() error {
	err := os.Remove(n.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, n.Close())
}

// add inserts an entry as the most recently used one, and returns the entry that it replaces, or nil.
// The caller has locked mu.
func (c *Cache) add(e *cached, o Owner) (before *cached) {
	if before = c.of[e.key]; before != nil {
		c.forget(before)
	}
	c.of[e.key] = e
	e.lru = c.lru.add(o.Account, o.Kind, e.onDisk(), e)
	return before
}

// forget removes an entry. The caller has locked mu and deletes the file.
func (c *Cache) forget(entry *cached) {
	c.memory.forget(entry)
	c.lru.remove(entry.lru)
	delete(c.of, entry.key)
}

// Remove removes an entry and deletes its file.
func (c *Cache) Remove(key string) {
	c.mu.Lock()
	entry := c.of[key]
	if entry != nil {
		c.forget(entry)
	}
	c.mu.Unlock()
	if entry != nil {
		// The next start finds a file that cannot be deleted.
		_ = os.Remove(c.path(entry.name))
	}
}

// Shrink evicts renditions of at least bytes bytes, and returns their bytes.
func (c *Cache) Shrink(bytes int64) (freed int64) {
	for freed < bytes {
		c.mu.Lock()
		last := c.lru.next()
		if last == nil {
			c.mu.Unlock()
			return freed
		}
		c.forget(last.value)
		c.mu.Unlock()
		c.evicted.Add(1)
		_ = os.Remove(c.path(last.value.name)) // as in Remove
		freed += last.size
	}
	return freed
}

// keysInMemory returns the keys in memory that begin with prefix.
func (c *Cache) keysInMemory(prefix string) (keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for item := range c.memory.lru.all() {
		if strings.HasPrefix(item.of.key, prefix) {
			keys = append(keys, item.of.key)
		}
	}
	return keys
}

// RemovePrefix deletes the renditions whose keys begin with prefix, and returns their number on the disk.
// Another process may have deleted their files: RemovePrefix also removes them from memory.
func (c *Cache) RemovePrefix(prefix string) (removed int, err error) {
	entries, err := os.ReadDir(filepath.Dir(c.path(prefix)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("looking for the renditions of an original: %w", err)
	}
	for _, entry := range entries {
		if key, _, ok := parseFileName(entry.Name()); ok && strings.HasPrefix(key, prefix) {
			c.Remove(key)
			_ = os.Remove(c.path(entry.Name())) // also one that another process has written
			removed++
		}
	}
	for _, key := range c.keysInMemory(prefix) {
		c.Remove(key)
	}
	return removed, nil
}

// Has reports whether the cache has a rendition. It does not mark it as used.
func (c *Cache) Has(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[key] != nil
}

// FullOfOthers reports whether the cache is full, except for a 64th, and renditions of Flexible variants use their
// quarter: a new one of them would evict another.
func (c *Cache) FullOfOthers() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lru.size >= c.budget-c.budget/64 && c.lru.flexible >= c.lru.size/4
}

// Stats are the size of a Cache and its evictions since the start.
type Stats struct {
	Files, Bytes, Limit int64 // bytes are of whole blocks
	Evictions           int64
}

// Stats returns the size of the cache.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Files: int64(len(c.of)), Bytes: c.lru.size, Limit: c.budget, Evictions: c.evicted.Load()}
}
