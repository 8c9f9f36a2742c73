package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"calotype/internal/disk"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
)

// checkWorkers starts workers like serve, and has them process a picture in each format.
func (d *doctor) checkWorkers(ctx context.Context) {
	var pool *render.Pool
	ended := d.check(ctx, "engine", func(context.Context) []finding {
		var err error
		pool, err = render.NewPool(render.PoolConfig{Command: d.worker, Workers: d.Workers,
			Memory: int64(d.Memory), Timeout: d.WorkerTimeout})
		if err != nil {
			return []finding{failed("install libvips 8.14 or newer, and see the log of the system",
				"no worker starts, so no format was checked: %v", err)}
		}
		return []finding{ok("%s", engineName(pool.Version()))}
	})
	if !ended || pool == nil {
		return
	}
	defer pool.Close()
	for _, format := range render.Formats {
		d.check(ctx, string(format), func(ctx context.Context) []finding {
			return []finding{formatFinding(format, pool.Libraries()[format], pool.Probe(ctx, format))}
		})
	}
	d.check(ctx, "sandbox", func(context.Context) []finding {
		return sandboxFindings(pool.Status().Sandbox, d.RequireSandbox)
	})
	d.check(ctx, "workers", func(context.Context) []finding {
		return []finding{workersFinding(pool.Status(), render.MemoryLimit())}
	})
}

// decoderPackages name the packages with the decoder of a format that libheif may lack.
var decoderPackages = map[imagefile.Format]string{
	imagefile.HEIC: "libheif-plugin-libde265 on Debian and Ubuntu, libheif-freeworld on Fedora",
	imagefile.AVIF: "libheif-plugin-dav1d or libheif-plugin-aomdec on Debian and Ubuntu, libheif on Fedora",
}

func formatFinding(format imagefile.Format, library string, err error) finding {
	packages, optional := decoderPackages[format]
	switch {
	case err == nil:
		return ok("works, with %s", cmp.Or(library, "an unknown library"))
	case optional:
		return warning("uploads in this format are refused; the decoder comes with "+packages, "%v", err)
	}
	return failed("install a libvips with this format: uploads or deliveries in it fail", "%v", err)
}

// sandboxFindings returns the state of the sandbox, and a finding for each part that is missing.
func sandboxFindings(s render.SandboxState, required bool) []finding {
	if s.Complete {
		return []finding{ok("complete: %s", s.Detail)}
	}
	all := warning("the server logs a warning and starts; -require-sandbox refuses this",
		"incomplete: %s", s.Detail)
	if required {
		all = failed("-require-sandbox refuses to start: add the parts below", "incomplete: %s", s.Detail)
	}
	findings := []finding{all}
	for _, part := range s.Missing() {
		findings = append(findings, warning(render.Remedy(part), "not in force").about("sandbox "+part))
	}
	return findings
}

// phoneMemory is the memory that a phone's HEIC of 48 megapixels needs, in bytes.
const phoneMemory = 1 << 30

func workersFinding(s render.Status, limit int64) finding {
	found := fmt.Sprintf("%d renditions and %d uploads at the same time on %d CPUs, with %s of %s of memory",
		s.Renditions.Limit, s.Uploads.Limit, runtime.GOMAXPROCS(0), size(s.Memory), size(limit))
	switch {
	case s.Memory > limit:
		return warning("lower -memory: otherwise the kernel kills workers when memory is short", "%s", found)
	case s.Memory < phoneMemory:
		return warning("raise -memory or add memory: a HEIC of 48 megapixels needs 1 GiB and is refused", "%s", found)
	}
	return ok("%s", found)
}

// size writes a number of bytes.
func size(bytes int64) string { return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30)) }

// fewConnections is the number of connections below which the limit on open files is a warning.
const fewConnections = 1024

