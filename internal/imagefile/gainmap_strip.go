package imagefile

import (
	"bytes"
	"io"
)

// stripWithGainMap is stripJPEG with the gain map of the picture, if there is one: a copy of it without its metadata
// follows the picture, and both have new segments that say so.
func stripWithGainMap(c *copier) error {
	m, err := FindGainMap(c.w.r, c.w.size)
	if err != nil {
		return err
	}
	var gain *copier
	if m != nil {
		if gain, err = c.gainCopier(m); err != nil {
			return err
		}
	}
	end, err := stripJPEG(c)
	if err != nil {
		return err
	}
	switch {
	case gain == nil && end < c.w.size, gain != nil && (end != m.Off || m.Off+m.Size != c.w.size):
		c.removed.add(RemovedTrailing)
	}
	if gain == nil {
		return nil
	}
	end, err = stripJPEG(gain)
	if err == nil {
		err = gain.err // such as a failed read of the file
	}
	if err == nil && end < m.Size {
		c.removed.add(RemovedTrailing)
	}
	return err
}

// gainCopier prepares the copy of a picture for that of its gain map, and returns the copier of that. It is nil if the
// map cannot be copied.
func (c *copier) gainCopier(m *GainMap) (*copier, error) {
	part := newWindow(io.NewSectionReader(c.w.r, m.Off, m.Size), m.Size)
	inMap := m.Gain.segments()
	gain := &copier{w: part, out: c.out, removed: c.removed, added: func(int64) []byte { return inMap }}
	mapSize, err := gain.dryCount()
	if err != nil {
		return nil, ignoreMalformed(err)
	}
	added := func(at int64) []byte { return directorySegments(at, 0, mapSize) }
	size, err := (&copier{w: c.w, exif: c.exif, added: added}).dryCount()
	if err != nil {
		return nil, err
	}
	c.added = func(at int64) []byte { return directorySegments(at, size, mapSize) }
	return gain, nil
}

// dryCount returns the size of the copy of a JPEG in bytes.
func (c *copier) dryCount() (int64, error) {
	dry := copier{w: c.w, exif: c.exif, added: c.added, dry: true}
	_, err := stripJPEG(&dry)
	return dry.count, err
}

// rewrites reports whether a segment with its content at [off, end) is one that c.added replaces: MPF, that of ISO
// 21496-1, and an equal one of XMP.
func (c *copier) rewrites(marker byte, off, end int64) bool {
	if c.added == nil || end-off > int64(len(c.written)) {
		return false
	}
	content, err := gainSegment(c.w, marker, off, end)
	if err != nil || content == nil {
		return false
	}
	return marker == jpegAPP2 || bytes.Contains(c.written, content)
}
