package images

import (
	"container/list"
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

// renditionCache keeps renditions on the local disk, the least recently served ones going first
// when their bytes pass the budget. It may lose anything at any time.
type renditionCache struct {
	dir    string
	budget int64 // bytes

	evicted atomic.Int64

	mu     sync.Mutex
	size   int64
	of     map[string]*list.Element // by key
	recent *list.List               // of *renditionEntry, the most recent one first
	hot    hotRenditions
}

type renditionEntry struct {
	key  string
	size int64
	hot  *list.Element // nil when the bytes are not in memory
}

// onDisk is what the file takes of the disk, in bytes: whole blocks.
func (e *renditionEntry) onDisk() int64 { return (e.size + 4095) &^ 4095 }

// renditionKeyLength is that of 32 digits of the original, a dash and 24 of the recipe.
const renditionKeyLength = 32 + 1 + 24

// unfinished begins the names of renditions being made.
const unfinished = "unfinished-"

// renditionsDir is the cache's folder in that of a Service.
const renditionsDir = "renditions"

// renditionsHere is the cache of a Service that was started. Of another one it has no entries, but
// can remove files: the server that has the folder takes them for dropped.
func (s *Service) renditionsHere() *renditionCache {
	if s.renditions != nil {
		return s.renditions
	}
	return &renditionCache{dir: filepath.Join(s.Dir, renditionsDir),
		of: map[string]*list.Element{}, recent: list.New()}
}

// openRenditionCache makes the folder, or reads what an earlier run left in it.
func openRenditionCache(dir string, budget int64) (*renditionCache, error) {
	c := &renditionCache{dir: dir, budget: budget, of: map[string]*list.Element{}, recent: list.New()}
	c.hot.recent = list.New()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the rendition cache: %w", err)
	}
	type found struct {
		renditionEntry
		made time.Time
	}
	var all []found
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if strings.HasPrefix(entry.Name(), unfinished) {
			return os.Remove(path)
		}
		if len(entry.Name()) != renditionKeyLength || path != c.path(entry.Name()) {
			return nil // none of ours
		}
		info, err := entry.Info()
		if err == nil {
			all = append(all, found{renditionEntry{key: entry.Name(), size: info.Size()}, info.ModTime()})
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rendition cache: %w", err)
	}
	slices.SortFunc(all, func(a, b found) int { return a.made.Compare(b.made) })
	for _, f := range all {
		c.add(f.renditionEntry)
	}
	c.shrink(c.size - c.budget)
	return c, nil
}

func (c *renditionCache) path(key string) string { return filepath.Join(c.dir, key[:2], key) }

// open returns a rendition and marks it as recent; its Content is nil when there is none.
func (c *renditionCache) open(key string) (Rendition, error) {
	c.mu.Lock()
	at, ok := c.of[key]
	if !ok {
		c.mu.Unlock()
		return Rendition{}, nil
	}
	c.recent.MoveToFront(at)
	entry := at.Value.(*renditionEntry)
	found := c.hot.use(entry)
	c.mu.Unlock()
	if found.Content != nil {
		return found, nil
	}
	f, err := os.Open(c.path(key))
	if errors.Is(err, fs.ErrNotExist) { // dropped meanwhile, or removed by somebody else
		c.drop(key)
		return Rendition{}, nil
	}
	if err != nil { // out of descriptors, say: the file is as good as ever
		return Rendition{}, fmt.Errorf("opening a rendition: %w", err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != entry.size {
		if err = errors.Join(err, f.Close()); err != nil {
			return Rendition{}, fmt.Errorf("looking at a rendition: %w", err)
		}
		c.drop(key) // somebody damaged it, or it was made anew meanwhile: make it again
		return Rendition{}, nil
	}
	return c.heat(at, f)
}

// heat keeps an entry's rendition at hand, unless it was dropped meanwhile, and returns it.
func (c *renditionCache) heat(at *list.Element, f *os.File) (found Rendition, err error) {
	entry := at.Value.(*renditionEntry)
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
	if c.of[entry.key] == at {
		c.hot.put(hot)
	} else if hot.file != nil {
		_ = hot.file.leave() // found still uses it
	}
	return found, nil
}

// A newRendition is a file being made; keep or discard it.
type newRendition struct {
	*os.File
	cache *renditionCache
}

// create makes a file for a rendition, under a name that open never looks at.
func (c *renditionCache) create() (*newRendition, error) {
	f, err := os.OpenFile(filepath.Join(c.dir, unfinished+newKey()),
		os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a rendition's file: %w", err)
	}
	return &newRendition{f, c}, nil
}

// keep puts the finished file into the cache. It is synced first: a power loss may take a
// rendition, but must not leave half of one.
func (n *newRendition) keep(key string) error {
	info, err := n.Stat()
	if err == nil {
		err = n.Sync()
	}
	path := n.cache.path(key)
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
	n.cache.add(renditionEntry{key: key, size: info.Size()})
	over := n.cache.size - n.cache.budget
	n.cache.mu.Unlock()
	n.cache.shrink(over)
	return nil
}

// discard closes the file and removes it, unless it was kept.
func (n *newRendition) discard() error {
	err := os.Remove(n.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, n.Close())
}

// add notes an entry as the most recent one. The caller holds mu.
func (c *renditionCache) add(e renditionEntry) {
	if at, ok := c.of[e.key]; ok {
		c.forget(at)
	}
	c.of[e.key] = c.recent.PushFront(&e)
	c.size += e.onDisk()
}

// forget takes an entry out. The caller holds mu and removes the file.
func (c *renditionCache) forget(at *list.Element) *renditionEntry {
	entry := at.Value.(*renditionEntry)
	c.hot.forget(entry)
	c.size -= entry.onDisk()
	c.recent.Remove(at)
	delete(c.of, entry.key)
	return entry
}

// drop forgets an entry and removes its file.
func (c *renditionCache) drop(key string) {
	c.mu.Lock()
	if at, ok := c.of[key]; ok {
		c.forget(at)
	}
	c.mu.Unlock()
	// A file that cannot be removed is found again at the next start.
	_ = os.Remove(c.path(key))
}

// shrink drops the least recent renditions until they made bytes of room, and returns how many
// bytes that were.
func (c *renditionCache) shrink(bytes int64) (freed int64) {
	for freed < bytes {
		c.mu.Lock()
		last := c.recent.Back()
		if last == nil {
			c.mu.Unlock()
			return freed
		}
		entry := c.forget(last)
		c.mu.Unlock()
		c.evicted.Add(1)
		_ = os.Remove(c.path(entry.key)) // as in drop
		freed += entry.onDisk()
	}
	return freed
}

// hotOf returns the keys at hand that begin with prefix.
func (c *renditionCache) hotOf(prefix string) (keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hot.recent == nil {
		return nil // a cache that was never opened
	}
	for e := c.hot.recent.Front(); e != nil; e = e.Next() {
		if key := e.Value.(*hotRendition).of.key; strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// removeOf removes the renditions whose keys begin with prefix, and returns how many there were on
// the disk. Another process may have removed their files: what is at hand of them goes too.
func (c *renditionCache) removeOf(prefix string) (removed int, err error) {
	entries, err := os.ReadDir(filepath.Dir(c.path(prefix)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("looking for the renditions of an original: %w", err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			c.drop(entry.Name())
			removed++
		}
	}
	for _, key := range c.hotOf(prefix) {
		c.drop(key)
	}
	return removed, nil
}
