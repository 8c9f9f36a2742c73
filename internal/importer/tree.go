package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/blob"
)

// A Tree is a set of files that are imported: a folder, or the objects of a bucket below a prefix.
type Tree interface {
	// Each calls fn with each file, in the same order each time, and returns fn's first error.
	Each(ctx context.Context, fn func(File) error) error
	// Open opens the bytes of a file, which the caller closes. If head is not 0, only the first head bytes are read.
	// Errors: errChanged; another one may be temporary.
	Open(ctx context.Context, f File, head int64) (io.ReadCloser, error)
	// String returns the address of the tree.
	String() string
}

// A File is an entry of a Tree.
type File struct {
	Path     string // relative to the root, with slashes
	Size     int64  // bytes
	Modified time.Time
	Skipped  Skip // not "": it is not imported

	object blob.Object // in a bucket
	info   fs.FileInfo // in a folder
}

// A Skip is the reason why an entry of a Tree is not read.
type Skip string

// The reasons.
const (
	Hidden  Skip = "hidden"  // the name, or that of a folder above, begins with a dot
	Link    Skip = "link"    // a symbolic link
	Special Skip = "special" // neither a file nor a folder: a pipe, a socket, a device
	OwnData Skip = "own"     // the data folder, or the folder of originals
)

// errChanged says that a file was deleted or replaced after it was listed.
var errChanged = errors.New("the file was deleted or replaced after it was listed")

// A Folder is the Tree of a folder. It follows no link, so it reads nothing outside of the folder.
type Folder struct {
	root *os.Root
	own  []fs.FileInfo
}

// OpenFolder opens a folder. The own folders of the server, which may be within it, are skipped.
func OpenFolder(dir string, own ...string) (*Folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder to import: %w", err)
	}
	f := &Folder{root: root}
	for _, one := range own {
		info, err := os.Stat(one)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("looking for the data folder: %w", err), root.Close())
		}
		f.own = append(f.own, info)
	}
	return f, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

// String implements Tree.
func (f *Folder) String() string { return f.root.Name() }

// Each implements Tree: in the order of names, with the files of a folder at its name.
// Each implements Tree.
func (f *Folder) Each(ctx context.Context, fn func(File) error) error {
	return fs.WalkDir(f.root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("reading the folder %s: %w", path.Join(f.root.Name(), name), err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted since
		}
		if err != nil {
			return fmt.Errorf("reading the folder %s: %w", path.Join(f.root.Name(), name), err)
		}
		file := File{Path: name, Size: info.Size(), Modified: info.ModTime(), Skipped: f.skip(name, info), info: info}
		switch {
		case !info.IsDir():
			return fn(file)
		case file.Skipped == "":
			return nil
		}
		if err := fn(file); err != nil {
			return err
		}
		return fs.SkipDir
	})
}

// skip returns the reason why an entry is not read, "" if it is.
func (f *Folder) skip(name string, info fs.FileInfo) Skip {
	switch {
	case info.IsDir():
		for _, own := range f.own {
			if os.SameFile(own, info) {
				return OwnData
			}
		}
	case info.Mode()&fs.ModeSymlink != 0:
		return Link
	case !info.Mode().IsRegular():
		return Special
	}
	if name != "." && strings.HasPrefix(path.Base(name), ".") {
		return Hidden
	}
	return ""
}

// Open implements Tree. The file must be the one that was listed: another one may have its name now.
func (f *Folder) Open(_ context.Context, file File, _ int64) (io.ReadCloser, error) {
	// A pipe of that name would block without O_NONBLOCK.
	opened, err := f.root.OpenFile(file.Path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil, errChanged
	}
	if err != nil {
		return nil, brokenError{fmt.Errorf("opening the file: %w", err)}
	}
	info, err := opened.Stat()
	if err == nil && (!os.SameFile(info, file.info) || info.Size() != file.Size ||
		!info.ModTime().Equal(file.Modified)) {
		err = errChanged
	}
	if err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return opened, nil
}

// A Bucket is the Tree of the objects of a bucket.
type Bucket struct {
	objects *blob.Bucket
	address string
}

// NewBucket returns the Tree of objects, which has an address.
func NewBucket(objects *blob.Bucket, address string) *Bucket { return &Bucket{objects, address} }

// String implements Tree.
func (b *Bucket) String() string { return b.address }

// Each implements Tree.
func (b *Bucket) Each(ctx context.Context, fn func(File) error) error {
	return b.objects.Each(ctx, func(o blob.Object) error {
		f := File{Path: o.Key, Size: o.Size, Modified: o.Modified, object: o}
		if strings.HasPrefix(o.Key, ".") || strings.Contains(o.Key, "/.") {
			f.Skipped = Hidden
		}
		return fn(f)
	})
}

// Open implements Tree.
func (b *Bucket) Open(ctx context.Context, f File, head int64) (io.ReadCloser, error) {
	r, err := b.objects.Open(ctx, f.object, head)
	switch {
	case errors.Is(err, blob.ErrReplaced):
		return nil, errChanged
	case err != nil:
		return nil, brokenError{err}
	}
	return r, nil
}
