package images

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

const (
	// hotSize is the size of the largest rendition that is kept in memory, in bytes. To copy a
	// larger one to a connection costs more than to have the system send it out of its file.
	hotSize = 64 << 10
	// hotBudget bounds the bytes of all that are, with what keeping one takes besides.
	hotBudget   = 16 << 20
	hotOverhead = 512
	// hotFiles bounds the larger ones, of which the file is kept open. It counts in the same
	// budget, at so much each.
	hotFiles    = 256
	hotFileCost = hotBudget / hotFiles
)

// hotRenditions keeps what was lately asked for at hand: the bytes of small renditions, the open
// files of large ones. They belong to the entries of the cache and go with them: what was dropped
// is not served out of memory either. fairLRU says which go first. The cache's mu
// guards it.
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

// use returns an entry's rendition and marks it as recent; its Content is nil when it is not here.
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

// inMemory is a rendition whose bytes are in memory.
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

// A sharedFile is an open file that is closed when the last of its users has left it. Whoever makes
// it is the first.
type sharedFile struct {
	file  *os.File
	mu    sync.Mutex
	users int
}

// use returns the rendition that is the first size bytes of the file. The caller is a user himself.
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

// Close leaves the file. Only the first one does.
func (c *fileContent) Close() (err error) {
	c.once.Do(func() { err = c.leave() })
	return err
}
