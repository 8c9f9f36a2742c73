// Package vips is the engine of the render workers: libvips behind a small C shim, and the pipeline as a list of
// steps.
//
// It must run inside the sandbox of render.WorkerMain only. The server process links it and never calls it; libvips
// starts in New. One engine does one job at a time. Of the loaders and savers of libvips only those of the served
// formats can be reached. The operation cache of libvips is off and its thread pool has one thread, because workers
// run concurrently.
package vips

/*
#cgo pkg-config: vips libjpeg
#cgo CFLAGS: -std=gnu11 -O2
#include "shim.h"
*/
import "C"

import (
	"fmt"
	"io"
	"os"
	"strings"

	"calotype/internal/imagefile"
	"calotype/internal/render"
)

// pipelineVersion is raised whenever the same job produces other pixels than before.
const pipelineVersion = 5

type engine struct {
	version         string
	missing         map[imagefile.Format]string
	missingEncoders map[imagefile.Format]string
}

// New starts libvips in this process. Error: libvips lacks one of the formats.
func New() (render.Engine, error) {
	if C.shim_init() != 0 {
		return nil, fmt.Errorf("starting libvips: %w", takeError())
	}
	if name := C.shim_missing(); name != nil {
		return nil, fmt.Errorf("this libvips has no %s: install one with JPEG, PNG, GIF, WebP and "+
			"HEIF support", C.GoString(name))
	}
	if err := warmUp(); err != nil {
		return nil, err
	}
	e := &engine{version: engineVersion(), missing: map[imagefile.Format]string{},
		missingEncoders: map[imagefile.Format]string{}}
	if why := tryAVIF(); why != "" {
		e.missingEncoders[imagefile.AVIF] = why
	}
	if why := openHEIC(heicLibrary); why != "" {
		e.missing[imagefile.HEIC] = why
	}
	return e, nil
}

// engineVersion returns the version of this pipeline and of libvips, such as "1-8.14.1". Renditions of different
// versions may differ.
func engineVersion() string {
	version, _, _ := strings.Cut(C.GoString(C.shim_version()), "-")
	return fmt.Sprintf("%d-%s", pipelineVersion, version)
}

func (e *engine) Version() string { return e.version }

func (e *engine) Missing() map[imagefile.Format]string { return e.missing }

// warmUp makes each codec load its lazy parts, such as the plug-ins of libheif, while files can still be opened. The
// input is no picture, so the decoders fail.
func warmUp() error {
	for _, k := range []C.Kind{C.KIND_JPEG, C.KIND_PNG, C.KIND_GIF, C.KIND_WEBP, C.KIND_HEIF} {
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("warming up: %w", err)
		}
		_, err = io.WriteString(w, warmUpBytes)
		w.Close()
		if err != nil {
			r.Close()
			return fmt.Errorf("warming up: %w", err)
		}
		if src, err := openSource(r); err == nil {
			if im, err := src.load(k, loading{pages: 1}); err == nil {
				im.close()
			}
			src.close()
		}
		r.Close()
	}
	return nil
}

// warmUpBytes begins like a HEIC and is cut short.
const warmUpBytes = "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"

// takeError returns the error text of libvips, and whether memory was the reason.
func takeError() error {
	var buf [512]C.char
	C.shim_take_error(&buf[0], C.size_t(len(buf)))
	text := strings.Join(strings.Fields(C.GoString(&buf[0])), " ")
	if text == "" {
		text = "libvips gave no reason"
	}
	low := strings.ToLower(text)
	for _, sign := range []string{
		"out of memory", "unable to allocate", "memory allocation", "memory error",
		"insufficient memory", "not enough memory",
	} {
		if strings.Contains(low, sign) {
			return fmt.Errorf("%w: %s", render.ErrOutOfMemory, text)
		}
	}
	return fmt.Errorf("%s", text)
}
