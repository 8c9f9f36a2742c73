package vips

// #include "jpegcheck.h"
import "C"

import (
	"fmt"
	"io"
	"os"
	"unsafe"

	"calotype/internal/render"
)

// wholeJPEG returns an ErrUndecodable if pixels of a JPEG are missing or damaged.
func wholeJPEG(in *os.File) error {
	info, err := in.Stat()
	if err != nil {
		return fmt.Errorf("measuring the input: %w", err)
	}
	file := newPixels(int(info.Size()))
	defer file.free()
	whole := unsafe.Slice((*byte)(file.data), file.size)
	if _, err := io.ReadFull(io.NewSectionReader(in, 0, info.Size()), whole); err != nil {
		return fmt.Errorf("%w: reading the input: %w", render.ErrUndecodable, err)
	}
	var why [200]C.char
	if C.jpegcheck((*C.uchar)(file.data), C.size_t(file.size), &why[0], C.size_t(len(why))) == 0 {
		return nil
	}
	return fmt.Errorf("%w: libjpeg: %s", render.ErrUndecodable, C.GoString(&why[0]))
}
