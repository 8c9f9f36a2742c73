package disk

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

// A Spool is the folder for uploads in progress and for originals that are fetched from a remote blob
// store. A file reserves received bytes only, so a client that declares a large size and sends little
// reserves little. The pool limits the reservations of all files together, and of each account.
type Spool struct {
	Dir       string
	disk      *Disk
	pool      *limit.Pool
	unwritten atomic.Int64 // reserved bytes that are not written to the disk yet
}

// A File is a file in a spool. Its first byte creates it. Close removes it, unless it was moved away. It is not
// safe for concurrent use.
type File struct {
	file     *os.File // nil before the first byte
	spool    *Spool
	keys     []string
	lease    *limit.Lease // nil before the first byte
	expected int64        // final size of the file in bytes, as far as known
	reserved int64
	written  int64
}

// OpenSpool creates or empties a folder of the data folder: files that a crash left there were never
// acknowledged.
func (d *Disk) OpenSpool(name string, pool *limit.Pool) (*Spool, error) {
	dir := filepath.Join(d.Dir, name)
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
	s := &Spool{Dir: dir, disk: d, pool: pool}
	d.spools = append(d.spools, s)
	return s, nil
}

// Admit returns an error if a file of some bytes does not fit now. It reserves no bytes. Errors: Busy, NoSpace.
func (s *Spool) Admit(bytes int64, keys ...string) error {
	lease, err := s.pool.TryAcquire(bytes, keys...)
	if err != nil {
		return Full(err)
	}
	defer lease.Release()
	s.disk.reserve.Lock()
	defer s.disk.reserve.Unlock()
	return s.disk.MakeSpace(bytes + s.disk.unwritten())
}

// File returns an empty file. expected is its final size in bytes, as far as known. keys are its keys in the
// pool of the spool.
func (s *Spool) File(expected int64, keys ...string) *File {
	return &File{spool: s, keys: keys, expected: expected}
}

// unwritten returns the reserved bytes of all spools that are not written yet.
func (d *Disk) unwritten() (bytes int64) {
	for _, s := range d.spools {
		bytes += s.unwritten.Load()
	}
	return bytes
}

// Write appends to the file. Errors: Busy if the spool, or the share of a key in it, is full; NoSpace if the disk is
// full.
func (f *File) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if to := f.written + int64(len(p)); to > f.reserved {
		if err := f.Reserve(max(to, min(f.reserved+spoolStep, f.expected))); err != nil {
			return 0, err
		}
	}
	if f.file == nil {
		var err error
		// The random name is new: O_EXCL says so.
		f.file, err = os.OpenFile(filepath.Join(f.spool.Dir, text.NewKey()),
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

// OS returns the open file, nil before the first byte.
func (f *File) OS() *os.File { return f.file }

// Written returns the size of the file, in bytes.
func (f *File) Written() int64 { return f.written }

// Reserve reserves the space of a file of to bytes. Errors: Busy, NoSpace.
func (f *File) Reserve(to int64) (err error) {
	more := to - f.reserved
	if f.lease == nil {
		f.lease, err = f.spool.pool.TryAcquire(more, f.keys...)
	} else {
		err = f.lease.Grow(more)
	}
	if err != nil {
		return Full(err)
	}
	f.reserved = to
	d := f.spool.disk
	d.reserve.Lock()
	defer d.reserve.Unlock()
	f.spool.unwritten.Add(more)
	return d.MakeSpace(d.unwritten())
}

// Close closes and removes the file, and releases its reserved bytes.
func (f *File) Close() error {
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

// Full returns a Busy error for a full pool of uploads.
func Full(err error) error { return errs.AtCapacity("Too many uploads at once", err) }
