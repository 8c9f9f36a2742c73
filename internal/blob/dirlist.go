package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// readBatch is the number of names that List reads from a folder at a time.
const readBatch = 1024

// List implements Store. It walks the directory in the order of keys, and not into folders that
// are outside prefix or before cursor. It holds one page, and at most PageSize+1 names of each
// folder on the path and readBatch further ones; larger folders are read again for each of their pages.
func (d *Dir) List(ctx context.Context, prefix, cursor string) ([]Info, string, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, "", err
	}
	w := &dirWalk{dir: d, prefix: prefix, cursor: cursor}
	// No key outside this folder has the prefix.
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if err := w.walk(ctx, folder); err != nil {
		return nil, "", fmt.Errorf("listing blobs %q: %w", prefix, err)
	}
	if len(w.found) <= PageSize {
		return w.found, "", nil
	}
	page := w.found[:PageSize:PageSize]
	return page, page[PageSize-1].Key, nil
}

// A dirWalk collects one page and one object more, which shows that there is a next page.
type dirWalk struct {
	dir            *Dir
	prefix, cursor string
	found          []Info
}

func (w *dirWalk) full() bool { return len(w.found) > PageSize }

// walk collects the objects under folder, which is "" or ends with a slash. A folder that was
// removed concurrently is empty.
func (w *dirWalk) walk(ctx context.Context, folder string) error {
	for after := ""; ; {
		keys, err := w.next(ctx, folder, after)
		if err != nil {
			return err
		}
		for _, key := range keys {
			if strings.HasSuffix(key, "/") {
				err = w.walk(ctx, key)
			} else {
				err = w.add(key)
			}
			if err != nil {
				return err
			}
			if w.full() {
				return nil
			}
		}
		if len(keys) <= PageSize {
			return nil
		}
		after = keys[len(keys)-1]
	}
}

// next returns the entries of folder to visit after one of them, at most PageSize+1, as keys in
// ascending order. A folder's key ends with a slash, like the beginning of the keys in it: so "a.b"
// comes before "a/b" although the name "a" comes before "a.b".
func (w *dirWalk) next(ctx context.Context, folder, after string) (_ []string, err error) {
	f, err := w.dir.root.Open(path.Join(".", folder))
	if isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var keys []string
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := f.ReadDir(readBatch)
		for _, e := range entries {
			if key := w.wanted(folder, e); key > after {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		keys = keys[:min(len(keys), PageSize+1)]
		if errors.Is(err, io.EOF) || isGone(err) {
			return keys, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// wanted returns the key of a folder's entry, "" if List skips it.
func (w *dirWalk) wanted(folder string, e fs.DirEntry) string {
	key := folder + e.Name()
	if !isSegment(e.Name()) || len(key) > maxKey {
		return ""
	}
	switch {
	case e.Type().IsRegular():
		if strings.HasPrefix(key, w.prefix) && key > w.cursor {
			return key
		}
	case e.IsDir():
		key += "/"
		reachesPrefix := strings.HasPrefix(key, w.prefix) || strings.HasPrefix(w.prefix, key)
		if reachesPrefix && (key > w.cursor || strings.HasPrefix(w.cursor, key)) {
			return key
		}
	}
	return ""
}

// add collects one object, unless it was deleted concurrently.
func (w *dirWalk) add(key string) error {
	info, err := w.dir.root.Lstat(key)
	if isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	w.found = append(w.found, Info{Key: key, Size: info.Size(), Modified: info.ModTime()})
	return nil
}

// isGone reports whether a name, or a folder on the way to it, does not exist.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}
