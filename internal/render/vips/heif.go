package vips

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"calotype/internal/render"
)

// Files are passed to libheif unchanged, except two kinds of which it gets a modified copy:
//
// libheif before 1.16 computes the size of a picture from the rotations and crops after its ispe property, but
// also applies those before it; libvips then fails with "bad image dimensions". In the copy ispe is first,
// as the standard requires.
//
// libheif before 1.18 refuses an auxiliary picture that belongs to several others, such as the gain
// map in photographs of iOS 18, which belongs to the plain picture and to the one that is mapped. In
// the copy it belongs to the first of them.

const (
	maxPatched   = 64 << 20 // maximal bytes of a copied file
	maxMeta      = 1 << 20  // maximal bytes of a meta box
	maxTopBoxes  = 64
	maxMetaBoxes = 4096
)

// patchHEIF replaces the source by a copy that libheif reads correctly, if needed.
func (r *rendering) patchHEIF(size int64) error {
	meta, begin, at, err := readMeta(r.in, size)
	if err != nil || size > maxPatched {
		return nil // unchanged: libheif decides whether the file is valid
	}
	reordered := ispeFirst(meta)
	patched, cut := oneOwner(meta)
	if !reordered && !cut {
		return nil
	}
	file := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(r.in, 0, size), file); err != nil {
		return fmt.Errorf("%w: reading the input: %w", render.ErrUndecodable, err)
	}
	copy(file[at:], meta)
	if cut {
		// The new box is shorter; offsets in the file remain valid if it is after all others.
		if binary.BigEndian.Uint32(file[begin:]) == 0 { // "to the end of the file"
			binary.BigEndian.PutUint32(file[begin:], uint32(size-begin))
		}
		copy(file[begin+4:], "free")
		file = appendBox(file, "meta", patched)
	}
	return r.replace(file)
}

func appendBox(b []byte, kind string, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(8+len(content)))
	return append(append(b, kind...), content...)
}

var errNoMeta = errors.New("no meta box of a usual size")

// readMeta returns the content of the file's meta box, where the box begins and where its content.
func readMeta(f io.ReaderAt, size int64) (meta []byte, begin, at int64, err error) {
	var head [16]byte
	for pos, n := int64(0), 0; pos+8 <= size && n < maxTopBoxes; n++ {
		got, err := f.ReadAt(head[:], pos)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, 0, fmt.Errorf("looking for the meta box: %w", err)
		}
		kind, body, length := boxHead(head[:got], size-pos)
		if length == 0 {
			break
		}
		if kind == "meta" {
			if length > maxMeta {
				break
			}
			meta = make([]byte, length-body)
			if _, err := f.ReadAt(meta, pos+body); err != nil {
				return nil, 0, 0, fmt.Errorf("reading the meta box: %w", err)
			}
			return meta, pos, pos + body, nil
		}
		pos += length
	}
	return nil, 0, 0, errNoMeta
}

// boxHead reads the head of a box in b, of which room bytes are left in the enclosing box: its kind,
// where its content begins, and its whole length; length 0 means that it does not fit.
func boxHead(b []byte, room int64) (kind string, body, length int64) {
	if len(b) < 8 {
		return "", 0, 0
	}
	body, length = 8, int64(binary.BigEndian.Uint32(b))
	switch {
	case length == 0:
		length = room
	case length == 1 && len(b) >= 16:
		body, length = 16, int64(binary.BigEndian.Uint64(b[8:])&(1<<62-1))
	}
	if length < body || length > room {
		return "", 0, 0
	}
	return string(b[4:8]), body, length
}

// boxes calls do for each box in b.
func boxes(b []byte, do func(kind string, content []byte)) {
	for n := 0; n < maxMetaBoxes; n++ {
		kind, body, length := boxHead(b[:min(16, len(b))], int64(len(b)))
		if length == 0 {
			return
		}
		do(kind, b[body:length])
		b = b[length:]
	}
}

// ispeFirst changes the content of a meta box so that each item's properties begin with ispe, and
// reports whether it changed the box.
func ispeFirst(meta []byte) (changed bool) {
	if len(meta) < 4 {
		return false
	}
	boxes(meta[4:], func(kind string, iprp []byte) {
		if kind != "iprp" {
			return
		}
		var kinds []string
		boxes(iprp, func(kind string, content []byte) {
			switch kind {
			case "ipco":
				boxes(content, func(kind string, _ []byte) { kinds = append(kinds, kind) })
			case "ipma":
				changed = sortLinks(content, kinds) || changed
			}
		})
	})
	return changed
}

// sortLinks does it for one ipma box: version and flags, a number of entries, and for each an item,
// a number of links and the links, each with a bit for "essential" and the number of a property,
// from 1.
func sortLinks(ipma []byte, kinds []string) (changed bool) {
	if len(ipma) < 8 {
		return false
	}
	itemSize, linkSize := 2, 1
	if ipma[0] >= 1 {
		itemSize = 4
	}
	if ipma[3]&1 != 0 {
		linkSize = 2
	}
	count := binary.BigEndian.Uint32(ipma[4:])
	b := ipma[8:]
	for ; count > 0 && len(b) > itemSize; count-- {
		n := int(b[itemSize]) * linkSize
		b = b[itemSize+1:]
		if n > len(b) {
			break
		}
		changed = ispeToFront(b[:n], linkSize, kinds) || changed
		b = b[n:]
	}
	return changed
}

// ispeToFront moves the ispe among the links of one item to their front, if something that turns or
// cuts the picture stands before it.
func ispeToFront(links []byte, size int, kinds []string) bool {
	turned := false
	for i := 0; i < len(links); i += size {
		number := int(links[i] & 0x7f)
		if size == 2 {
			number = number<<8 | int(links[i+1])
		}
		if number < 1 || number > len(kinds) {
			continue
		}
		switch kinds[number-1] {
		case "irot", "imir", "clap":
			turned = true
		case "ispe":
			if turned {
				link := [2]byte{links[i], links[i+size-1]}
				copy(links[size:i+size], links[:i])
				copy(links[:size], link[:size])
			}
			return turned
		}
	}
	return false
}
