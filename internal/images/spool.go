package images

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"

	"calotype/internal/errs"
	"calotype/internal/limit"
	"calotype/internal/text"
)

// spoolStep is the step in which a file of the spool reserves received bytes.
const spoolStep = 256 << 10

// LeastSpool returns the minimum of Config.SpoolBytes: without other uploads, a body for a one-time URL
// gets a quarter of the spool.
func LeastSpool(maxUploadBytes int64) int64 { return 4 * maxUploadBytes }

// A spool is the folder for uploads in progress and for originals that are fetched from a remote blob
// store. A file reserves received bytes only, so a client that declares a large size and sends little
// reserves little. The pool limits the reservations of all files together, and of each account.
type spool struct {
	dir       string
	pool      *limit.Pool
	unwritten atomic.Int64 // reserved bytes that are not written to the disk yet
}

// A spoolFile is a file in the spool, made with its first byte; Close removes it, unless it was
// moved away. It is not safe for concurrent use.
type spoolFile struct {
	file     *os.File // nil before the first byte
	s        *Service
	spool    *spool
	keys     []string
	lease    *limit.Lease // nil before the first byte
	expected int64        // final size of the file in bytes, as far as known
	reserved int64
	written  int64
}

// openSpool creates or empties the folder: files that a crash left there were never acknowledged.
func openSpool(dir string, pool *limit.Pool) (*spool, error) {
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
	return &spool{dir: dir, pool: pool}, nil
}

// admits returns an error if a file of bytes bytes would not fit now. It reserves nothing.
func (s *Service) admits(sp *spool, bytes int64, keys ...string) error {
	lease, err := sp.pool.TryAcquire(bytes, keys...)
	if err != nil {
		return spoolFull(err)
	}
	defer lease.Release()
	s.room.Lock()
	defer s.room.Unlock()
	return s.makeRoom(bytes + s.unwritten())
}

// spoolFile returns a file that holds nothing yet. expected is how many bytes it has in the end.
func (s *Service) spoolFile(sp *spool, expected int64, keys ...string) *spoolFile {
	return &spoolFile{s: s, spool: sp, keys: keys, expected: expected}
}

// unwritten returns how many bytes the files of all spools may still take of the disk.
func (s *Service) unwritten() int64 { return s.spool.unwritten.Load() + s.fetched.unwritten.Load() }

// Write appends to the file: Busy when the spool or the keys' share of it is full, NoSpace when the
// disk is.
func (f *spoolFile) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if to := f.written + int64(len(p)); to > f.reserved {
		if err := f.reserve(max(to, min(f.reserved+spoolStep, f.expected))); err != nil {
			return 0, err
		}
	}
	if f.file == nil {
		var err error
		// The random name is new: O_EXCL says so.
		f.file, err = os.OpenFile(filepath.Join(f.spool.dir, text.NewKey()),
			os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, fmt.Errorf("making a spool file: %w", err)
		}
	}
	n, err := f.file.Write(p)
	f.written += int64(n)
	f.spool.unwritten.Add(-int64(n))
	if err != nil {
		return n, fmt.Errorf("writing to the spool: %w", err)
	}
	return n, nil
}

// reserve lets the file grow to a size.
func (f *spoolFile) reserve(to int64) (err error) {
	more := to - f.reserved
	if f.lease == nil {
		f.lease, err = f.spool.pool.TryAcquire(more, f.keys...)
	} else {
		err = f.lease.Grow(more)
	}
	if err != nil {
		return spoolFull(err)
	}
	f.reserved = to
	f.s.room.Lock()
	defer f.s.room.Unlock()
	f.spool.unwritten.Add(more)
	return f.s.makeRoom(f.s.unwritten())
}

// Close closes and removes the file, and gives back what it has reserved.
func (f *spoolFile) Close() error {
	defer func() {
		f.lease.Release()
		f.spool.unwritten.Add(f.written - f.reserved)
	}()
	if f.file == nil {
		return nil
	}
	err := os.Remove(f.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, f.file.Close())
}

func spoolFull(err error) error { return errs.AtCapacity("Too many uploads at once", err) }
