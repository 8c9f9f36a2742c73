package imagefile

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// The boxes of a HEIC or AVIF whose content a copy keeps, by the box that they are in; "" is the file. Of mdat and
// idat it keeps the data of pictures.
var heifKept = map[string][]string{
	"":     {"ftyp", "meta"},
	"meta": {"hdlr", "pitm", "iinf", "iloc", "iref", "iprp", "dinf", "grpl", "ipro"},
}

// heifPictures are the kinds of items whose data a copy keeps: coded and derived pictures. A thumbnail that is a JPEG
// has separate metadata.
var heifPictures = []string{"av01", "hvc1", "hev1", "grid", "iovl", "iden", "tmap"}

// heifShown are the properties that say how a picture is decoded and shown.
var heifShown = []string{"ispe", "pixi", "colr", "av1C", "hvcC", "irot", "imir", "clap", "pasp", "auxC", "clli", "mdcv",
	"cclv", "amve", "ndwt", "reve", "a1op", "a1lx", "lsel", "rloc", "iscl"}

// A heifPatch replaces the bytes at a span: by b and zeros behind it.
type heifPatch struct {
	span
	b []byte
}

// A heifStripper is the state of stripping a HEIC or AVIF: no byte moves, so that the offsets in the file stay right.
type heifStripper struct {
	c       *copier
	t       *heifTables
	privacy Privacy
	kept    []span
	// structure has the heads of the boxes, and the boxes that are kept as a whole, in the order of the file.
	structure []span
	patches   []heifPatch
}

// stripHEIF writes a HEIC or AVIF of the same size with its still pictures: zeros replace metadata, films, and bytes
// that no picture has. With an empty Privacy no EXIF block is kept.
func stripHEIF(c *copier, p Privacy) error {
	s := &heifStripper{c: c, t: newHEIFTables(c.w), privacy: p}
	if err := s.t.file(0); err != nil {
		return err
	}
	if err := s.boxes("", 0, c.w.size); err != nil {
		return err
	}
	for _, p := range s.t.properties {
		if !slices.Contains(heifShown, p.kind) {
			s.patch(span{p.body, p.end}, nil, RemovedOther)
		}
	}
	if err := s.items(); err != nil {
		return err
	}
	return s.write()
}

// patch has b, and zeros behind it, replace the bytes at a span, which is named unless it has only zeros.
func (s *heifStripper) patch(at span, b []byte, name string) {
	s.patches = append(s.patches, heifPatch{at, b})
	s.name(at, name)
}

// boxes finds the bytes to keep of the boxes in [pos, end), which are in the box outer. A box that is removed becomes
// a box free.
func (s *heifStripper) boxes(outer string, pos, end int64) error {
	for pos < end {
		b, err := s.t.next(pos, end)
		if err != nil {
			if outer == "" && s.t.seen["meta"] {
				s.name(span{pos, end}, RemovedTrailing)
				return nil // as heifTables.file
			}
			return err
		}
		s.kept = append(s.kept, span{pos, b.body})
		switch {
		case outer == "" && b.kind == "meta":
			const version = 4
			s.kept = append(s.kept, span{b.body, b.body + version})
			if err := s.boxes("meta", b.body+version, b.end); err != nil {
				return err
			}
		case slices.Contains(heifKept[outer], b.kind):
			s.kept = append(s.kept, span{b.body, b.end})
		case b.kind != "mdat" && b.kind != "idat" && b.kind != "\x00\x00\x00\x00": // zeros are what a copy ends with
			s.patches = append(s.patches, heifPatch{span{pos + 4, pos + 8}, []byte("free")})
		}
		pos = b.end
	}
	return nil
}

// items keeps the data of pictures, and replaces that of metadata.
func (s *heifStripper) items() error {
	s.structure = slices.Clone(s.kept)
	total := int64(0) // extents may overlap, but not so that the work is more than that of the file
	for _, item := range s.t.items {
		base, end := s.t.place(item)
		var spans []span
		for _, e := range item.extents {
			if e.length <= 0 {
				continue
			}
			if total += e.length; total > 2*s.c.w.size {
				return malformed("the items of the file overlap")
			}
			if e.offset < 0 || e.offset > end-base-e.length {
				return errCutShort
			}
			spans = append(spans, span{base + e.offset, base + e.offset + e.length})
		}
		if slices.Contains(heifPictures, item.kind) {
			s.kept = append(s.kept, spans...)
		} else if err := s.metadata(item.kind, spans); err != nil {
			return err
		}
	}
	return s.checkOverlaps()
}