func (d *doctor) openFiles(context.Context) []finding {
	n, err := connectionsAllowed()
	switch {
	case err != nil:
		return []finding{failed("check the limits of this process", "%v", err)}
	case n < fewConnections:
		return []finding{warning(fmt.Sprintf("raise the limit on open files (ulimit -n, LimitNOFILE=) to %d",
			maxConnections+otherFiles), "the limit allows %d connections", n)}
	}
	return []finding{ok("the limit allows %d connections", n)}
}

// existing returns path, or the first folder above it that exists.
func existing(path string) string {
	for errors.Is(unix.Access(path, unix.F_OK), fs.ErrNotExist) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

// checkFolder checks that this user can use a folder, or create it.
func checkFolder(path string) (info os.FileInfo, problem *finding) {
	note := func(f finding) (os.FileInfo, *finding) { return info, &f }
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
		return note(failed("run this command as the user of the server", "%v", err))
	case !info.IsDir():
		return note(failed("name a folder", "%s is a file", path))
	}
	if err := unix.Access(path, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
		return note(failed("run this command as the user of the server, or give the folder to this user",
			"this user cannot read and write %s: %v", path, err))
	}
	return info, nil
}

func (d *doctor) dataFolder(context.Context) []finding {
	info, problem := checkFolder(d.Data)
	if problem != nil {
		return []finding{*problem}
	}
	findings := []finding{ok("%s can be read and written", d.Data)}
	if holder := lockHolder(d.Data); holder != "" {
		findings[0] = ok("%s can be read and written; the server with the process %s uses it", d.Data, holder)
	}
	if stat, isStat := info.Sys().(*syscall.Stat_t); isStat && int(stat.Uid) != os.Geteuid() {
		findings[0] = warning("run this command and the server as its owner",
			"%s belongs to the user %d, not to the user %d", d.Data, stat.Uid, os.Geteuid())
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

func (d *doctor) disk(context.Context) []finding {
	dir, reserve := existing(d.Data), int64(d.DiskReserve)
	free, all, err := disk.Space(dir)
	if err == nil && reserve == 0 {
		reserve, err = disk.DefaultReserve(dir)
	}
	if err != nil {
		return []finding{failed("check the disk", "%v", err)}
	}
	found := fmt.Sprintf("%s of %s free, %s in reserve", size(free), size(all), size(reserve))
	switch {
	case free < reserve && images.HasRenditions(d.Data):
		return []finding{warning("free space: the server evicts renditions, and then refuses uploads", "%s", found)}
	case free < reserve:
		return []finding{failed("free space, or lower -disk-reserve: the server refuses uploads", "%s", found)}
	case free < reserve+reserve/2:
		return []finding{warning("free space: below the reserve the server refuses uploads", "%s", found)}
	}
	return []finding{ok("%s", found)}
}

func (d *doctor) address(ctx context.Context) []finding {
	f, used := listenFinding(d.Listen, "-listen")
	if !used {
		return []finding{f}
	}
	status, text, err := readyz(ctx, d.Listen)
	switch {
	case err != nil || !strings.HasPrefix(strings.TrimPrefix(text, "not "), "ready"):
		return []finding{f}
	case status != http.StatusOK:
		return []finding{warning("the log of the server has the reason", "the server on %s says: %s", d.Listen, text)}
	}
	return []finding{ok("the server on %s says: %s", d.Listen, text)}
}

func (d *doctor) metricsAddress(context.Context) []finding {
	f, used := listenFinding(d.MetricsListen, "-metrics-listen")
	if used && lockHolder(d.Data) != "" {
		f = ok("%s is in use, and a server runs on the data folder", d.MetricsListen)
	}
	return []finding{f}
}

// listenFinding opens and closes an address. used reports that another program listens there.
func listenFinding(address, flag string) (f finding, used bool) {
	listener, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return failed("stop the other program, or name another address with "+flag,
			"another program listens on %s", address), true
	case err != nil:
		return failed("name another address with "+flag, "%v", err), false
	}
	if err := listener.Close(); err != nil {
		return failed("name another address with "+flag, "%v", err), false
	}
	return ok("%s is free", address), false
}
