// Package disk keeps some bytes of the disk of a data folder free, for the database: it has a reserve, a ballast,
// and spools, whose files reserve bytes before they are written. It also locks the folder.
package disk

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/errs"
)

// A FileSystem is a kind of file system whose properties an operator must know.
type FileSystem struct {
	Name      string
	Network   bool // several machines may mount it
	Temporary bool // a restart of the machine or a new container discards its files
}

// Space returns the free and the whole bytes of the file system that holds dir.
func Space(dir string) (free, all int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil
}

// DefaultReserve returns the default of Disk.Reserve for the disk of dir, in bytes: the larger of 1 GiB and 5 %.
func DefaultReserve(dir string) (int64, error) {
	_, all, err := Space(dir)
	return max(1<<30, all/20), err
}

// A Disk is the disk of a data folder.
type Disk struct {
	Dir     string // path of the folder
	Reserve int64  // bytes that stay free; 0 for DefaultReserve, which Start sets
	// Evict deletes cached files of at least some bytes, and returns the bytes of the deleted ones.
	Evict func(bytes int64) int64
	Space func(dir string) (free, all int64, err error) // the function Space, except in tests
	Log   *slog.Logger

	started bool
	reserve sync.Mutex // guards the reservations of spool files, not the field Reserve
	spools  []*Spool
	state   state
}

// Start sets the default of Reserve, enables CheckSpace and writes the ballast.
func (d *Disk) Start() (err error) {
	if d.Reserve == 0 {
		if d.Reserve, err = DefaultReserve(d.Dir); err != nil {
			return err
		}
	}
	d.started = true
	return d.MakeBallast()
}

// MakeSpace evicts cached files until bytes can be written without touching the reserve. Error: NoSpace if that
// is not enough.
func (d *Disk) MakeSpace(bytes int64) error {
	free, _, err := d.Space(d.Dir)
	if err != nil {
		return err
	}
	lacking := d.Reserve + bytes - free
	if lacking > 0 {
		lacking -= d.Evict(lacking)
	}
	if lacking > 0 {
		d.state.log(d.Log, "free", free, "reserve", d.Reserve, "dir", d.Dir)
		return errs.OutOfSpace(nil)
	}
	return nil
}

// HasSpace reports whether the reserve is free. It evicts nothing.
func (d *Disk) HasSpace() bool {
	free, _, err := d.Space(d.Dir)
	return err == nil && free >= d.Reserve
}

const (
	lookEvery = time.Second // for those who add rows
	logEvery  = time.Minute
)

// A state is the result of the last check of the disk.
type state struct {
	mu     sync.Mutex
	looked time.Time
	err    error // nil: there is space
	logged time.Time
}

// log logs a full disk, at most once in logEvery.
func (d *state) log(log *slog.Logger, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.logged) >= logEvery {
		d.logged = now
		log.Error("out of disk", args...)
	}
}

// CheckSpace returns NoSpace while less than the reserve is free; callers that add rows call it. It reads the
// disk once a second, and evicts cached files first. Deletions, erasures and results of deliveries do not call
// it: the reserve is for them. Before Start it returns nil.
func (d *Disk) CheckSpace() error {
	if !d.started {
		return nil
	}
	s := &d.state
	s.mu.Lock()
	fresh, err := time.Since(s.looked) < lookEvery, s.err
	if !fresh {
		s.looked = time.Now() // others need not look too
	}
	s.mu.Unlock()
	if fresh {
		return err
	}
	err = d.MakeSpace(0)
	s.mu.Lock()
	before := s.err
	s.err = err
	s.mu.Unlock()
	if before != nil && err == nil {
		d.Log.Info("there is free disk space again")
	}
	return err
}

// UseReserve frees some bytes if the reserve is touched: of cached files, then of the ballast. It reports whether
// some are free.
func (d *Disk) UseReserve() (bool, error) {
	if d.Dir == "" {
		return false, nil
	}
	free, _, err := d.Space(d.Dir)
	if err != nil || d.Reserve > 0 && free >= d.Reserve {
		return false, err // then it is the disk of the database, which is another
	}
	if d.Evict(maxBallast) > 0 {
		return true, nil
	}
	dropped, err := dropBallast(d.Dir)
	return dropped || free >= minSpace, err
}
