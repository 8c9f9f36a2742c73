package imagefile

import "encoding/binary"

// maxExifEntries bounds the search for the orientation. Cameras write about 20 entries.
const maxExifEntries = 1000

// exifPrefix begins an EXIF block in a JPEG. The last byte should be 0; browsers ignore it.
const exifPrefix = "Exif\x00\x00"

func isExifPrefix(b []byte) bool {
	return len(b) == len(exifPrefix) && string(b[:5]) == exifPrefix[:5]
}

// exifOrientation returns the orientation in the EXIF block at [off, end) of the file, which may
// begin with exifPrefix. The result is 1 for an invalid block or value, because
// orientation is never a reason to refuse a picture. An error is always one of the file's reader.
//
// As in browsers, only a single SHORT counts.
func exifOrientation(w *window, off, end int64) (int, error) {
	w.exif = span{off, end}
	if end-off >= int64(len(exifPrefix)) {
		b, err := w.at(off, len(exifPrefix))
		if err != nil {
			return 1, err
		}
		if isExifPrefix(b) {
			off += int64(len(exifPrefix))
		}
	}
	if end-off < 8 {
		return 1, nil
	}
	b, err := w.at(off, 8)
	if err != nil {
		return 1, err
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:4]) {
	case "II\x2a\x00":
	case "MM\x00\x2a":
		order = binary.BigEndian
	default:
		return 1, nil
	}
	return ifdOrientation(w, order, off+int64(order.Uint32(b[4:])), end)
}

// ifdOrientation searches the directory at dir, which must end before end.
func ifdOrientation(w *window, order binary.ByteOrder, dir, end int64) (int, error) {
	const (
		entryBytes = 12
		shortType  = 3
	)
	if dir > end-2 {
		return 1, nil
	}
	b, err := w.at(dir, 2)
	if err != nil {
		return 1, err
	}
	pos := dir + 2
	for range min(order.Uint16(b), maxExifEntries) {
		if pos > end-entryBytes {
			return 1, nil
		}
		b, err := w.at(pos, entryBytes)
		if err != nil {
			return 1, err
		}
		if order.Uint16(b) == tagOrientation {
			v := order.Uint16(b[8:])
			single := order.Uint16(b[2:]) == shortType && order.Uint32(b[4:]) == 1
			if single && v >= 1 && v <= 8 {
				return int(v), nil
			}
			return 1, nil
		}
		pos += entryBytes
	}
	return 1, nil
}
