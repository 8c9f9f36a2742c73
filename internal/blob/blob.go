// Package blob keeps originals: immutable byte strings under keys that we choose.
//
// There are two stores: a directory (Dir) and a bucket of an S3-compatible service (S3). What both
// promise stands at Store, and package blobtest asks it of either. Open finds the store that an
// address names. A store knows nothing of images: who may read an object, and when it is garbage,
// is decided elsewhere.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// ErrNotExist says that no object has that key.
var ErrNotExist = errors.New("blob: no such object")

// PageSize is the largest number of objects in one page of List.
const PageSize = 1000

// Limits of a key, in bytes: a segment is a file name, and S3 knows no key over 1024 with our
// prefix before it.
const (
	maxKey     = 512
	maxSegment = 255
)

// Info is what a store knows of an object.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // by the store's clock
}

// A Store keeps objects. Keys are non-empty slash-separated paths of the characters
// [a-z0-9A-Z._-], of at most 512 bytes, without empty segments or segments that begin with a dot,
// none longer than 255 bytes: other keys are refused with an error, never cleaned. No key may go
// on, after a slash, where another ends ("a" and "a/b"): a directory cannot hold both.
//
// All methods may be called at the same time.
type Store interface {
	// Put stores the first size bytes of f under key, durably: when it returns nil the object
	// survives a power loss. It may move f away from f.Name(); the caller removes what is left.
	// A key is put once; what a second Put does to it is not defined. After an error the object
	// is absent or, seldom, there and complete; never there in part.
	Put(ctx context.Context, key string, f *os.File, size int64) error
	// Open returns the object's bytes from the position from, in bytes, which is less than the
	// object's size or 0; ErrNotExist when there is no object. The directory's reader is an
	// *os.File. Reading stops when ctx ends, in stores behind a network.
	Open(ctx context.Context, key string, from int64) (io.ReadCloser, error)
	// Stat returns ErrNotExist when there is no object.
	Stat(ctx context.Context, key string) (Info, error)
	// Delete removes the object. Nothing there is no error.
	Delete(ctx context.Context, key string) error
	// List returns objects whose keys begin with prefix in ascending order of key (of its
	// bytes), from after cursor ("" is the beginning; any string will do), at most PageSize,
	// and the cursor of the next page, "" at the end. A page may be short, even empty, and yet
	// not the last. What is put or deleted meanwhile may be listed or not.
	List(ctx context.Context, prefix, cursor string) (objects []Info, next string, err error)
}

// checkKey returns why key is none, nil when it is one.
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

// checkPrefix returns why no key can begin with prefix, nil when one can.
func checkPrefix(prefix string) error {
	if len(prefix) > maxKey {
		return fmt.Errorf("blob: a key of %d bytes; at most %d are allowed", len(prefix), maxKey)
	}
	rest := prefix
	for rest != "" {
		segment, after, slash := strings.Cut(rest, "/")
		if !isSegment(segment) {
			return fmt.Errorf("blob: bad segment %q in key %q; a segment is 1 to %d of the "+
				"characters a-z A-Z 0-9 . _ - and does not begin with a dot",
				segment, prefix, maxSegment)
		}
		if !slash {
			break
		}
		rest = after
	}
	return nil
}

// isSegment reports whether s may stand between the slashes of a key.
func isSegment(s string) bool {
	if s == "" || len(s) > maxSegment || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
