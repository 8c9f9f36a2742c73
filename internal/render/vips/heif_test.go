package vips

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// box builds a box.
func box(kind string, parts ...[]byte) []byte {
	content := bytes.Join(parts, nil)
	out := binary.BigEndian.AppendUint32(nil, uint32(8+len(content)))
	return append(append(out, kind...), content...)
}

// metaOf is the content of a meta box whose items have the given links to irot (1), ispe (2) and
// pixi (3).
func metaOf(wide bool, items ...[]byte) []byte {
	flags := []byte{0, 0, 0, 0}
	if wide {
		flags[3] = 1
	}
	ipma := binary.BigEndian.AppendUint32(flags, uint32(len(items)))
	for i, links := range items {
		ipma = append(ipma, 0, byte(i+1))
		n := len(links)
		if wide {
			n /= 2
		}
		ipma = append(append(ipma, byte(n)), links...)
	}
	return append([]byte{0, 0, 0, 0}, box("iprp",
		box("ipco", box("irot", []byte{1}), box("ispe", make([]byte, 12)), box("pixi")),
		box("ipma", ipma))...)
}

func TestIspeFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		wide     bool
		in, want [][]byte
		changed  bool
	}{
		{false, [][]byte{{0x81, 2, 3}}, [][]byte{{2, 0x81, 3}}, true},
		{false, [][]byte{{3, 0x81, 2}, {2}}, [][]byte{{2, 3, 0x81}, {2}}, true},
		{false, [][]byte{{2, 0x81, 3}}, [][]byte{{2, 0x81, 3}}, false},
		{false, [][]byte{{3, 2, 0x81}}, [][]byte{{3, 2, 0x81}}, false},
		{false, [][]byte{{}, {0, 0x7f, 1}}, [][]byte{{}, {0, 0x7f, 1}}, false},
		{true, [][]byte{{0x80, 1, 0, 2}}, [][]byte{{0, 2, 0x80, 1}}, true},
	} {
		got := metaOf(c.wide, c.in...)
		if changed := ispeFirst(got); changed != c.changed {
			t.Errorf("%v: changed is %v", c.in, changed)
		}
		if want := metaOf(c.wide, c.want...); !bytes.Equal(got, want) {
			t.Errorf("%v: got %x, want %x", c.in, got, want)
		}
	}
	meta := metaOf(false, []byte{0x81, 2})
	file := append(box("ftyp", []byte("avif")), box("meta", meta)...)
	got, begin, at, err := readMeta(bytes.NewReader(file), int64(len(file)))
	if err != nil || !bytes.Equal(got, meta) || begin != 12 || at != 20 {
		t.Errorf("%x at %d and %d, %v", got, begin, at, err)
	}
}

// FuzzIspeFirst: a meta box stays as long as it was and keeps its bytes except their order, and is
// in order afterwards.
func FuzzIspeFirst(f *testing.F) {
	f.Add(metaOf(false, []byte{0x81, 2, 3}))
	f.Add(metaOf(true, []byte{0x80, 1, 0, 2}, []byte{0, 2}))
	f.Add(append([]byte{0, 0, 0, 0}, box("iprp", box("ipma", []byte{1, 0, 0, 1, 255, 255, 255, 255}))...))
	f.Add([]byte("\x00\x00\x00\x00\x00\x00\x00\x01iprp\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := bytes.Clone(data)
		ispeFirst(got)
		var before, after [256]int
		for i := range data {
			before[data[i]]++
			after[got[i]]++
		}
		if before != after {
			t.Errorf("%x became %x", data, got)
		}
		readMeta(bytes.NewReader(data), int64(len(data)))
	})
}
