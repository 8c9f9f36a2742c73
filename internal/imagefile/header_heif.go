package imagefile

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// maxFtypBytes limits the first box, which lists the brands of the file.
const maxFtypBytes = 1024

// heifBrands are the brands of files that hold still pictures. mif1 and msf1 do not state the
// coding, and a file with the brand of one coding may hold another one: the primary item decides.
var heifBrands = []string{
	"avif", "avis", "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1",
}

// heifCodings are the accepted codings of items.
var heifCodings = map[string]Format{"av01": AVIF, "hvc1": HEIC, "hev1": HEIC}

// maxHEIFNesting limits the nesting of pictures: an overlay of grids has 3 levels.
const maxHEIFNesting = 4

// readHEIF reads a HEIC or AVIF. It is strict: the size of the primary item must follow from its
// properties, else the file is malformed.
func readHEIF(w *window) (Header, error) {
	t := newHEIFTables(w)
	ftyp, err := t.next(0, w.size)
	if err != nil {
		return Header{}, err
	}
	if ok, err := heifListed(w, ftyp); err != nil {
		return Header{}, err
	} else if !ok {
		return Header{}, fmt.Errorf("%w: the file is a film, or a picture in another coding"+
			" than AVIF and HEIC", ErrUnsupported)
	}
	if err := t.file(ftyp.end); err != nil {
		return Header{}, err
	}
	if !t.seen["meta"] {
		return Header{}, fmt.Errorf("%w: the file holds no still picture", ErrUnsupported)
	}
	if !t.seen["pitm"] {
		return Header{}, malformed("the file does not name its main picture")
	}
	h := Header{Orientation: 1, Frames: 1}
	if h.Format, h.Width, h.Height, err = t.main(); err != nil {
		return Header{}, err
	}
	h.MaxPixels, err = t.maxPixels()
	return h, err
}

// heifListed reports whether a brand of the file is in heifBrands: major brand, version, then
// compatible brands, 4 bytes each.
func heifListed(w *window, ftyp heifBox) (bool, error) {
	n := ftyp.end - ftyp.body
	if n > maxFtypBytes || n < 8 {
		return false, malformed("the file's first box has a wrong length")
	}
	b, err := w.at(ftyp.body, int(n))
	if err != nil {
		return false, err
	}
	for i := 0; i+4 <= len(b); i += 4 {
		if i != 4 && slices.Contains(heifBrands, string(b[i:i+4])) {
			return true, nil
		}
	}
	return false, nil
}

// main returns coding and size of the primary item, after its transformations.
func (t *heifTables) main() (f Format, width, height int, err error) {
	it := t.items[t.primary]
	if it == nil || it.kind == "" {
		return "", 0, 0, malformed("the file's main picture is not in it")
	}
	f, w, h, err := t.picture(it, 0)
	if err != nil {
		return "", 0, 0, err
	}
	return f, int(w), int(h), nil
}

// picture returns coding and size of a coded or derived item, after its transformations.
func (t *heifTables) picture(it *heifItem, depth int) (f Format, w, h uint32, err error) {
	switch {
	case depth == maxHEIFNesting:
		err = malformed("pictures are made of pictures more than %d deep", maxHEIFNesting)
	case it.kind == "grid":
		f, w, h, err = t.grid(it)
	case it.kind == "iovl":
		f, w, h, err = t.overlay(it, depth)
	case it.kind == "iden":
		f, w, h, err = t.identity(it, depth)
	default:
		f, w, h, err = t.coded(it)
	}
	if err == nil {
		w, h, err = t.transform(it, w, h)
	}
	return f, w, h, err
}

// coded returns coding and size of an item that is a coded picture.
func (t *heifTables) coded(it *heifItem) (f Format, w, h uint32, err error) {
	f, ok := heifCodings[it.kind]
	if !ok {
		return "", 0, 0, fmt.Errorf("%w: the picture is in another coding than AVIF and HEIC",
			ErrUnsupported)
	}
	base, end := t.place(it)
	if it.last > uint64(end-base) {
		return "", 0, 0, errCutShort
	}
	w, h, found, err := t.size(it)
	if err == nil && !found {
		err = malformed("the file does not state the size of a picture")
	}
	if err == nil {
		err = t.checkCoded(it, w, h)
	}
	return f, w, h, err
}

