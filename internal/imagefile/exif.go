package imagefile

import (
	"encoding/binary"
	"slices"
)

// maxExifBytes bounds an EXIF block that is rewritten. A JPEG holds up to 64 KiB.
const maxExifBytes = 1 << 20

// maxExifCopy bounds the rewritten block: what a segment of a JPEG holds. Values at even offsets may make it longer
// than the original.
const maxExifCopy = 65_535 - 2 - len(exifPrefix)

// The tags of EXIF blocks that have a special rule.
const (
	tagOrientation = 0x0112
	tagArtist      = 0x013b
	tagCopyright   = 0x8298
	tagExifIFD     = 0x8769
	tagGPSIFD      = 0x8825
	tagMakerNote   = 0x927c
	tagInteropIFD  = 0xa005
	tagInterop     = 0x0001
)

// serialTags are the tags that name a device or its owner.
var serialTags = []uint16{
	0xa420, // ImageUniqueID
	0xa430, // CameraOwnerName
	0xa431, // BodySerialNumber
	0xa435, // LensSerialNumber
	0xc62f, // CameraSerialNumber, of DNG
}

// keptTags are the tags of a directory that stay without positions, serial numbers and maker notes: those of EXIF 3.0
// on the picture, the exposure, the lens, the time and the author. A tag that is not listed may hold anything.
var keptTags = map[uint16]bool{}

func init() {
	for _, span := range [][2]uint16{
		{0x010e, 0x0110}, {tagOrientation, tagOrientation}, {0x011a, 0x011b}, {0x0128, 0x0128}, {0x012d, 0x012d},
		{0x0131, 0x0132}, {tagArtist, tagArtist}, {0x013e, 0x013f}, {0x0211, 0x0211}, {0x0213, 0x0214},
		{tagCopyright, tagCopyright}, {0x829a, 0x829a}, {0x829d, 0x829d}, {0x8822, 0x8822}, {0x8824, 0x8824},
		{0x8827, 0x8827}, {0x8830, 0x8835}, {0x9000, 0x9000}, {0x9003, 0x9004}, {0x9010, 0x9012}, {0x9101, 0x9102},
		{0x9201, 0x920a}, {0x9214, 0x9214}, {0x9286, 0x9286}, {0x9290, 0x9292}, {0xa000, 0xa003}, {0xa20b, 0xa20b},
		{0xa20e, 0xa210}, {0xa214, 0xa215}, {0xa217, 0xa217}, {0xa300, 0xa301}, {0xa401, 0xa40a}, {0xa40c, 0xa40c},
		{0xa432, 0xa434}, {0xa460, 0xa462}, {0xa500, 0xa500},
	} {
		for tag := int(span[0]); tag <= int(span[1]); tag++ {
			keptTags[uint16(tag)] = true
		}
	}
}

// An exifEntry is one field of an EXIF directory; value is as long as kind and count state.
type exifEntry struct {
	tag, kind uint16
	count     uint32
	value     []byte
}

// exifKindBytes are the sizes of the types of EXIF values, by their number.
var exifKindBytes = [...]int64{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4}

// An exifBlock is a TIFF structure that is read in full.
type exifBlock struct {
	b     []byte
	order binary.AppendByteOrder
	first uint32 // the offset of the first directory
}

// openExif reads the head of an EXIF block, which may begin with exifPrefix. ok is false if it has none.
func openExif(b []byte) (e exifBlock, ok bool) {
	if len(b) >= len(exifPrefix) && isExifPrefix(b[:len(exifPrefix)]) {
		b = b[len(exifPrefix):]
	}
	if len(b) < 8 {
		return e, false
	}
	switch string(b[:4]) {
	case "II\x2a\x00":
		e.order = binary.LittleEndian
	case "MM\x00\x2a":
		e.order = binary.BigEndian
	default:
		return e, false
	}
	e.b, e.first = b, e.byteOrder().Uint32(b[4:])
	return e, true
}

