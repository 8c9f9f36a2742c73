package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unfinished is the folder of incomplete copies. It is in the store, so that a rename out of it stays
// within the file system. It begins with a dot, so that no key leads into it.
const unfinished = ".put"

// staleAfter is the age from which a file in the folder unfinished counts as left by a crash. It is
// generous, because another process may be writing to a slow network file system.
const staleAfter = 24 * time.Hour

// putAttempts bounds the attempts of Put to make a folder that concurrent Deletes remove.
const putAttempts = 100

// A Dir is a Store in a directory: an object is the regular file at its key. Several processes
// may use one directory at the same time.
//
// Put makes an object durable by the order of its steps:
//
//  1. fsync of the file, still under its temporary name;
//  2. mkdir of the folders that its key needs;
//  3. rename to its key: from now on the complete object is listed;
//  4. fsync of its folder and of every folder above it up to the root.
//
// A crash before 3 leaves no object, a crash after 3 a complete one. The folders above are synced
// whether or not this Put made them, because another Put may have made them and not reached its step 4.
// After that they need no further sync while the folder is the same one: see folder.
type Dir struct {
	root   *os.Root
	rename func(oldPath string, folder *os.File, name string) error // renameat, except in tests

	mu         sync.RWMutex // locked for reading while durableDir is used
	durableDir *folder      // the folder of a recent Put, with a durable name; nil before the first Put
}

// OpenDir returns the store in the directory at path. It makes the directory if it does not exist.
func OpenDir(path string) (*Dir, error) {
	// Put renames by path: a later change of the working directory must not matter.
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("finding the blob directory: %w", err)
	}
	if err := makeDurable(path); err != nil {
		return nil, fmt.Errorf("making the blob directory: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the blob directory: %w", err)
	}
	d := &Dir{root: root, rename: renameAt}
	if err := d.removeStaleTemps(time.Now()); err != nil {
		return nil, errors.Join(
			fmt.Errorf("preparing the blob directory %s: %w", path, err), root.Close())
	}
	return d, nil
}

// OpenDirToRead returns the store in the directory at path without changing the directory: it may be the
// one of a running server, or on a read-only disk. Put must not be called on it.
func OpenDirToRead(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("opening the blob directory: %w", err)
	}
	return &Dir{root: root, rename: renameAt}, nil
}

// Put implements Store.
func (d *Dir) Put(ctx context.Context, key string, f *os.File, size int64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := d.put(ctx, key, f, size); err != nil {
		return fmt.Errorf("storing blob %s: %w", key, err)
	}
	return nil
}

func (d *Dir) put(ctx context.Context, key string, f *os.File, size int64) error {
	movable, err := isMovable(f, size)
	if err != nil {
		return err
	}
	if movable {
		if err := f.Sync(); err != nil {
			return err
		}
		err := d.place(ctx, key, f.Name())
		if !errors.Is(err, syscall.EXDEV) {
			return err
		}
	}
	return d.copy(ctx, key, io.NewSectionReader(f, 0, size), size)
}

// isMovable reports whether a rename of f.Name() would bring exactly the first size bytes of f.
func isMovable(f *os.File, size int64) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if size < 0 || info.Size() < size {
		return false, fmt.Errorf("the file has %d bytes, not %d", info.Size(), size)
	}
	named, err := os.Lstat(f.Name())
	if err != nil {
		// The name does not exist, but the open file can still be read.
		return false, nil
	}
	return info.Size() == size && info.Mode().IsRegular() && os.SameFile(info, named), nil
}

// removeTemporary removes a copy that was not renamed.
func (d *Dir) removeTemporary(name string) error {
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// place renames the synced file at oldPath to key and makes that durable. The name is looked up
// in the folder's descriptor, so a link that was planted in the directory cannot lead out of it.
func (d *Dir) place(ctx context.Context, key, oldPath string) error {
	if placed, err := d.placeInDurable(key, oldPath); placed {
		return err
	}
	name := path.Dir(key)
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		to, err := d.tryPlace(name, path.Base(key), oldPath)
		if err == nil {
			return d.syncParents(to)
		}
		// A Delete may remove the empty folder between mkdir and rename, or during
		// mkdir, which then returns that the folder exists.
		raced := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
		if attempt == putAttempts || !raced {
			return err
		}
	}
}

// A folder is an open folder for objects. While it is open no other folder can have its inode number,
// so it can be distinguished from a later folder of the same name.
type folder struct {
	*os.File
	name string
	info fs.FileInfo
}

