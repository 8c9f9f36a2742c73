package imagefile

import (
	"errors"
	"fmt"
	"io"
)

const (
	SniffBytes  = 16   // enough to know a format by: see MayBePicture
	windowBytes = 4096 // the largest piece that a header reader looks at
	jumpBytes   = 256  // read after a jump, where mostly one length field is wanted
)

// A window gives header readers small pieces of a file through one buffer of fixed size, so that
// no length in the file is ever a length of memory.
type window struct {
	r    io.ReaderAt
	size int64 // of the file
	off  int64 // of buf in the file
	n    int   // bytes of buf that are filled
	exif span  // the EXIF block whose orientation was read; empty for none
	buf  [windowBytes]byte
}

// A span is the bytes at [off, end) of a file.
type span struct{ off, end int64 }

func newWindow(r io.ReaderAt, size int64) *window { return &window{r: r, size: size} }

// at returns the n bytes at off, n being at most windowBytes. They are valid until the next call.
// The error is errCutShort when the file ends before them, else one of the file's reader.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < 0 || off > w.size-int64(n) {
		return nil, errCutShort
	}
	if off < w.off || off+int64(n) > w.off+int64(w.n) {
		if err := w.fill(off, n); err != nil {
			return nil, err
		}
	}
	i := int(off - w.off)
	return w.buf[i : i+n], nil
}

func (w *window) fill(off int64, n int) error {
	want := jumpBytes
	if off >= w.off && off <= w.off+int64(w.n) {
		want = windowBytes // reading on, not jumping
	}
	want = int(min(int64(max(want, n)), w.size-off))
	got, err := w.r.ReadAt(w.buf[:want], off)
	w.off, w.n = off, got
	if got >= n {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // the caller's size is wrong, or the file was truncated concurrently
	}
	return fmt.Errorf("reading the picture: %w", err)
}
