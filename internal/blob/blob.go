// Package blob stores originals: immutable byte strings under keys that the program chooses.
//
// There are two stores: a directory (Dir) and a bucket of an S3-compatible service (S3). Store
// specifies their common behaviour, and package blobtest tests it for both. Open returns the store at
// an address. Stores do not depend on images: other packages decide on access and on garbage.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// ErrNotExist says that no object has that key.
var ErrNotExist = errors.New("blob: no such object")

// PageSize is the largest number of objects in one page of List.
const PageSize = 1000

// Limits of a key, in bytes. A segment is a file name. S3 keys have at most 1024 bytes, including the
// store's prefix.
const (
	maxKey     = 512
	maxSegment = 255
)

// Info holds the properties of an object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the store's clock
}

// A Store stores objects. Keys are non-empty slash-separated paths of the characters [a-z0-9A-Z._-], of at most 512
// bytes, without empty segments or segments that begin with a dot, none longer than 255 bytes. A store refuses other
// keys with an error. No key may be another key plus a slash and more ("a" and "a/b"), because a directory cannot
// have both.
//
// All methods are safe for concurrent use.
type Store interface {
	// Put stores the first size bytes of f under key, durably: when it returns nil the object
	// survives a power loss. It may move f away from f.Name(); otherwise the caller removes f.
	// A key is put once; the result of a second Put is not defined. After an error the object
	// is absent or, rarely, complete; never incomplete.
	Put(ctx context.Context, key string, f *os.File, size int64) error
	// Open returns the object's bytes from the position from, in bytes, which is less than the object's size or 0.
	// Error: ErrNotExist. The reader of a Dir is an *os.File. In a store behind a network, reading stops when ctx
	// ends.
	Open(ctx context.Context, key string, from int64) (io.ReadCloser, error)
	// Stat returns the Info of an object. Error: ErrNotExist.
	Stat(ctx context.Context, key string) (Info, error)
	// Delete deletes the object. If there is no object, Delete returns nil.
	Delete(ctx context.Context, key string) error
	// List returns objects whose keys begin with prefix in ascending order of key (of its
	// bytes), after cursor ("" is the beginning; any string is valid), at most PageSize,
	// and the cursor of the next page, "" at the end. A page that is not the last may be short or
	// empty. Objects that are put or deleted concurrently may be listed or not.
	List(ctx context.Context, prefix, cursor string) (objects []Info, next string, err error)
}

// checkKey returns an error if key is not valid.
func checkKey(key string) error {
	if key == "" {
		return errors.New("blob: a key cannot be empty")
	}
	if err := checkPrefix(key); err != nil {
		return err
	}
	if strings.HasSuffix(key, "/") {
		return fmt.Errorf("blob: key %q ends with a slash; a key ends with a name", key)
	}
	return nil
}

// checkPrefix returns an error if no key can begin with prefix.
func checkPrefix(prefix string) error {
	if len(prefix) > maxKey {
		return fmt.Errorf("blob: a key of %d bytes; at most %d are allowed", len(prefix), maxKey)
	}
	if prefix == "" {
		return nil
	}
	for s := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		if !isSegment(s) {
			return fmt.Errorf("blob: bad segment %q in key %q; a segment is 1 to %d of the "+
				"characters a-z A-Z 0-9 . _ - and does not begin with a dot", s, prefix, maxSegment)
		}
	}
	return nil
}

var segment = regexp.MustCompile(`^[a-zA-Z0-9_-][a-zA-Z0-9._-]*$`)

// isSegment reports whether s may stand between the slashes of a key.
func isSegment(s string) bool { return len(s) <= maxSegment && segment.MatchString(s) }
