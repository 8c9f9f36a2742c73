package e2e

import (
	"bytes"
	endian "encoding/binary" // binary is the program under test
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
)

// A mutant is a damaged copy of a file of the corpus. It depends only on the corpus, the seed and its number.
type mutant struct {
	number  int
	path    string // of the file
	how     string
	content []byte
	rnd     *rand.Rand // for what is requested of it
}

// A mutator changes a file in its own way. other is a second file, of the same format if there is one. It returns nil
// if the file has nothing that it changes.
type mutator struct {
	name   string
	mutate func(rnd *rand.Rand, file, other []byte) []byte
}

var mutators = []mutator{
	{"flips", flipBits}, {"bytes", setBytes}, {"truncated", truncate}, {"hole", cutHole}, {"doubled", double},
	{"spliced", splice}, {"header", setHeaderBytes}, {"field", setField}, {"field", setField}, {"field", setField},
}

// mutantOf returns mutant number n.
func mutantOf(files []specimen, seed uint64, n int) mutant {
	rnd := rand.New(rand.NewPCG(seed, uint64(n)))
	file := files[rnd.IntN(len(files))]
	var others []specimen
	for _, other := range files {
		if other.format == file.format {
			others = append(others, other)
		}
	}
	other := others[rnd.IntN(len(others))]
	for {
		m := mutators[rnd.IntN(len(mutators))]
		content := m.mutate(rnd, slices.Clone(file.content), other.content)
		if len(content) == 0 || bytes.Equal(content, file.content) {
			continue
		}
		return mutant{n, file.path, m.name, content, rnd}
	}
}

func (m mutant) String() string { return fmt.Sprintf("mutant %d (%s, %s)", m.number, m.path, m.how) }

// span returns a random part of n bytes, at least one, whose length is small more often than large.
func span(rnd *rand.Rand, n int) (from, to int) {
	length := 1 + rnd.IntN(1+min(n-1, 1<<rnd.IntN(17)))
	from = rnd.IntN(max(n-length, 0) + 1)
	return from, min(from+length, n)
}

func flipBits(rnd *rand.Rand, file, _ []byte) []byte {
	for range 1 << rnd.IntN(7) {
		file[rnd.IntN(len(file))] ^= 1 << rnd.IntN(8)
	}
	return file
}

// boundaries are values at which readers of numbers have bugs.
var boundaries = []byte{0, 1, 2, 0x7f, 0x80, 0xfe, 0xff}

func setBytes(rnd *rand.Rand, file, _ []byte) []byte {
	from, to := span(rnd, len(file))
	for i := from; i < to; i++ {
		file[i] = byte(rnd.Uint32())
	}
	return file
}

// setHeaderBytes sets a few of the first bytes, where most formats have their numbers.
func setHeaderBytes(rnd *rand.Rand, file, _ []byte) []byte {
	for range 1 + rnd.IntN(3) {
		file[rnd.IntN(min(len(file), 128))] = boundaries[rnd.IntN(len(boundaries))]
	}
	return file
}

func truncate(rnd *rand.Rand, file, _ []byte) []byte { return file[:rnd.IntN(len(file))] }

func cutHole(rnd *rand.Rand, file, _ []byte) []byte {
	from, to := span(rnd, len(file))
	return slices.Delete(file, from, to)
}

func double(rnd *rand.Rand, file, _ []byte) []byte {
	from, to := span(rnd, len(file))
	return slices.Concat(file[:to], file[from:])
}

func splice(rnd *rand.Rand, file, other []byte) []byte {
	return slices.Concat(file[:rnd.IntN(len(file))], other[rnd.IntN(len(other)+1):])
}

// setField changes a number of the format and repairs what checks it, so that it reaches the decoder.
func setField(rnd *rand.Rand, file, _ []byte) []byte {
	switch {
	case bytes.HasPrefix(file, []byte("\xff\xd8")):
		return setIn(rnd, file, jpegFields(file))
	case bytes.HasPrefix(file, []byte("\x89PNG")):
		return setPNG(rnd, file)
	case bytes.HasPrefix(file, []byte("RIFF")):
		return setIn(rnd, file, riffFields(file))
	case bytes.HasPrefix(file, []byte("GIF8")):
		return setIn(rnd, file, gifFields(file))
	case len(file) > 12 && string(file[4:8]) == "ftyp":
		return setIn(rnd, file, boxFields(file, 0, len(file)))
	case bytes.Contains(file[:min(len(file), 4096)], []byte("<svg")):
		return setNumber(rnd, file)
	}
	return nil
}

// A field is the part of a file that holds numbers: sizes, offsets, tables.
type field struct{ from, to int }

