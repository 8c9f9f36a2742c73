package images

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

// renditionCache stores renditions on the local disk. If their bytes exceed the budget, it evicts
// renditions in the order of fairLRU. Any file may be missing at any time.
type renditionCache struct {
	dir    string
	budget int64 // bytes

	evicted atomic.Int64

	mu  sync.Mutex
	of  map[string]*renditionEntry // by key
	lru *fairLRU[*renditionEntry]
	hot hotRenditions
}

type renditionEntry struct {
	key  string
	name string // of the file
	size int64
	lru  *lruItem[*renditionEntry]
	hot  *lruItem[*hotRendition] // nil if the bytes are not in memory
}

// A renditionOwner holds the account of a rendition, and the kind of its variant: named or flexible.
type renditionOwner struct {
	account string // a hash of the account's id; "" if not known
	kind    int
}

// owner returns the owner of r's renditions.
func (r Resolved) owner() renditionOwner {
	return renditionOwner{hashHex(r.Account.ID)[:ownerLength], r.variantKind()}
}

// variantKind distinguishes named variants from flexible ones.
func (r Resolved) variantKind() int {
	if r.Variant.ID == "" {
		return flexible
	}
	return named
}

// onDisk returns the disk space of the file, in bytes: whole blocks.
func (e *renditionEntry) onDisk() int64 { return (e.size + 4095) &^ 4095 }

// renditionKeyLength is the length of 32 digits of the original, a dash and 24 digits of the options.
const renditionKeyLength = 32 + 1 + 24

// The name of a rendition's file is its key, a dash, a letter for the kind of variant and a hash of
// the account. In earlier releases the name of a file is its key: its account is not known.
const (
	kindLetters = "nf"
	ownerLength = 16
)

func fileName(key string, o renditionOwner) string {
	if o.account == "" {
		return key
	}
	return key + "-" + kindLetters[o.kind:o.kind+1] + o.account
}

// parseFileName is the reverse of fileName; ok is false for a name of another form.
func parseFileName(name string) (key string, o renditionOwner, ok bool) {
	if len(name) == renditionKeyLength {
		return name, o, true
	}
	if len(name) != renditionKeyLength+2+ownerLength || name[renditionKeyLength] != '-' {
		return "", o, false
	}
	o.kind = strings.IndexByte(kindLetters, name[renditionKeyLength+1])
	o.account = name[renditionKeyLength+2:]
	return name[:renditionKeyLength], o, o.kind >= 0
}

// unfinished is the prefix of the names of unfinished renditions.
const unfinished = "unfinished-"

// renditionsDir is the cache's folder in that of a Service.
const renditionsDir = "renditions"

// renditionsHere returns the cache of a started Service. For a Service that was not started it has no
// entries, but can delete files: the server on the folder treats them as evicted.
func (s *Service) renditionsHere() *renditionCache {
	if s.renditions != nil {
		return s.renditions
	}
	return newRenditionCache(filepath.Join(s.Dir, renditionsDir), 0)
}

func newRenditionCache(dir string, budget int64) *renditionCache {
	return &renditionCache{dir: dir, budget: budget, of: map[string]*renditionEntry{},
		lru: newFairLRU[*renditionEntry](), hot: hotRenditions{newFairLRU[*hotRendition]()}}
}

// openRenditionCache creates the folder, or reads the files of an earlier run.
func openRenditionCache(dir string, budget int64) (*renditionCache, error) {
	c := newRenditionCache(dir, budget)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the rendition cache: %w", err)
	}
	type found struct {
		*renditionEntry
		owner renditionOwner
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
			e := &renditionEntry{key: key, name: entry.Name(), size: info.Size()}
			all = append(all, found{e, owner, info.ModTime()})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rendition cache: %w", err)
	}
	slices.SortFunc(all, func(a, b found) int { return a.made.Compare(b.made) })
	for _, f := range all {
		c.add(f.renditionEntry, f.owner)
	}
	c.shrink(c.lru.size - c.budget)
	return c, nil
}

// path returns the path of a file of that name.
func (c *renditionCache) path(name string) string { return filepath.Join(c.dir, name[:2], name) }

