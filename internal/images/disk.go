package images

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// diskSpace returns the free and the whole bytes of the file system that holds dir.
func diskSpace(dir string) (free, all int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), int64(stat.Blocks) * int64(stat.Bsize), nil
}

// defaultDiskReserve is the larger of 1 GiB and 5 %.
func defaultDiskReserve(dir string) (int64, error) {
	_, all, err := diskSpace(dir)
	return max(1<<30, all/20), err
}

// makeRoom sees to it that size bytes can be written without touching the reserve that the
// database lives on: renditions can be made again, so they go first. NoSpace when that is not
// enough.
func (s *Service) makeRoom(size int64) error {
	free, _, err := diskSpace(s.Dir)
	if err != nil {
		return err
	}
	lacking := s.DiskReserve + size - free
	if lacking > 0 {
		lacking -= s.renditions.shrink(lacking)
	}
	if lacking > 0 {
		s.Log.Error("out of disk", "free", free, "reserve", s.DiskReserve, "dir", s.Dir)
		return Errorf(NoSpace, "The server is out of disk space")
	}
	return nil
}
