package vips

import "encoding/binary"

// oneOwner returns the content of a meta box in which each auxiliary picture belongs to one other,
// and whether that is another content than the given one. The main picture stays an owner, else the
// first one named does.
func oneOwner(meta []byte) (patched []byte, changed bool) {
	if len(meta) < 4 {
		return meta, false
	}
	primary := uint32(0)
	boxes(meta[4:], func(kind string, content []byte) {
		if kind == "pitm" && len(content) >= 4 {
			primary = itemID(content[4:], content[0] > 0)
		}
	})
	patched = append(patched, meta[:4]...)
	boxes(meta[4:], func(kind string, content []byte) {
		if kind == "iref" && len(content) >= 4 {
			refs, cut := oneOwnerEach(content[4:], content[0] > 0, primary)
			if cut {
				changed = true
				content = append(content[:4:4], refs...)
			}
		}
		patched = appendBox(patched, kind, content)
	})
	if !changed {
		return meta, false
	}
	return patched, true
}

// oneOwnerEach does it for the references in an iref box: each is a box of its kind with an item,
// a number of items and these.
func oneOwnerEach(refs []byte, wide bool, primary uint32) (patched []byte, changed bool) {
	size := 2
	if wide {
		size = 4
	}
	boxes(refs, func(kind string, content []byte) {
		if n := owners(content, size); kind == "auxl" && n > 1 {
			changed = true
			list := content[size+2:]
			owner := list[:size]
			for i := range n {
				if itemID(list[i*size:], wide) == primary {
					owner = list[i*size : (i+1)*size]
				}
			}
			content = append(append(content[:size:size], 0, 1), owner...)
		}
		patched = appendBox(patched, kind, content)
	})
	return patched, changed
}

// owners returns the number of items that a reference names; 0 when it is not valid.
func owners(content []byte, size int) int {
	if len(content) < size+2 {
		return 0
	}
	n := int(binary.BigEndian.Uint16(content[size:]))
	if len(content) < size+2+n*size {
		return 0
	}
	return n
}

// itemID reads the number of an item, of 16 or 32 bits; 0 if b is too short.
func itemID(b []byte, wide bool) uint32 {
	switch {
	case wide && len(b) >= 4:
		return binary.BigEndian.Uint32(b)
	case !wide && len(b) >= 2:
		return uint32(binary.BigEndian.Uint16(b))
	}
	return 0
}
