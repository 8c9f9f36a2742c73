package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"

	"calotype/internal/disk"
	"calotype/internal/imagefile"
	"calotype/internal/images"
	"calotype/internal/render"
)

// checkWorkers starts workers like serve, and has them process a picture in each format.
func (d *doctor) checkWorkers(ctx context.Context) {
	started := make(chan *render.Pool, 1)
	ended := d.checkWithin(ctx, d.engineLimit, "engine", func(ctx context.Context) []Finding {
		pool, err := render.StartPool(ctx, render.PoolConfig{Command: d.Worker, Workers: d.Workers,
			Memory: d.Memory, Timeout: d.WorkerTimeout})
		if err != nil {
			return []Finding{failed("if libvips is missing, install version 8.14 or newer; the text of the worker "+
				"has the reason", "no worker starts, so no format was checked: %v", err)}
		}
		started <- pool
		return []Finding{ok("%s", render.EngineName(pool.Version()))}
	})
	if !ended || len(started) == 0 {
		return // workers end with this process
	}
	pool := <-started
	defer d.end(pool.Close)
	for _, format := range render.Formats {
		d.check(ctx, string(format), func(ctx context.Context) []Finding {
			return []Finding{formatFinding(format, pool.Libraries()[format], pool.Probe(ctx, format))}
		})
	}
	d.check(ctx, "sandbox", func(context.Context) []Finding {
		return sandboxFindings(pool.Status().Sandbox, d.RequireSandbox)
	})
	d.check(ctx, "workers", func(context.Context) []Finding {
		return []Finding{workersFinding(pool.Status(), render.MemoryLimit())}
	})
}

// decoderPackages name the packages with the decoder of a format that libheif may lack.
var decoderPackages = map[imagefile.Format]string{
	imagefile.HEIC: "libheif.so.1 of a release into lib beside the program, or libheif1 with " +
		"libheif-plugin-libde265 on Debian and Ubuntu, libheif-freeworld on Fedora",
	imagefile.AVIF: "libheif-plugin-dav1d or libheif-plugin-aomdec on Debian and Ubuntu, libheif on Fedora",
}

// avifEncoder names the packages with the encoder of AVIF that libheif may lack.
const avifEncoder = "libheif-plugin-aomenc on Debian and Ubuntu, libheif on Fedora"

func formatFinding(format imagefile.Format, library string, err error) Finding {
	packages, optional := decoderPackages[format]
	switch {
	case err == nil:
		return ok("works, with %s", cmp.Or(library, "an unknown library"))
	case errors.Is(err, render.ErrBusy), errors.Is(err, context.DeadlineExceeded):
		return warning("run this command again when the machine is less busy", "not checked: %v", err)
	case library == render.NoHEVC:
		return warning("to accept it, install "+packages, "refused, %s", library)
	case optional && errors.Is(err, render.ErrUndecodable):
		return warning("uploads in this format are refused; the decoder comes with "+packages, "%v", err)
	case format == imagefile.AVIF && errors.Is(err, render.ErrEncode):
		return warning("clients get WebP instead; the encoder comes with "+avifEncoder, "%v", err)
	case errors.Is(err, render.ErrUndecodable), errors.Is(err, render.ErrEncode):
		return failed("install a libvips with this format: uploads or deliveries in it fail", "%v", err)
	}
	return failed("check the log of the kernel for a worker that it killed, and the limits of memory and time",
		"%v", err)
}

// sandboxFindings returns the state of the sandbox, and a finding for each part that is missing.
func sandboxFindings(s render.SandboxState, required bool) []Finding {
	if s.Complete {
		return []Finding{ok("complete: %s", s.Detail)}
	}
	all := warning("the server logs a warning and starts; -require-sandbox refuses this",
		"incomplete: %s", s.Detail)
	if required {
		all = failed("-require-sandbox refuses to start: add the parts below", "incomplete: %s", s.Detail)
	}
	findings := []Finding{all}
	for _, part := range s.Missing() {
		findings = append(findings, warning(render.Remedy(part), "not in force").about("sandbox "+part))
	}
	return findings
}

// phoneMemory is the memory that a phone's HEIC of 48 megapixels needs, in bytes.
const phoneMemory = 1 << 30

func workersFinding(s render.Status, limit int64) Finding {
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

func (d *doctor) openFiles(context.Context) []Finding {
	n, err := d.Connections()
	switch {
	case err != nil:
		return []Finding{failed("check the limits of this process", "%v", err)}
	case n < fewConnections:
		return []Finding{warning(fmt.Sprintf("raise the limit on open files (ulimit -n, LimitNOFILE=) to %d",
			d.EnoughFiles), "the limit allows %d connections", n)}
	}
	return []Finding{ok("the limit allows %d connections", n)}
}

func (d *doctor) disk(context.Context) []Finding {
	dir, reserve := existing(d.Data), d.DiskReserve
	free, all, err := disk.Space(dir)
	if err == nil && reserve == 0 {
		reserve, err = disk.DefaultReserve(dir)
	}
	if err != nil {
		return []Finding{failed("check the disk", "%v", err)}
	}
	found := fmt.Sprintf("%s of %s free, %s in reserve", size(free), size(all), size(reserve))
	switch {
	case free < reserve && images.HasRenditions(d.Data):
		return []Finding{warning("free space: the server evicts renditions, and then refuses uploads", "%s", found)}
	case free < reserve:
		return []Finding{failed("free space, or lower -disk-reserve: the server refuses uploads", "%s", found)}
	case free < reserve+reserve/2:
		return []Finding{warning("free space: below the reserve the server refuses uploads", "%s", found)}
	}
	return []Finding{ok("%s", found)}
}