// setIn changes one to three bytes of one of the fields.
func setIn(rnd *rand.Rand, file []byte, fields []field) []byte {
	fields = slices.DeleteFunc(fields, func(f field) bool { return f.from >= f.to || f.to > len(file) })
	if len(fields) == 0 {
		return nil
	}
	f := fields[rnd.IntN(len(fields))]
	for range 1 + rnd.IntN(3) {
		i := f.from + rnd.IntN(f.to-f.from)
		if file[i] = boundaries[rnd.IntN(len(boundaries))]; rnd.IntN(2) == 0 {
			file[i] = byte(rnd.Uint32())
		}
	}
	return file
}

// jpegFields are the segments before the entropy-coded data, with their lengths.
func jpegFields(b []byte) (found []field) {
	for i := 2; i+4 <= len(b) && b[i] == 0xff; {
		size := int(endian.BigEndian.Uint16(b[i+2:]))
		found = append(found, field{i + 2, min(i+2+size, i+64)})
		if b[i+1] == 0xda {
			break
		}
		i += 2 + size
	}
	return found
}

// setPNG changes a chunk and repairs its checksum.
func setPNG(rnd *rand.Rand, b []byte) []byte {
	var chunks []int
	for i := 8; i+12 <= len(b); {
		size := int(endian.BigEndian.Uint32(b[i:]))
		if size < 0 || i+12+size > len(b) {
			break
		}
		if chunks = append(chunks, i); string(b[i+4:i+8]) == "IHDR" {
			chunks = append(chunks, i, i) // the most interesting one
		}
		i += 12 + size
	}
	if len(chunks) == 0 {
		return nil
	}
	i := chunks[rnd.IntN(len(chunks))]
	size := int(endian.BigEndian.Uint32(b[i:]))
	setIn(rnd, b, []field{{i + 8, i + 8 + size}})
	endian.BigEndian.PutUint32(b[i+8+size:], crc32.ChecksumIEEE(b[i+4:i+8+size]))
	return b
}

// riffFields are the heads of the chunks of a WebP, and what follows a head.
func riffFields(b []byte) (found []field) {
	found = append(found, field{4, 8})
	for i := 12; i+8 <= len(b); {
		size := int(endian.LittleEndian.Uint32(b[i+4:]))
		found = append(found, field{i + 4, min(i+8+size, i+32)})
		i += 8 + size + size&1
	}
	return found
}

// gifFields are the screen and the descriptors of frames and extensions.
func gifFields(b []byte) (found []field) {
	if len(b) < 14 {
		return nil
	}
	i := 13
	if b[10]&0x80 != 0 {
		i += 3 << (b[10]&7 + 1)
	}
	found = append(found, field{6, 13})
	for i+11 < len(b) {
		switch b[i] {
		case '!':
			found = append(found, field{i + 1, i + 8})
			i = gifBlocks(b, i+2)
		case ',':
			found = append(found, field{i + 1, i + 12})
			flags := b[i+9]
			if i += 10; flags&0x80 != 0 {
				i += 3 << (flags&7 + 1)
			}
			i = gifBlocks(b, i+1)
		default:
			return found
		}
	}
	return found
}

// boxFields are the heads and contents of the boxes of HEIC and AVIF, without their pictures.
func boxFields(b []byte, from, to int) (found []field) {
	for i := from; i+8 <= to; {
		size, kind := int(endian.BigEndian.Uint32(b[i:])), string(b[i+4:i+8])
		if size < 8 || i+size > to {
			return append(found, field{i, i + 8})
		}
		switch kind {
		case "mdat":
			found = append(found, field{i, i + 8})
		case "meta":
			found = append(found, boxFields(b, i+12, i+size)...)
		case "iprp", "ipco", "moov", "trak", "mdia", "minf", "stbl":
			found = append(found, boxFields(b, i+8, i+size)...)
		default:
			found = append(found, field{i, min(i+size, i+64)})
		}
		i += size
	}
	return found
}

var numbers = regexp.MustCompile(`[0-9]+(?:\.[0-9]+)?`)

// setNumber replaces a number of an SVG.
func setNumber(rnd *rand.Rand, b []byte) []byte {
	all := numbers.FindAllIndex(b, 4000)
	if len(all) == 0 {
		return nil
	}
	at := all[rnd.IntN(len(all))]
	words := []string{"0", "-1", "1e9", "1e-9", "1e400", "99999999999999999999", "NaN", "100%", "", "0x7f",
		strconv.Itoa(rnd.IntN(1 << 20))}
	return slices.Concat(b[:at[0]], []byte(words[rnd.IntN(len(words))]), b[at[1]:])
}
