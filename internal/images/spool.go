package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A spool is the folder for bytes on their way: bodies being received, originals fetched from a
// remote blob store. Its size is bounded by what its files may grow to.
type spool struct {
	dir   string
	limit int64 // bytes
	mu    sync.Mutex
	used  int64
}

// A spoolFile is a file in the spool; Close removes it, unless it was moved away.
type spoolFile struct {
	*os.File
	spool    *spool
	reserved int64
}

// openSpool makes or empties the folder: what a crash left there was never acknowledged.
func openSpool(dir string, limit int64) (*spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the spool: %w", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	for _, entry := range left {
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			return nil, fmt.Errorf("emptying the spool: %w", err)
		}
	}
	return &spool{dir: dir, limit: limit}, nil
}

// file makes a file that may grow to size bytes. Busy when the spool is full.
func (sp *spool) file(size int64) (*spoolFile, error) {
	sp.mu.Lock()
	if sp.used+size > sp.limit {
		sp.mu.Unlock()
		return nil, busy("Too many uploads at once")
	}
	sp.used += size
	sp.mu.Unlock()
	// The random name is new: O_EXCL says so.
	f, err := os.OpenFile(filepath.Join(sp.dir, newKey()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		sp.release(size)
		return nil, fmt.Errorf("making a spool file: %w", err)
	}
	return &spoolFile{File: f, spool: sp, reserved: size}, nil
}

// reserved returns what the files of the spool may grow to together.
func (sp *spool) reserved() int64 {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.used
}

func (sp *spool) release(size int64) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.used -= size
}

// Close closes and removes the file.
func (f *spoolFile) Close() error {
	defer f.spool.release(f.reserved)
	err := os.Remove(f.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.File.Close())
}

func busy(msg string) *Error {
	return &Error{Kind: Busy, Msg: msg + "; try again in a few seconds", RetryAfter: 5 * time.Second}
}