// size returns the size that the ispe property of an item states.
func (t *heifTables) size(it *heifItem) (w, h uint32, found bool, err error) {
	for _, i := range it.properties {
		p, err := t.propertyAt(i)
		if err != nil {
			return 0, 0, false, err
		}
		if p.kind != "ispe" {
			continue
		}
		if found && (w != p.u[0] || h != p.u[1]) {
			return 0, 0, false, malformed("the file states two sizes for a picture")
		}
		w, h, found = p.u[0], p.u[1], true
	}
	if w > math.MaxInt32 || h > math.MaxInt32 {
		return 0, 0, false, malformed("a side of the picture is over 2,147,483,647 pixels")
	}
	return w, h, found, nil
}

func (t *heifTables) propertyAt(i uint16) (heifProperty, error) {
	if i == 0 {
		return heifProperty{}, nil
	}
	if int(i) > len(t.properties) {
		return heifProperty{}, malformed("an item has a property that is not in the file")
	}
	return t.properties[i-1], nil
}

// transform applies the rotations and crops of an item, in their order, to its size.
func (t *heifTables) transform(it *heifItem, w, h uint32) (uint32, uint32, error) {
	for _, i := range it.properties {
		p, err := t.propertyAt(i)
		if err != nil {
			return 0, 0, err
		}
		switch {
		case p.kind == "irot" && p.u[0]&1 == 1:
			w, h = h, w
		case p.kind == "clap":
			cutW, okW := clapSide(w, p.u[0], p.u[1], p.u[4], p.u[5])
			cutH, okH := clapSide(h, p.u[2], p.u[3], p.u[6], p.u[7])
			if !okW || !okH {
				return 0, 0, malformed("the file cuts out a piece that is not in the picture")
			}
			w, h = cutW, cutH
		}
	}
	return w, h, nil
}

// clapSide returns the length of a side after clap: num/den rounded, with its centre at a distance of
// offNum (signed) / offDen from the side's centre. It must be inside the side.
func clapSide(side, num, den, offNum, offDen uint32) (uint32, bool) {
	if den == 0 || offDen == 0 || offDen > math.MaxInt32 {
		return 0, false
	}
	length := (2*uint64(num) + uint64(den)) / (2 * uint64(den))
	if length < 1 || length > uint64(side) {
		return 0, false
	}
	// It begins at offNum/offDen + (side-length)/2. As a fraction over 2*offDen that fits 64 bits, because
	// all factors are below 1<<31.
	spare, over := int64(side)-int64(length), 2*int64(offDen)
	begin := 2*int64(int32(offNum)) + int64(offDen)*spare
	return uint32(length), begin >= 0 && begin/over <= spare
}

// grid returns coding and size of an item that is a grid of tiles: rows and columns of coded
// pictures of one size, which cover the grid and extend beyond it by less than one tile.
func (t *heifTables) grid(it *heifItem) (f Format, w, h uint32, err error) {
	g, err := t.gridShape(it)
	if err != nil {
		return "", 0, 0, err
	}
	if len(it.derived) != g.rows*g.columns {
		return "", 0, 0, malformed("a grid is made of %d tiles where %d x %d were announced",
			len(it.derived), g.columns, g.rows)
	}
	var tileW, tileH uint32
	for i, id := range it.derived {
		tile := t.items[id]
		if tile == nil || tile.kind == "" {
			return "", 0, 0, malformed("a tile of the grid is not in the file")
		}
		tf, w, h, err := t.coded(tile)
		if err != nil {
			return "", 0, 0, err
		}
		if i == 0 {
			f, tileW, tileH = tf, w, h
		}
		if tf != f || w != tileW || h != tileH || t.transformed(tile) {
			return "", 0, 0, malformed("the tiles of the grid are not alike")
		}
	}
	if !gridSide(g.width, tileW, g.columns) || !gridSide(g.height, tileH, g.rows) {
		return "", 0, 0, malformed("the tiles of the grid do not fit its size")
	}
	w, h, stated, err := t.size(it)
	if err == nil && stated && (w != g.width || h != g.height) {
		err = malformed("the file states two sizes for a grid")
	}
	return f, g.width, g.height, err
}

