package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystems are listed by the number of their kind.
var fileSystems = map[uint32]FileSystem{
	unix.NFS_SUPER_MAGIC:   {"NFS", true, false},
	unix.SMB_SUPER_MAGIC:   {"SMB", true, false},
	unix.SMB2_SUPER_MAGIC:  {"SMB", true, false},
	unix.CIFS_SUPER_MAGIC:  {"SMB", true, false},
	unix.CEPH_SUPER_MAGIC:  {"Ceph", true, false},
	unix.V9FS_MAGIC:        {"9p", true, false},
	unix.AFS_SUPER_MAGIC:   {"AFS", true, false},
	unix.FUSE_SUPER_MAGIC:  {"FUSE", true, false},
	unix.OCFS2_SUPER_MAGIC: {"OCFS2", true, false},
	0x0bd00bd0:             {"Lustre", true, false},

	unix.TMPFS_MAGIC:           {"tmpfs", false, true},
	unix.OVERLAYFS_SUPER_MAGIC: {"overlay", false, true},
}

// FileSystemOf returns the file system of dir, or the zero value if it is a usual one of a local disk.
func FileSystemOf(dir string) (FileSystem, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return FileSystem{}, fmt.Errorf("asking for the file system of %s: %w", dir, err)
	}
	return fileSystems[uint32(stat.Type)], nil
}
