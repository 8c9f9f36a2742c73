package images

import (
	"bytes"
	"container/list"
	"errors"
	"io"
	"os"
)

const (
	// hotSize is the size of the largest rendition that is kept in memory, in bytes. To copy a
	// larger one to a connection costs more than to have the system send it out of its file.
	hotSize = 64 << 10
	// hotBudget bounds the bytes of all that are, with what keeping one takes besides.
	hotBudget   = 16 << 20
	hotOverhead = 512
)

// hotRenditions keeps the bytes of small renditions that were lately asked for. They belong to the
// entries of the cache and go with them: what was dropped is not served out of memory either. The
// cache's mu guards it.
type hotRenditions struct {
	size   int64
	recent *list.List // of *hotRendition, the most recent one first
}

type hotRendition struct {
	of   *renditionEntry
	data []byte // never changed
}

func (h *hotRendition) cost() int64 { return int64(cap(h.data)) + hotOverhead }

// get returns the bytes of an entry and marks them as recent; nil when they are not here.
func (h *hotRenditions) get(e *renditionEntry) []byte {
	if e.hot == nil {
		return nil
	}
	h.recent.MoveToFront(e.hot)
	return e.hot.Value.(*hotRendition).data
}

func (h *hotRenditions) put(e *renditionEntry, data []byte) {
	h.forget(e)
	kept := &hotRendition{e, data}
	e.hot = h.recent.PushFront(kept)
	h.size += kept.cost()
	for h.size > hotBudget {
		h.forget(h.recent.Back().Value.(*hotRendition).of)
	}
}

func (h *hotRenditions) forget(e *renditionEntry) {
	if e.hot == nil {
		return
	}
	h.size -= e.hot.Value.(*hotRendition).cost()
	h.recent.Remove(e.hot)
	e.hot = nil
}

// inMemory is a rendition whose bytes are in memory.
func inMemory(data []byte) Rendition {
	return Rendition{Size: int64(len(data)), Bytes: data, Content: memoryContent{bytes.NewReader(data)}}
}

type memoryContent struct{ *bytes.Reader }

func (memoryContent) Close() error { return nil }

// readAndClose reads a file that has size bytes.
func readAndClose(f *os.File, size int64) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, errors.Join(err, f.Close())
}