// byteOrder is the order for reading.
func (e exifBlock) byteOrder() binary.ByteOrder {
	if e.order == binary.AppendByteOrder(binary.BigEndian) {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// directory returns the valid entries of the directory at off, and the offset of the next directory. Entries
// that extend beyond the block are left out.
func (e exifBlock) directory(off uint32) (entries []exifEntry, next uint32) {
	order, pos := e.byteOrder(), int64(off)
	if off < 8 || pos > int64(len(e.b))-2 {
		return nil, 0
	}
	count := int64(order.Uint16(e.b[pos:]))
	pos += 2
	for range min(count, maxExifEntries) {
		if pos > int64(len(e.b))-12 {
			return entries, 0
		}
		if entry, ok := e.entry(e.b[pos : pos+12]); ok {
			entries = append(entries, entry)
		}
		pos += 12
	}
	if count <= maxExifEntries && pos <= int64(len(e.b))-4 {
		next = order.Uint32(e.b[pos:])
	}
	return entries, next
}

// entry reads one entry of 12 bytes: tag, type (16 bits each), count (32 bits), then the value, or its offset if it
// is longer than 4 bytes.
func (e exifBlock) entry(b []byte) (exifEntry, bool) {
	order := e.byteOrder()
	x := exifEntry{tag: order.Uint16(b), kind: order.Uint16(b[2:]), count: order.Uint32(b[4:])}
	if int(x.kind) >= len(exifKindBytes) || x.kind == 0 {
		return x, false
	}
	size := exifKindBytes[x.kind] * int64(x.count)
	if size <= 4 {
		x.value = b[8 : 8+size]
		return x, true
	}
	off := int64(order.Uint32(b[8:]))
	if off > int64(len(e.b)) || size > int64(len(e.b))-off {
		return x, false
	}
	x.value = e.b[off : off+size]
	return x, true
}

// pointer returns the offset in an entry that points to a directory.
func (e exifBlock) pointer(entries []exifEntry, tag uint16) (uint32, bool) {
	for _, x := range entries {
		if x.tag == tag && (x.kind == 4 || x.kind == 13) && x.count == 1 {
			return e.byteOrder().Uint32(x.value), true
		}
	}
	return 0, false
}

// rewriteExif returns a copy of an EXIF block with the fields that a Privacy keeps, without exifPrefix, and names what
// is removed. It is nil if none is kept. The orientation counts as h states it, and is left out if it is 1.
func rewriteExif(b []byte, p Privacy, orientation int, removed *removals) []byte {
	e, ok := openExif(b)
	if !ok {
		if len(b) > 0 {
			removed.add(RemovedExif)
		}
		if orientation != 1 {
			return orientationTIFF(orientation)
		}
		return nil
	}
	main, thumbnail := e.directory(e.first)
	if thumbnail != 0 {
		removed.add(RemovedThumbnail)
	}
	var camera, interop []exifEntry
	if off, ok := e.pointer(main, tagExifIFD); ok {
		camera, _ = e.directory(off)
	}
	if off, ok := e.pointer(camera, tagInteropIFD); ok {
		interop, _ = e.directory(off)
	}
	w := exifWriter{e: e, limit: len(e.b)}
	w.main = keepExif(main, p, removed)
	if orientation != 1 {
		value := e.order.AppendUint16(nil, uint16(orientation))
		w.main = append(w.main, exifEntry{tagOrientation, 3, 1, value})
	}
	w.camera = keepExif(camera, p, removed)
	if p == PrivacyGPS {
		w.interop = slices.DeleteFunc(interop, func(x exifEntry) bool { return x.tag != tagInterop })
	}
	out := w.bytes()
	if out == nil && len(w.main) > 0 {
		removed.add(RemovedExif)
	}
	if out == nil && orientation != 1 {
		return orientationTIFF(orientation)
	}
	return out
}

// keepExif returns the entries of a directory that stay, and names the others.
func keepExif(entries []exifEntry, p Privacy, removed *removals) (kept []exifEntry) {
	for _, x := range entries {
		switch {
		case x.tag == tagExifIFD, x.tag == tagInteropIFD, x.tag == tagOrientation: // rewriteExif writes new ones
		case x.tag == tagGPSIFD:
			removed.add(RemovedGPS)
		case x.tag == tagMakerNote:
			removed.add(RemovedMakerNote)
		case slices.Contains(serialTags, x.tag):
			removed.add(RemovedSerialNumbers)
		case x.tag == tagArtist, x.tag == tagCopyright, p == PrivacyGPS && keptTags[x.tag]:
			kept = append(kept, x)
		default:
			removed.add(RemovedExif)
		}
	}
	return kept
}

// An exifWriter writes an EXIF block in the byte order of the one that its values come from.
type exifWriter struct {
	e                     exifBlock
	main, camera, interop []exifEntry
	limit                 int // bytes of the values; those of a file may overlap, those of the copy do not
	out                   []byte
}

// bytes returns the block; nil if it has no entry, or would be longer than maxExifCopy.
func (w *exifWriter) bytes() []byte {
	order := w.e.order
	if len(w.interop) > 0 {
		w.camera = append(w.camera, exifEntry{tagInteropIFD, 4, 1, make([]byte, 4)})
	}
	if len(w.camera) > 0 {
		w.main = append(w.main, exifEntry{tagExifIFD, 4, 1, make([]byte, 4)})
	}
	values := 0
	for _, x := range slices.Concat(w.main, w.camera, w.interop) {
		values += len(x.value)
	}
	if len(w.main) == 0 || values > w.limit {
		return nil
	}
	w.out = append(w.out, w.e.b[:4]...)
	w.out = order.AppendUint32(w.out, 8)
	w.directory(w.main, w.camera, w.interop)
	if len(w.out) > maxExifCopy {
		return nil
	}
	return w.out
}

// directory writes a directory, its values, and the directory that its last pointer names.
func (w *exifWriter) directory(entries []exifEntry, inner ...[]exifEntry) {
	slices.SortStableFunc(entries, func(a, b exifEntry) int { return int(a.tag) - int(b.tag) })
	entries = slices.CompactFunc(entries, func(a, b exifEntry) bool { return a.tag == b.tag })
	order := w.e.order
	w.out = order.AppendUint16(w.out, uint16(len(entries)))
	values := len(w.out) + 12*len(entries) + 4 // behind the directory
	var long []byte
	pointer := -1 // the place of the offset of the inner directory
	for _, x := range entries {
		w.out = order.AppendUint16(w.out, x.tag)
		w.out = order.AppendUint16(w.out, x.kind)
		w.out = order.AppendUint32(w.out, x.count)
		switch {
		case x.tag == tagExifIFD || x.tag == tagInteropIFD:
			pointer = len(w.out)
			w.out = append(w.out, x.value...)
		case len(x.value) <= 4:
			w.out = append(w.out, x.value...)
			w.out = append(w.out, make([]byte, 4-len(x.value))...)
		default:
			w.out = order.AppendUint32(w.out, uint32(values+len(long)))
			long = append(long, x.value...)
			if len(long)%2 == 1 {
				long = append(long, 0) // values begin at even offsets
			}
		}
	}
	w.out = order.AppendUint32(w.out, 0) // no further directory
	w.out = append(w.out, long...)
	if pointer >= 0 && len(inner) > 0 {
		copy(w.out[pointer:], order.AppendUint32(nil, uint32(len(w.out))))
		w.directory(inner[0], inner[1:]...)
	}
}