// placeInDurable is place for a key in durableDir. It returns false, and does nothing, if the folder of
// the key is another one or no longer exists.
func (d *Dir) placeInDurable(key, oldPath string) (placed bool, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f := d.durableDir
	if f == nil || f.name != path.Dir(key) {
		return false, nil
	}
	if now, err := d.root.Stat(f.name); err != nil || !os.SameFile(now, f.info) {
		return false, nil
	}
	if d.rename(oldPath, f.File, path.Base(key)) != nil {
		return false, nil // place by path will return the error
	}
	return true, syncFolder(f.File)
}

// tryPlace makes the folder with a name, if it does not exist, and renames the file into it.
func (d *Dir) tryPlace(name, object, oldPath string) (*folder, error) {
	if err := d.root.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	to, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := to.Stat()
	if err == nil {
		err = d.rename(oldPath, to, object)
	}
	if err != nil {
		return nil, errors.Join(err, to.Close())
	}
	return &folder{to, name, info}, nil
}

// syncParents syncs a folder and every folder above it. Then the folder becomes durableDir, unless the
// present durableDir is in use: then a later Put may set it.
func (d *Dir) syncParents(f *folder) error {
	err := syncFolder(f.File)
	for name := f.name; err == nil && name != "."; {
		name = path.Dir(name)
		var above *os.File
		if above, err = d.root.Open(name); err == nil {
			err = SyncFolder(above)
		}
	}
	unused := f
	if err == nil && d.mu.TryLock() {
		unused, d.durableDir = d.durableDir, f
		d.mu.Unlock()
	}
	if unused != nil {
		err = errors.Join(err, unused.Close())
	}
	return err
}

// Open implements Store. The reader is an *os.File.
func (d *Dir) Open(ctx context.Context, key string, from int64) (io.ReadCloser, error) {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return nil, err
	}
	f, err := d.root.Open(key)
	if err != nil {
		return nil, dirError("opening", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err == nil && from != 0 {
		_, err = f.Seek(from, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(dirError("opening", key, err), f.Close())
	}
	return f, nil
}

// Stat implements Store.
func (d *Dir) Stat(ctx context.Context, key string) (Info, error) {
	if err := errors.Join(ctx.Err(), checkKey(key)); err != nil {
		return Info{}, err
	}
	info, err := d.root.Lstat(key)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return Info{}, dirError("looking at", key, err)
	}
	return Info{Key: key, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Delete implements Store. It also removes folders that become empty.
func (d *Dir) Delete(ctx context.Context, key string) error {
	if _, err := d.Stat(ctx, key); err != nil {
		if errors.Is(err, ErrNotExist) {
			return nil
		}
		return err
	}
	if err := d.root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("deleting blob %s: %w", key, err)
	}
	for folder := path.Dir(key); folder != "."; folder = path.Dir(folder) {
		// The system refuses to remove a folder that is not empty. Any error ends the loop: an
		// empty folder does no harm.
		if d.root.Remove(folder) != nil {
			break
		}
	}
	return nil
}

// removeStaleTemps makes the folder of unfinished copies, which also tests at the start whether
// the directory is writable, and removes files that a crash has left in it.
func (d *Dir) removeStaleTemps(now time.Time) error {
	if err := d.root.Mkdir(unfinished, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := fs.ReadDir(d.root.FS(), unfinished)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(unfinished, e.Name())
		info, err := d.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if now.Sub(info.ModTime()) > staleAfter {
			if err := d.removeTemporary(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// dirError wraps the error of one object.
func dirError(doing, key string, err error) error {
	// ENOTDIR: a part of the key names a file.
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		err = ErrNotExist
	}
	return fmt.Errorf("%s blob %s: %w", doing, key, err)
}

// renameAt moves the file at oldPath to name in folder.
func renameAt(oldPath string, folder *os.File, name string) error {
	err := unix.Renameat(unix.AT_FDCWD, oldPath, int(folder.Fd()), name)
	for errors.Is(err, syscall.EINTR) {
		err = unix.Renameat(unix.AT_FDCWD, oldPath, int(folder.Fd()), name)
	}
	if err != nil {
		return &os.LinkError{Op: "renameat", Old: oldPath, New: name, Err: err}
	}
	return nil
}

// makeDurable makes the directory at the absolute path, and syncs the folder above each one that
// it made.
func makeDurable(path string) error {
	var parents []string
	for p := path; ; p = filepath.Dir(p) {
		if _, err := os.Stat(p); err == nil {
			break
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		parents = append(parents, filepath.Dir(p))
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	for _, p := range parents {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		if err := SyncFolder(f); err != nil {
			return err
		}
	}
	return nil
}

// SyncFolder makes the names in a folder durable, and closes it.
func SyncFolder(f *os.File) error { return errors.Join(syncFolder(f), f.Close()) }

func syncFolder(f *os.File) error {
	err := f.Sync()
	// Some file systems have no fsync for folders, and return such an error; there is no alternative.
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		err = nil
	}
	return err
}

// A ctxReader reads until its context ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
