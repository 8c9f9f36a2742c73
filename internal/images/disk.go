package images

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"calotype/internal/sqldb"
)

// diskSpace returns the free and the whole bytes of the file system that holds dir.
func diskSpace(dir string) (free, all int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil
}

// sameDisk reports whether two folders are on one file system.
func sameDisk(dir, other string) (bool, error) {
	var here, there unix.Stat_t
	if err := errors.Join(unix.Stat(dir, &here), unix.Stat(other, &there)); err != nil {
		return false, fmt.Errorf("asking for the disks of %s and %s: %w", dir, other, err)
	}
	return here.Dev == there.Dev, nil
}

// defaultDiskReserve is the larger of 1 GiB and 5 %.
func defaultDiskReserve(dir string) (int64, error) {
	_, all, err := diskSpace(dir)
	return max(1<<30, all/20), err
}

// makeRoom sees to it that bytes can be written and leave the reserve untouched, which the database
// lives on. Renditions can be made again, so they go first. NoSpace when that is not enough.
func (s *Service) makeRoom(bytes int64) error {
	free, _, err := s.disk(s.Dir)
	if err != nil {
		return err
	}
	lacking := s.DiskReserve + bytes - free
	if lacking > 0 {
		lacking -= s.renditions.shrink(lacking)
	}
	if lacking > 0 {
		s.Log.Error("out of disk", "free", free, "reserve", s.DiskReserve, "dir", s.Dir)
		return noSpace(nil)
	}
	return nil
}

// noSpace is a full disk, whoever met it first.
func noSpace(err error) error {
	return &Error{Kind: NoSpace, Msg: "The server is out of disk space", Err: err}
}

// storing says what became of a write: a full disk has a kind of its own.
func storing(doing string, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, sqldb.ErrFull) {
		return noSpace(fmt.Errorf("%s: %w", doing, err))
	}
	return fmt.Errorf("%s: %w", doing, err)
}