// transformed reports whether an item is rotated, mirrored or cropped, which a tile must not be. Its
// properties exist.
func (t *heifTables) transformed(it *heifItem) bool {
	for _, i := range it.properties {
		p, _ := t.propertyAt(i)
		switch p.kind {
		case "irot", "imir", "clap":
			return true
		}
	}
	return false
}

// gridSide reports whether n tiles cover a side, and n-1 do not.
func gridSide(side, tile uint32, n int) bool {
	return uint64(tile)*uint64(n) >= uint64(side) && uint64(tile)*uint64(n-1) < uint64(side)
}

// A heifGrid is the data of a grid item.
type heifGrid struct {
	rows, columns int
	width, height uint32
}

// gridShape reads the data of a grid: version, flags, rows-1, columns-1 (8 bits each), and the size.
func (t *heifTables) gridShape(it *heifItem) (heifGrid, error) {
	b, w, h, err := t.shape(it, "a grid", 4)
	if err != nil {
		return heifGrid{}, err
	}
	return heifGrid{rows: int(b[2]) + 1, columns: int(b[3]) + 1, width: w, height: h}, nil
}

// shape reads the data of a derived picture: a head that begins with version and flags (8 bits each), then width
// and height (16 bits each, or 32 when the lowest flag is set). It returns the data, valid until the next read.
func (t *heifTables) shape(it *heifItem, name string, head int) (b []byte, w, h uint32, err error) {
	if b, err = t.data(it, head+4); err != nil {
		return nil, 0, 0, err
	}
	if b[0] != 0 {
		return nil, 0, 0, malformed("%s has an unknown version", name)
	}
	if wide := b[1]&1 != 0; !wide {
		w, h = uint32(binary.BigEndian.Uint16(b[head:])), uint32(binary.BigEndian.Uint16(b[head+2:]))
		return b, w, h, nil
	}
	if b, err = t.data(it, head+8); err != nil {
		return nil, 0, 0, err
	}
	w, h = binary.BigEndian.Uint32(b[head:]), binary.BigEndian.Uint32(b[head+4:])
	if w > math.MaxInt32 || h > math.MaxInt32 {
		return nil, 0, 0, malformed("a side of the picture is over 2,147,483,647 pixels")
	}
	return b, w, h, nil
}

// place returns the part of the file to which the offsets of an item's data are relative.
func (t *heifTables) place(it *heifItem) (base, end int64) {
	if it.inIdat {
		return t.idat.body, t.idat.end
	}
	return 0, t.w.size
}

// data returns the first n bytes of an item's data.
func (t *heifTables) data(it *heifItem, n int) ([]byte, error) {
	if !it.readable || it.length < uint64(n) {
		return nil, malformed("the data of a grid or an overlay is not where it should be")
	}
	base, end := t.place(it)
	room := end - base - int64(n)
	if room < 0 || it.offset > uint64(room) {
		return nil, malformed("the data of a grid or an overlay is not in the file")
	}
	return t.w.at(base+int64(it.offset), n)
}

// maxPixels returns the size of the largest picture in the file, in pixels, with or without a reference
// to it: a decoder may decode any item. The pictures of an overlay, which are all decoded, count as
// one. It is called after main.
func (t *heifTables) maxPixels() (int64, error) {
	largest := t.partPixels
	count := func(w, h uint32) {
		if w > 0 && h > 0 {
			largest = max(largest, int64(min(uint64(w)*uint64(h), math.MaxInt64)))
		}
	}
	for _, p := range t.properties {
		switch p.kind {
		case "ispe", "av1C", "hvcC":
			count(p.u[0], p.u[1])
		}
	}
	for _, it := range t.items {
		coded, err := t.codedSize(it)
		if err != nil {
			return 0, err
		}
		count(coded.w, coded.h)
		switch it.kind {
		case "grid":
			g, err := t.gridShape(it)
			if err != nil {
				return 0, err
			}
			count(g.width, g.height)
		case "iovl":
			w, h, err := t.overlayShape(it)
			if err != nil {
				return 0, err
			}
			count(w, h)
		}
	}
	return largest, nil
}
