package images

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"calotype/internal/errs"
)

// DiskSpace returns the free and the whole bytes of the file system that holds dir.
func DiskSpace(dir string) (free, all int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil
}

// DefaultDiskReserve returns the bytes of the disk of dir that stay free: the larger of 1 GiB and 5 %.
func DefaultDiskReserve(dir string) (int64, error) {
	_, all, err := DiskSpace(dir)
	return max(1<<30, all/20), err
}

// makeRoom sees to it that bytes can be written and leave the reserve untouched, which the database
// lives on. Renditions can be made again, so they go first. NoSpace when that is not enough.
func (s *Service) makeRoom(bytes int64) error {
	free, _, err := s.space(s.config.Dir)
	if err != nil {
		return err
	}
	lacking := s.config.DiskReserve + bytes - free
	if lacking > 0 {
		lacking -= s.renditions.Shrink(lacking)
	}
	if lacking > 0 {
		s.disk.log(s.log, "free", free, "reserve", s.config.DiskReserve, "dir", s.config.Dir)
		return errs.OutOfSpace(nil)
	}
	return nil
}

const (
	diskLookEvery = time.Second // for those who add rows
	diskLogEvery  = time.Minute
)

// A diskState is what was last seen of the disk.
type diskState struct {
	mu     sync.Mutex
	looked time.Time
	err    error // nil: there is room
	logged time.Time
}

// log says that the disk is full, not each time.
func (d *diskState) log(log *slog.Logger, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.logged) >= diskLogEvery {
		d.logged = now
		log.Error("out of disk", args...)
	}
}

// WantRoom returns NoSpace while less than the reserve of the disk is free; callers that add rows call it. It
// reads the disk once a second, and evicts renditions first. Deletions, erasures and results of deliveries do
// not call it: the reserve is for them. In a Service that was not started it returns nil.
func (s *Service) WantRoom() error {
	if s.renditions == nil {
		return nil
	}
	d := &s.disk
	d.mu.Lock()
	fresh, err := time.Since(d.looked) < diskLookEvery, d.err
	if !fresh {
		d.looked = time.Now() // others need not look too
	}
	d.mu.Unlock()
	if fresh {
		return err
	}
	err = s.makeRoom(0)
	d.mu.Lock()
	before := d.err
	d.err = err
	d.mu.Unlock()
	if before != nil && err == nil {
		s.log.Info("there is free disk space again")
	}
	return err
}

// giveWay makes some room on a disk whose reserve is touched. It reports whether there is some.
func (s *Service) giveWay() (bool, error) {
	if s.config.Dir == "" {
		return false, nil
	}
	free, _, err := s.space(s.config.Dir)
	if err != nil || s.config.DiskReserve > 0 && free >= s.config.DiskReserve {
		return false, err // then it is the disk of the database, which is another
	}
	if s.renditionsHere().Shrink(maxBallast) > 0 {
		return true, nil
	}
	dropped, err := dropBallast(s.config.Dir)
	return dropped || free >= minRoom, err
}
