package vips

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// The EXIF tags Artist and Copyright.
const (
	tagArtist    = 0x013b
	tagCopyright = 0x8298
)

const (
	maxEXIF    = 1 << 20 // bytes that are searched
	maxEntries = 1000    // of a directory
	maxCredits = 60_000  // bytes of both values: a segment of a JPEG holds 65,533
	exifPrefix = "Exif\x00\x00"
)

// An exifEntry is one entry of a directory, with its value unchanged.
type exifEntry struct {
	tag, kind uint16
	value     []byte
}

// credits returns the content of an EXIF segment that holds the artist and the copyright of the
// given EXIF block, byte for byte, and nothing else; nil if both are absent.
func credits(exif []byte) []byte {
	var kept []exifEntry
	total := 0
	for _, e := range exifTexts(exif) {
		twice := slices.ContainsFunc(kept, func(k exifEntry) bool { return k.tag == e.tag })
		if (e.tag == tagArtist || e.tag == tagCopyright) && !twice {
			kept = append(kept, e)
			total += len(e.value)
		}
	}
	if len(kept) == 0 || total > maxCredits {
		return nil
	}
	slices.SortFunc(kept, func(a, b exifEntry) int { return int(a.tag) - int(b.tag) })
	be := binary.BigEndian
	out := []byte(exifPrefix + "MM\x00\x2a\x00\x00\x00\x08")
	out = be.AppendUint16(out, uint16(len(kept)))
	at := 8 + 2 + 12*len(kept) + 4 // the position of values that do not fit into an entry
	var values []byte
	for _, e := range kept {
		out = be.AppendUint16(be.AppendUint16(out, e.tag), e.kind)
		out = be.AppendUint32(out, uint32(len(e.value)))
		if len(e.value) <= 4 {
			out = append(out, append(bytes.Clone(e.value), 0, 0, 0, 0)[:4]...)
			continue
		}
		out = be.AppendUint32(out, uint32(at+len(values)))
		values = append(values, e.value...)
		if len(values)%2 == 1 {
			values = append(values, 0)
		}
	}
	return append(append(out, 0, 0, 0, 0), values...)
}

// exifTexts returns the entries of the first directory of an EXIF block whose values are bytes:
// BYTE, ASCII, UNDEFINED, UTF-8. It leaves out invalid entries.
func exifTexts(exif []byte) (entries []exifEntry) {
	tiff := bytes.TrimPrefix(exif, []byte(exifPrefix))
	if len(tiff) < 8 {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(tiff[:2]) == "MM" {
		order = binary.BigEndian
	}
	dir := int64(order.Uint32(tiff[4:]))
	if dir+2 > int64(len(tiff)) {
		return nil
	}
	b := tiff[dir+2:]
	for n := min(order.Uint16(tiff[dir:]), maxEntries); n > 0 && len(b) >= 12; n-- {
		e := exifEntry{tag: order.Uint16(b), kind: order.Uint16(b[2:])}
		count, field := int64(order.Uint32(b[4:])), b[8:12]
		b = b[12:]
		if e.kind != 1 && e.kind != 2 && e.kind != 7 && e.kind != 129 {
			continue
		}
		if count > 4 {
			at := int64(order.Uint32(field))
			if at+count > int64(len(tiff)) {
				continue
			}
			field = tiff[at : at+count]
		}
		e.value = field[:count]
		entries = append(entries, e)
	}
	return entries
}
