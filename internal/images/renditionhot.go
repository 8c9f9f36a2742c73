package images

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

const (
	// hotSize is the size of the largest rendition in memory, in bytes. Copying a larger one to a
	// connection costs more than sendfile from its file.
	hotSize = 64 << 10
	// hotBudget limits the bytes of all of them, including the overhead of each.
	hotBudget   = 16 << 20
	hotOverhead = 512
	// hotFiles limits the larger ones, whose files stay open. Each counts as a fixed size in the same
	// budget.
	hotFiles    = 256
	hotFileCost = hotBudget / hotFiles
)

// hotRenditions is the memory tier of the cache: the bytes of small renditions, and the open files of
// large ones. They belong to the entries of the cache and are removed with them, so an evicted
// rendition is not served from memory either. Evictions follow fairLRU. The cache's mu guards it.
type hotRenditions struct{ lru *fairLRU[*hotRendition] }

type hotRendition struct {
	of   *renditionEntry
	data []byte      // never changed; nil for a file
	file *sharedFile // nil for bytes
}

func (h *hotRendition) cost() int64 {
	if h.file != nil {
		return hotFileCost
	}
	return int64(cap(h.data)) + hotOverhead
}

// use returns an entry's rendition and marks it as recently used; its Content is nil if it is not in memory.
func (h *hotRenditions) use(e *renditionEntry, kind int) Rendition {
	if e.hot == nil {
		return Rendition{}
	}
	h.lru.use(e.hot, kind)
	hot := e.hot.value
	if hot.file != nil {
		return hot.file.use(e.size)
	}
	return inMemory(hot.data)
}

func (h *hotRenditions) put(kept *hotRendition) {
	e := kept.of
	h.forget(e)
	e.hot = h.lru.add(e.lru.account.name, e.lru.kind, kept.cost(), kept)
	for h.lru.size > hotBudget {
		h.forget(h.lru.next().value.of)
	}
}

func (h *hotRenditions) forget(e *renditionEntry) {
	if e.hot == nil {
		return
	}
	hot := e.hot.value
	h.lru.remove(e.hot)
	e.hot = nil
	if hot.file != nil {
		_ = hot.file.leave() // it was only read
	}
}

// inMemory returns a rendition with bytes in memory.
func inMemory(data []byte) Rendition {
	content := memoryContent{bytes.NewReader(data)}
	return Rendition{Size: int64(len(data)), Bytes: data, Content: content}
}

type memoryContent struct{ *bytes.Reader }

func (memoryContent) Close() error { return nil }

// readAndClose reads a file that has size bytes.
func readAndClose(f *os.File, size int64) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, errors.Join(err, f.Close())
}

// A sharedFile is an open file that is closed when its last user has closed it. Its creator is the first user.
type sharedFile struct {
	file  *os.File
	mu    sync.Mutex
	users int
}

// use returns the rendition of the first size bytes of the file. The caller must be a user of the file.
func (s *sharedFile) use(size int64) Rendition {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	return Rendition{Size: size, File: s.file, Content: &fileContent{
		SectionReader: io.NewSectionReader(s.file, 0, size), leave: s.leave,
	}}
}

func (s *sharedFile) leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		return s.file.Close()
	}
	return nil
}

type fileContent struct {
	*io.SectionReader
	leave func() error
	once  sync.Once
}

// Close leaves the file. Further calls do nothing.
func (c *fileContent) Close() (err error) {
	c.once.Do(func() { err = c.leave() })
	return err
}
