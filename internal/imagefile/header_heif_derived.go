package imagefile

import "math"

// maxOverlaid limits the parts of derived pictures in a file: each is decoded once for each reference.
const maxOverlaid = 64

// overlay returns coding and size of an item that is a canvas with other pictures on it, which may
// extend beyond the canvas.
func (t *heifTables) overlay(it *heifItem, depth int) (f Format, w, h uint32, err error) {
	if n := len(it.derived); n < 1 || n > maxOverlaid {
		return "", 0, 0, malformed("an overlay is made of %d pictures, not 1 to %d", n, maxOverlaid)
	}
	for _, id := range it.derived {
		if f, _, _, err = t.part(id, depth); err != nil {
			return "", 0, 0, err
		}
	}
	w, h, err = t.overlayShape(it)
	return f, w, h, err
}

// identity returns coding and size of an item that is a further transformation of another one.
func (t *heifTables) identity(it *heifItem, depth int) (f Format, w, h uint32, err error) {
	if n := len(it.derived); n != 1 {
		return "", 0, 0, malformed("a picture is the same as %d others", n)
	}
	return t.part(it.derived[0], depth)
}

// part returns coding and size of a part of a derived item.
func (t *heifTables) part(id uint32, depth int) (f Format, w, h uint32, err error) {
	it := t.items[id]
	if it == nil || it.kind == "" {
		return "", 0, 0, malformed("a picture is made of one that is not in the file")
	}
	if t.parts++; t.parts > maxOverlaid {
		return "", 0, 0, malformed("pictures are made of more than %d others", maxOverlaid)
	}
	f, w, h, err = t.picture(it, depth+1)
	t.partPixels += min(int64(w)*int64(h), math.MaxInt64/maxOverlaid) // sides are below 2^31
	return f, w, h, err
}

// overlayShape reads the size of the canvas of an overlay: version, flags, colour in 4 x 16 bits, and the size.
func (t *heifTables) overlayShape(it *heifItem) (w, h uint32, err error) {
	_, w, h, err = t.shape(it, "an overlay", 10)
	return w, h, err
}
