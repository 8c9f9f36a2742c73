package diskcache

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

// A Value is a cached rendition. Besides Content exactly one of Bytes and File is set. Both are shared: do
// not modify Bytes, and read File with ReadAt only, until Content is closed. Content is nil if the cache does
// not have the rendition.
type Value struct {
	Size    int64 // bytes
	Content io.ReadSeekCloser
	Bytes   []byte
	File    *os.File
}

const (
	// maxMemoryItem is the size of the largest rendition in memory, in bytes. Copying a larger one to a
	// connection costs more than sendfile from its file.
	maxMemoryItem = 64 << 10
	// memoryBudget limits the bytes of all of them, including the overhead of each.
	memoryBudget = 16 << 20
	itemOverhead = 512
	// maxOpenFiles limits the larger ones, whose files stay open. Each counts as a fixed size in the same
	// budget.
	maxOpenFiles = 256
	openFileCost = memoryBudget / maxOpenFiles
)

// memoryTier is the memory tier of the cache: the bytes of small renditions, and the open files of
// large ones. They belong to the entries of the cache and are removed with them, so an evicted
// rendition is not served from memory either. Evictions follow fairLRU. The cache's mu guards it.
type memoryTier struct{ lru *fairLRU[*memoryItem] }

type memoryItem struct {
	of   *cached
	data []byte      // never changed; nil for a file
	file *sharedFile // nil for bytes
}

func (i *memoryItem) cost() int64 {
	if i.file != nil {
		return openFileCost
	}
	return int64(cap(i.data)) + itemOverhead
}

// use returns an entry's rendition and marks it as recently used; its Content is nil if it is not in memory.
func (m *memoryTier) use(e *cached, kind int) Value {
	if e.memory == nil {
		return Value{}
	}
	m.lru.use(e.memory, kind)
	item := e.memory.value
	if item.file != nil {
		return item.file.use(e.size)
	}
	return valueOf(item.data)
}

func (m *memoryTier) put(kept *memoryItem) {
	e := kept.of
	m.forget(e)
	e.memory = m.lru.add(e.lru.account.name, e.lru.kind, kept.cost(), kept)
	for m.lru.size > memoryBudget {
		m.forget(m.lru.next().value.of)
	}
}

func (m *memoryTier) forget(e *cached) {
	if e.memory == nil {
		return
	}
	item := e.memory.value
	m.lru.remove(e.memory)
	e.memory = nil
	if item.file != nil {
		_ = item.file.leave() // it was only read
	}
}

// valueOf returns the value with bytes in memory.
func valueOf(data []byte) Value {
	content := memoryContent{bytes.NewReader(data)}
	return Value{Size: int64(len(data)), Bytes: data, Content: content}
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
func (s *sharedFile) use(size int64) Value {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users++
	return Value{Size: size, File: s.file, Content: &fileContent{
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
