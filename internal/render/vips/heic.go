package vips

// #include <stdlib.h>
// #include "heic.h"
import "C"

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// heicLibrary is the file name of libheif.
const heicLibrary = "libheif.so.1"

// openHEIC opens the decoder of HEIC. It returns "", or why HEIC cannot be decoded.
func openHEIC(name string) string {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	if why := C.heic_open(c); why != nil {
		return C.GoString(why)
	}
	return ""
}

// describeHEIC returns the names and versions of the open libraries, such as "libheif 1.19.7 with libde265 ...".
func describeHEIC() string {
	var buf [160]C.char
	C.heic_describe(&buf[0], C.size_t(len(buf)))
	return C.GoString(&buf[0])
}

// loadHEIC decodes a HEIC. libheif accepts the same files whether or not it is strict.
func (r *rendering) loadHEIC() (*vipsImage, error) {
	file, size := r.patched.data, r.patched.size
	if file == nil {
		mapped, err := mapFile(r.in)
		if err != nil {
			return nil, err
		}
		defer unix.Munmap(mapped)
		file, size = unsafe.Pointer(&mapped[0]), len(mapped)
	}
	im := &vipsImage{}
	h := r.job.Header
	return im, im.become(C.heic_load(file, C.size_t(size), C.int(h.Width), C.int(h.Height)))
}

// mapFile maps a file into memory. The caller unmaps it.
func mapFile(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("measuring the input: %w", err)
	}
	mapped, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("mapping the input: %w", err)
	}
	return mapped, nil
}
