package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"calotype/internal/disk"
)

const asServer = "run this command as the user of the server"

// existing returns path, or the first folder above it that exists.
func existing(path string) string {
	for errors.Is(unix.Access(path, unix.F_OK), fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

// checkFolder checks that this user can use a folder, or create it.
func checkFolder(path string) (info os.FileInfo, problem *Finding) {
	note := func(f Finding) (os.FileInfo, *Finding) { return info, &f }
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		above := existing(path)
		if err := unix.Access(above, unix.W_OK|unix.X_OK); err != nil {
			return note(failed("create it for the user of the server, or name another folder",
				"%s does not exist, and this user cannot create it in %s: %v", path, above, err))
		}
		return note(warning("the first start creates it; if a server has run before, name its folder with -data",
			"%s does not exist", path))
	case err != nil:
		return note(failed(asServer, "%v", err))
	case !info.IsDir():
		return note(failed("name a folder", "%s is a file", path))
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return note(failed(asServer+", or give the folder to this user",
			"this user cannot read and write %s: %v", path, err))
	}
	return info, nil
}

// ownerOf returns the number of the user who owns a file, or -1 if it is not known.
func ownerOf(info os.FileInfo) int {
	if stat, isStat := info.Sys().(*syscall.Stat_t); isStat {
		return int(stat.Uid)
	}
	return -1
}

func (d *doctor) dataFolder(context.Context) []Finding {
	info, problem := checkFolder(d.Data)
	if problem != nil {
		return []Finding{*problem}
	}
	findings := []Finding{ok("%s can be read and written", d.Data)}
	switch holder, locked, err := disk.LockHolder(d.Data); {
	case err != nil:
		findings[0] = failed(asServer+", or give it the files in the folder", "%v", err)
	case locked && holder == "":
		findings[0] = ok("%s can be read and written; a server uses it", d.Data)
	case locked:
		findings[0] = ok("%s can be read and written; the server with the process %s uses it", d.Data, holder)
	}
	// Root may use the folders of all users. A user who is not the owner may have the rights of a group.
	if owner := ownerOf(info); os.Geteuid() == 0 && owner > 0 && findings[0].Result == OK {
		findings[0] = warning("run this command and the server as its owner",
			"%s belongs to the user %d, not to the user 0", d.Data, owner)
	}
	system, err := disk.FileSystemOf(d.Data)
	switch {
	case err != nil:
		return append(findings, failed("check the disk", "%v", err))
	case system.Temporary:
		return append(findings, warning("mount a disk or a volume there", "the file system is %s: "+
			"a restart or a new container discards its files", system.Name).about("file system"))
	case system.Network && d.DB == "":
		return append(findings, warning("put SQLite on a local disk, or use PostgreSQL (-db)",
			"the file system is %s, whose locks may fail", system.Name).about("file system"))
	}
	return findings
}

// usedFiles returns the files and folders that a server with this configuration opens, and the rights that it needs.
func (d *doctor) usedFiles() map[string]uint32 {
	const write, enter = unix.R_OK | unix.W_OK, unix.R_OK | unix.W_OK | unix.X_OK
	used := map[string]uint32{
		disk.LockFile: write, "ballast": write, "spool": enter, "fetched": enter, "renditions": enter,
	}
	for _, name := range d.Read {
		used[name] = unix.R_OK
	}
	for _, name := range d.Written {
		used[name] = write
	}
	rights := map[string]uint32{}
	for name, right := range used {
		rights[filepath.Join(d.Data, name)] = right
	}
	if d.DB == "" {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			rights[d.SQLite+suffix] = write
		}
	}
	if !strings.Contains(d.Blobs, "://") {
		rights[d.Blobs] = enter
		rights[filepath.Join(d.Blobs, ".put")] = enter
	}
	return rights
}

// files checks the rights to what is in the data folder and in that of the originals.
func (d *doctor) files(context.Context) []Finding {
	rights := d.usedFiles()
	owner := -1
	if info, err := os.Stat(d.Data); err == nil {
		owner = ownerOf(info)
	}
	var closed, others []string
	found := 0
	for path, right := range rights {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found++
		if err == nil {
			err = unix.Access(path, right)
		}
		switch {
		case err != nil:
			closed = append(closed, path)
		// Root may use all files, but the server, as the owner of the folder, may not.
		case os.Geteuid() == 0 && owner > 0 && ownerOf(info) != owner:
			others = append(others, path)
		}
	}
	slices.Sort(closed)
	slices.Sort(others)
	switch {
	case len(closed) > 0:
		return []Finding{failed(asServer+", or give it the files (chown -R); if the disk is mounted read-only, mount "+
			"it for writing", "this user cannot use %s", strings.Join(closed, ", "))}
	case len(others) > 0:
		return []Finding{failed(fmt.Sprintf("give them to the owner of the folder: chown -R %d %s", owner, d.Data),
			"these files do not belong to the owner of %s: %s", d.Data, strings.Join(others, ", "))}
	case found == 0:
		return []Finding{ok("there are none: the first start creates them")}
	}
	if err := d.DemoKey(); err != nil {
		return []Finding{failed("delete the file, or change -demo to off", "%v", err)}
	}
	return []Finding{ok("this user can use the %d that exist", found)}
}