// metadata replaces an item of metadata. It refuses one in the structure of the file, which zeros would damage.
func (s *heifStripper) metadata(kind string, spans []span) error {
	for _, e := range spans {
		i, _ := slices.BinarySearchFunc(s.structure, e.off, func(part span, off int64) int {
			return cmp.Compare(part.end, off+1)
		})
		if i < len(s.structure) && s.structure[i].off < e.end {
			return malformed("the metadata of the file overlaps its structure")
		}
	}
	name := RemovedOther
	switch kind {
	case "Exif":
		if name = RemovedExif; len(spans) == 1 && s.privacy != "" {
			return s.exif(spans[0])
		}
	case "mime":
		name = RemovedXMP
	}
	for _, e := range spans {
		s.patch(e, nil, name)
	}
	return nil
}

// exif rewrites an item: the offset of the EXIF block behind this number (32 bits), then the block.
func (s *heifStripper) exif(at span) error {
	b, err := bytesOf(s.c.w, at)
	if err != nil {
		return err
	}
	var block []byte
	if len(b) > 4 {
		if off := int64(binary.BigEndian.Uint32(b)); off < int64(len(b)-4) {
			block = b[4+off:]
		}
	}
	// The container has the orientation. An empty directory is a valid block.
	block = rewriteExif(block, s.privacy, 1, s.c.removed)
	if block == nil {
		block = []byte{'I', 'I', 0x2a, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	}
	patch := heifPatch{span: at}
	if int64(4+len(block)) <= at.end-at.off {
		patch.b = append(make([]byte, 4), block...)
	}
	s.patches = append(s.patches, patch)
	return nil
}

// checkOverlaps refuses a file in which metadata has bytes of a picture, or of other metadata.
func (s *heifStripper) checkOverlaps() error {
	slices.SortFunc(s.patches, func(a, b heifPatch) int { return cmp.Compare(a.off, b.off) })
	for i := 1; i < len(s.patches); i++ {
		if s.patches[i].off < s.patches[i-1].end {
			return malformed("the metadata of the file overlaps")
		}
	}
	for _, item := range s.t.items {
		if !slices.Contains(heifPictures, item.kind) {
			continue
		}
		base, _ := s.t.place(item)
		for _, e := range item.extents {
			from, to := base+e.offset, base+e.offset+e.length
			i, _ := slices.BinarySearchFunc(s.patches, from, func(p heifPatch, from int64) int {
				return cmp.Compare(p.end, from+1)
			})
			if e.length > 0 && i < len(s.patches) && s.patches[i].off < to {
				return malformed("the metadata of the file overlaps a picture")
			}
		}
	}
	return nil
}

// name adds the name of what is removed if the span has a byte that is not zero.
func (s *heifStripper) name(at span, name string) {
	for off := at.off; off < at.end; off += windowBytes {
		b, err := s.c.w.at(off, int(min(windowBytes, at.end-off)))
		if err != nil {
			return // write meets it again
		}
		if bytes.ContainsFunc(b, func(r rune) bool { return r != 0 }) {
			s.c.removed.add(name)
			return
		}
	}
}

// write writes the file: what is kept, the patches, and zeros.
func (s *heifStripper) write() error {
	slices.SortFunc(s.kept, func(a, b span) int { return cmp.Compare(a.off, b.off) })
	pos := int64(0)
	for _, p := range s.patches {
		s.until(&pos, p.off)
		s.c.put(p.b...)
		s.c.zeros(p.end - p.off - int64(len(p.b)))
		pos = p.end
	}
	s.until(&pos, s.c.w.size)
	return s.c.err
}

// until writes the bytes from pos to end, of which those in kept are copied.
func (s *heifStripper) until(pos *int64, end int64) {
	for *pos < end && s.c.err == nil {
		for len(s.kept) > 0 && s.kept[0].end <= *pos {
			s.kept = s.kept[1:]
		}
		next := span{end, end}
		if len(s.kept) > 0 {
			next = span{min(s.kept[0].off, end), min(s.kept[0].end, end)}
		}
		if next.off > *pos {
			s.name(span{*pos, next.off}, RemovedOther)
			s.c.zeros(next.off - *pos)
		}
		s.c.copy(max(next.off, *pos), next.end)
		*pos = max(next.end, *pos)
	}
}

// zeros writes n zeros.
func (c *copier) zeros(n int64) {
	var block [windowBytes]byte
	for ; n > 0 && c.err == nil; n -= windowBytes {
		c.put(block[:min(n, windowBytes)]...)
	}
}
