// Package imagefiletest builds picture files and parts of them for tests.
package imagefiletest

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// BE16, BE32, LE32 and LE24 return v in big-endian or little-endian bytes.
func BE16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func BE32(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
func LE16(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
func LE32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }
func LE24(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16)} }

// Join returns the concatenated parts.
func Join(parts ...[]byte) []byte { return slices.Concat(parts...) }

// JPEGSegment returns a segment with its marker and length.
func JPEGSegment(marker byte, content []byte) []byte {
	return Join([]byte{0xff, marker}, BE16(len(content)+2), content)
}

// PNGChunk returns a chunk with its length and checksum.
func PNGChunk(kind string, content []byte) []byte {
	body := Join([]byte(kind), content)
	return Join(BE32(len(content)), body, BE32(int(crc32.ChecksumIEEE(body))))
}

// IHDR returns the first chunk of a PNG; rest are the bytes after width and height.
func IHDR(width, height int, rest ...byte) []byte {
	return PNGChunk("IHDR", Join(BE32(width), BE32(height), rest))
}

// LosslessWebP returns the content of a VP8L chunk: a picture of one colour. Each prefix code has one symbol, so no
// bits encode pixels.
func LosslessWebP(width, height int) []byte {
	bits, n := uint64(0), 0
	put := func(v uint64, count int) { bits |= v << n; n += count }
	put(uint64(width-1), 14)
	put(uint64(height-1), 14)
	put(0, 1) // no alpha
	put(0, 3) // version
	put(0, 3) // no transform, no colour cache, no further prefix codes
	for range 5 {
		put(0b0001, 4) // a simple code of one symbol, which is 0
	}
	return append([]byte{0x2f}, binary.LittleEndian.AppendUint64(nil, bits)[:7]...)
}

// WebPChunk returns a chunk with its length, padded to an even length.
func WebPChunk(kind string, content []byte) []byte {
	return Join([]byte(kind), LE32(len(content)), content, make([]byte, len(content)&1))
}

// WebPFile returns a RIFF file with the chunks.
func WebPFile(chunks ...[]byte) []byte {
	body := Join(chunks...)
	return Join([]byte("RIFF"), LE32(len(body)+4), []byte("WEBP"), body)
}

// VP8X returns the first chunk of an extended WebP.
func VP8X(flags byte, width, height int) []byte {
	return WebPChunk("VP8X", Join([]byte{flags, 0, 0, 0}, LE24(width-1), LE24(height-1)))
}

// ANIMChunk returns the chunk with the settings of an animation.
func ANIMChunk() []byte { return WebPChunk("ANIM", []byte{1, 2, 3, 4, 5, 0}) }

// ANMF returns a frame at (x, y), both even, with the chunks.
func ANMF(x, y, width, height int, chunks ...[]byte) []byte {
	head := Join(LE24(x/2), LE24(y/2), LE24(width-1), LE24(height-1), LE24(100), []byte{2})
	return WebPChunk("ANMF", Join(head, Join(chunks...)))
}

// LosslessChunk returns a VP8L chunk of one colour.
func LosslessChunk(width, height int) []byte {
	return WebPChunk("VP8L", LosslessWebP(width, height))
}
