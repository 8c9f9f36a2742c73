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

// unfinished is the folder of copies that are not complete. It lies in the store so that a rename
// out of it cannot leave the file system, and begins with a dot so that no key leads into it.
const unfinished = ".put"

// abandonedAfter is the age at which a file in the folder unfinished has lost its writer. It is
// generous: another process may be at work on a slow network file system.
const abandonedAfter = 24 * time.Hour

// putAttempts bounds how often Put makes a folder anew that a Delete keeps removing.
const putAttempts = 100

// A Dir is a Store in a directory: an object is the regular file at its key. Several processes
// may use one directory at the same time.
//
// The order in which Put writes is what makes an object durable:
//
//  1. fsync of the file, still under its temporary name;
//  2. mkdir of the folders that its key needs;
//  3. rename to its key: from now on it is listed, whole;
//  4. fsync of its folder and of every folder above it up to the root.
//
// A crash before 3 leaves no object, a crash after 3 a whole one. The folders above are synced
// whether or not this Put made them: another Put may have made them and not come to its own 4. Once
// that is done it need not be done again for as long as the folder is the same one: see folder.
type Dir struct {
	root   *os.Root
	rename func(oldPath string, folder *os.File, name string) error // renameat, but for tests

	mu      sync.RWMutex // held for reading while lasting is used
	lasting *folder      // nil before the first Put
}

// OpenDir returns the store in the directory at path, which is made when it does not exist.
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
	if err := d.removeAbandoned(time.Now()); err != nil {
		return nil, errors.Join(
			fmt.Errorf("preparing the blob directory %s: %w", path, err), root.Close())
	}
	return d, nil
}

// OpenDirToRead returns the store in the directory at path without a change to it, not even what
// OpenDir tidies: of a server that runs, or on a disk that cannot be written. It is not for Put.
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
		// The name leads nowhere, but the open file can still be read.
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
// in the folder's own descriptor, so no link planted in the directory leads out of it.
func (d *Dir) place(ctx context.Context, key, oldPath string) error {
	if placed, err := d.placeInLasting(key, oldPath); placed {
		return err
	}
	name := path.Dir(key)
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		to, err := d.tryPlace(name, path.Base(key), oldPath)
		if err == nil {
			return d.settle(to)
		}
		// A Delete may remove the empty folder between our mkdir and our rename, or in the
		// midst of mkdir, which then says that the folder exists.
		raced := errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist)
		if attempt == putAttempts || !raced {
			return err
		}
	}
}

// A folder is one that objects are put into. While it is open no other can have its number, so it
// can be told from one that was made in its place.
type folder struct {
	*os.File
	name string
	info fs.FileInfo
}

// placeInLasting is place for a key in the lasting folder, whose own name is durable. false says
// that it is another one, or not there any more, and that nothing was done.
func (d *Dir) placeInLasting(key, oldPath string) (placed bool, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	f := d.lasting
	if f == nil || f.name != path.Dir(key) {
		return false, nil
	}
	if now, err := d.root.Stat(f.name); err != nil || !os.SameFile(now, f.info) {
		return false, nil
	}
	if d.rename(oldPath, f.File, path.Base(key)) != nil {
		return false, nil // the way of all others will tell why
	}
	return true, syncFolder(f.File)
}

// tryPlace makes the folder with a name, if need be, and renames the file into it.
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

// settle syncs a folder and every folder above it. Then it is the lasting one, unless the one that
// is now has something to do: then the next Put may make it so.
func (d *Dir) settle(f *folder) error {
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
		unused, d.lasting = d.lasting, f
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

// Delete implements Store. Folders that it leaves empty go too.
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
		// The system refuses to remove a folder that is not empty. Any refusal ends this: an
		// empty folder is untidy, not wrong.
		if d.root.Remove(folder) != nil {
			break
		}
	}
	return nil
}

// removeAbandoned makes the folder of unfinished copies, which also shows at the start whether
// the directory can be written, and removes what a crash has left in it.
func (d *Dir) removeAbandoned(now time.Time) error {
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
		if now.Sub(info.ModTime()) > abandonedAfter {
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
	// Some file systems have no fsync for folders and say so; there is nothing better to do.
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