// open returns a rendition, asked for in a variant of that kind, and marks it as recently used; its
// Content is nil if the cache does not have it.
func (c *renditionCache) open(key string, kind int) (Rendition, error) {
	c.mu.Lock()
	entry, ok := c.of[key]
	if !ok {
		c.mu.Unlock()
		return Rendition{}, nil
	}
	c.lru.use(entry.lru, kind)
	found := c.hot.use(entry, kind)
	c.mu.Unlock()
	if found.Content != nil {
		return found, nil
	}
	f, err := os.Open(c.path(entry.name))
	if errors.Is(err, fs.ErrNotExist) { // evicted concurrently, or deleted by another program
		c.drop(key)
		return Rendition{}, nil
	}
	if err != nil { // for example out of descriptors: the file is not damaged
		return Rendition{}, fmt.Errorf("opening a rendition: %w", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != entry.size {
		if err = errors.Join(err, f.Close()); err != nil {
			return Rendition{}, fmt.Errorf("looking at a rendition: %w", err)
		}
		c.drop(key) // it is damaged, or was rendered again concurrently: render it again
		return Rendition{}, nil
	}
	return c.heat(entry, f)
}

// heat promotes an entry's rendition to memory, unless it was evicted concurrently, and returns it.
func (c *renditionCache) heat(entry *renditionEntry, f *os.File) (found Rendition, err error) {
	hot := &hotRendition{of: entry}
	if entry.size <= hotSize {
		if hot.data, err = readAndClose(f, entry.size); err != nil {
			return found, fmt.Errorf("reading a rendition: %w", err)
		}
		found = inMemory(hot.data)
	} else {
		hot.file = &sharedFile{file: f, users: 1}
		found = hot.file.use(entry.size)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[entry.key] == entry {
		c.hot.put(hot)
	} else if hot.file != nil {
		_ = hot.file.leave() // found still uses it
	}
	return found, nil
}

// A newRendition is an unfinished file; the caller must call keep or discard.
type newRendition struct {
	*os.File
	cache *renditionCache
}

// create creates a file for a rendition, under a name that open never uses.
func (c *renditionCache) create() (*newRendition, error) {
	f, err := os.OpenFile(filepath.Join(c.dir, unfinished+newKey()),
		os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a rendition's file: %w", err)
	}
	return &newRendition{f, c}, nil
}

// keep inserts the finished file into the cache. It syncs the file first: a power loss may lose a
// rendition, but must not leave an incomplete one.
func (n *newRendition) keep(key string, owner renditionOwner) error {
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
	before := n.cache.add(&renditionEntry{key: key, name: name, size: info.Size()}, owner)
	over := n.cache.lru.size - n.cache.budget
	n.cache.mu.Unlock()
	if before != nil && before.name != name {
		_ = os.Remove(n.cache.path(before.name)) // as in drop
	}
	n.cache.shrink(over)
	return nil
}

// discard closes the file and deletes it, unless it was kept.
func (n *newRendition) discard() error {
	err := os.Remove(n.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, n.Close())
}

// add inserts an entry as the most recently used one, and returns the entry that it replaces, or nil.
// The caller has locked mu.
func (c *renditionCache) add(e *renditionEntry, o renditionOwner) (before *renditionEntry) {
	if before = c.of[e.key]; before != nil {
		c.forget(before)
	}
	c.of[e.key] = e
	e.lru = c.lru.add(o.account, o.kind, e.onDisk(), e)
	return before
}

// forget removes an entry. The caller has locked mu and deletes the file.
func (c *renditionCache) forget(entry *renditionEntry) {
	c.hot.forget(entry)
	c.lru.remove(entry.lru)
	delete(c.of, entry.key)
}

// drop removes an entry and deletes its file.
func (c *renditionCache) drop(key string) {
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

// shrink evicts renditions of at least bytes bytes, and returns their bytes.
func (c *renditionCache) shrink(bytes int64) (freed int64) {
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
		_ = os.Remove(c.path(last.value.name)) // as in drop
		freed += last.size
	}
	return freed
}

// hotOf returns the keys in memory that begin with prefix.
func (c *renditionCache) hotOf(prefix string) (keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for hot := range c.hot.lru.all() {
		if strings.HasPrefix(hot.of.key, prefix) {
			keys = append(keys, hot.of.key)
		}
	}
	return keys
}

// removeOf deletes the renditions whose keys begin with prefix, and returns their number on the disk.
// Another process may have deleted their files: removeOf also removes them from memory.
func (c *renditionCache) removeOf(prefix string) (removed int, err error) {
	entries, err := os.ReadDir(filepath.Dir(c.path(prefix)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("looking for the renditions of an original: %w", err)
	}
	for _, entry := range entries {
		if key, _, ok := parseFileName(entry.Name()); ok && strings.HasPrefix(key, prefix) {
			c.drop(key)
			_ = os.Remove(c.path(entry.Name())) // also one that another process has written
			removed++
		}
	}
	for _, key := range c.hotOf(prefix) {
		c.drop(key)
	}
	return removed, nil
}
