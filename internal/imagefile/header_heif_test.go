package imagefile

import (
	"bytes"
	"testing"
)

// A heifEdit is a change to a good file that makes a bad one, and a part of the reason why.
type heifEdit struct {
	name   string
	file   heifSample
	reason string
}

func heifEdits() []heifEdit {
	still := func(properties ...[]byte) heifSample {
		return sampleStill(avifBrands, "av01", properties...)
	}
	cut := func(values ...int) heifSample { return still(ispe(30, 20), clap(values...)) }
	edit := func(s heifSample, change func(*heifSample)) heifSample {
		change(&s)
		return s
	}
	plain := func(change func(*heifSample)) heifSample { return edit(still(ispe(30, 20)), change) }
	grid := func(change func(*heifSample)) heifSample { return edit(sampleGrid(100, 60), change) }
	const notInPicture, notAlike, notFitting = "not in the picture", "not alike", "do not fit"
	turned := func(s *heifSample) {
		s.properties = append(s.properties, irot(1))
		s.items[1].properties = []byte{1, 3}
	}
	return []heifEdit{
		{"no ispe", still(irot(0)), "does not state the size"},
		{"side of zero", still(ispe(0, 20)), "zero"},
		{"side of 1<<31", still(ispe(1<<31, 20)), "2,147,483,647"},
		{"two sizes", still(ispe(30, 20), ispe(31, 20)), "two sizes"},
		{"short ispe", still(fullBox("ispe", 0, 0, be32(30))), "shorter than its content"},
		{"empty ispe", still(heifBoxBytes("ispe")), "shorter than its content"},
		{"cut by zero", cut(10, 0, 10, 1, 0, 1, 0, 1), notInPicture},
		{"cut off by zero", cut(10, 1, 10, 1, 0, 0, 0, 1), notInPicture},
		{"cut to nothing", cut(0, 1, 10, 1, 0, 1, 0, 1), notInPicture},
		{"cut to more", cut(31, 1, 10, 1, 0, 1, 0, 1), notInPicture},
		{"cut to the left", cut(10, 1, 10, 1, -11, 1, 0, 1), notInPicture},
		{"cut to the right", cut(10, 1, 10, 1, 11, 1, 0, 1), notInPicture},
		{"cut to the bottom", cut(10, 1, 10, 1, 0, 1, 6, 1), notInPicture},
		{"cut far away", cut(10, 1, 10, 1, 1<<31-1, 1, 0, 1), notInPicture},
		{"cut with large numbers", cut(-1, -1, 10, 1, 0, -1, 0, 1), notInPicture},
		{"primary not there", plain(func(s *heifSample) { s.primary = 7 }), "is not in it"},
		{"property not there", plain(func(s *heifSample) { s.items[0].properties = []byte{1, 9} }),
			"not in the file"},
		{"data past the end", plain(func(s *heifSample) { s.items[0].length = 1000 }), "cut short"},
		{"mdat cut", plain(func(s *heifSample) { s.tail = []byte("\x00\x00\xff\xffmdat") }),
			"cut short"},

		{"tile missing", grid(func(s *heifSample) { s.items[2].madeOf = []byte{1} }), "made of 1"},
		{"tile unknown", grid(func(s *heifSample) { s.items[2].madeOf = []byte{1, 9} }),
			"tile of the grid is not"},
		{"mixed codings", grid(func(s *heifSample) { s.items[1].kind = "av01" }), notAlike},
		{"mixed sizes", grid(func(s *heifSample) { s.items[1].properties = []byte{2} }), notAlike},
		{"turned tile", grid(turned), notAlike},
		{"grid of two sizes", grid(func(s *heifSample) { s.properties[1] = ispe(101, 60) }),
			"two sizes"},
		{"grid too wide", sampleGrid(129, 60), notFitting},
		{"tile not shown", sampleGrid(64, 60), notFitting},
		{"empty grid", sampleGrid(0, 0), notFitting},
		{"no grid data", grid(func(s *heifSample) { s.idat = nil }), "data of a grid or an overlay"},
		{"grid data elsewhere", grid(func(s *heifSample) { s.items[2].offset = 1 }),
			"data of a grid or an overlay"},
		{"grid data too short", grid(func(s *heifSample) { s.items[2].length = 7 }),
			"data of a grid or an overlay"},
		{"grid version 1", grid(func(s *heifSample) { s.idat[0] = 1 }), "unknown version"},
		{"wide grid cut", grid(func(s *heifSample) { s.idat[1] = 1 }), "data of a grid or an overlay"},
	}
}

func TestReadHeaderMalformedHEIF(t *testing.T) {
	t.Parallel()
	var cases []malformedCase
	for _, e := range heifEdits() {
		cases = append(cases, malformedCase{e.name, e.file.bytes(), e.reason})
		e.file.wide = true
		cases = append(cases, malformedCase{e.name + ", wide", e.file.bytes(), e.reason})
	}
	checkMalformed(t, cases)
}

// TestReadHeaderMalformedBoxes is about the container, below what heifSample can say.
func TestReadHeaderMalformedBoxes(t *testing.T) {
	t.Parallel()
	whole := sampleStill(avifBrands, "av01", ispe(30, 20)).bytes()
	ftyp := heifBoxBytes("ftyp", []byte(avifBrands))
	meta := func(boxes ...[]byte) []byte { return join(ftyp, fullBox("meta", 0, 0, boxes...)) }
	ipco := func(boxes []byte) []byte {
		return meta(heifBoxBytes("iprp", heifBoxBytes("ipco", boxes)))
	}
	ipma := func(n int, entries []byte) []byte {
		return meta(heifBoxBytes("iprp", fullBox("ipma", 0, 0, be32(n), entries)))
	}
	dimg := func(boxes ...[]byte) []byte { return meta(fullBox("iref", 0, 0, join(boxes...))) }
	iloc := func(version byte, parts ...[]byte) []byte {
		return meta(fullBox("iloc", version, 0, join(parts...)))
	}
	pitm, free := fullBox("pitm", 0, 0, be16(1)), heifBoxBytes("free")
	infe := fullBox("infe", 2, 0, be16(1), be16(0), []byte("av01"))
	old := fullBox("infe", 0, 0, be16(1), be16(0), []byte("av01")) // has no kind
	made := heifBoxBytes("dimg", be16(1), be16(1), be16(2))
	var items []byte
	for i := range maxHEIFItems + 1 {
		items = append(items, join(be16(i), []byte{0})...)
	}
	full := join(be16(1), []byte{255}, make([]byte, 255))
	var many []byte
	for i := range maxHEIFLinks/255 + 1 {
		many = append(many, join(be16(i), full[2:])...)
	}
	vast := heifBoxBytes("dimg", be16(1), be16(65535), make([]byte, 2*65535))
	vastAgain := heifBoxBytes("dimg", be16(2), be16(2), make([]byte, 4))
	place := join(be16(1), be16(0), be16(0))
	checkMalformed(t, []malformedCase{
		{"two meta boxes", join(whole, whole[len(ftyp):]), "may hold once"},
		{"two pitm boxes", meta(pitm, pitm), "may hold once"},
		{"no pitm", meta(), "main picture"},
		{"short pitm", meta(fullBox("pitm", 0, 0, []byte{0})), "shorter than its content"},
		{"item listed twice", meta(pitm, fullBox("iinf", 0, 0, be16(2), infe, infe)), "item twice"},
		{"item without kind", meta(pitm, fullBox("iinf", 0, 0, be16(1), old)), "is not in it"},
		{"short iinf", meta(fullBox("iinf", 0, 0)), "shorter than its content"},
		{"short infe", meta(fullBox("iinf", 0, 0, be16(1), fullBox("infe", 2, 0, be16(1)))),
			"shorter than its content"},
		{"ftyp too long", heifBoxBytes("ftyp", make([]byte, maxFtypBytes+1)), "first box"},
		{"box shorter than 8", join(ftyp, []byte("\x00\x00\x00\x07meta")), "own head"},
		{"half a box", join(ftyp, []byte("\x00\x00\x00")), "cut short"},
		{"meta past the end", join(ftyp, []byte("\x00\x01\x00\x00meta\x00\x00\x00\x00")),
			"cut short"},
		{"64 bits of length", join(ftyp, be32(1), []byte("meta"), be32(-1), be32(-1)), "cut short"},
		{"child longer", join(meta([]byte("\x00\x00\x01\x00pitm\x00\x00")), free),
			"longer than what holds it"},
		{"many boxes", meta(bytes.Repeat(free, maxHEIFBoxes)), "boxes"},

		{"many properties", ipco(bytes.Repeat(free, maxHEIFProperties+1)), "properties"},
		{"short clap", ipco(clap(1, 2, 3)), "shorter than its content"},
		{"many items", ipma(maxHEIFItems+1, items), "items"},
		{"item given twice", ipma(2, make([]byte, 6)), "properties of an item twice"},
		{"many links", ipma(len(many)/258, many), "references"},
		{"endless ipma", ipma(-1, items[:30]), "shorter than its content"},
		{"short ipma entry", ipma(1, full[:20]), "shorter than its content"},

		{"made twice", dimg(made, made), "what an item is made of"},
		{"many tiles", dimg(vast, vastAgain), "references"},
		{"short dimg", dimg(heifBoxBytes("dimg", be16(1), be16(9), be16(2))),
			"shorter than its content"},
		{"short iref", meta(heifBoxBytes("iref")), "shorter than its content"},

		{"endless iloc", iloc(2, be16(0), be32(-1), make([]byte, 100)), "twice where"},
		{"short iloc", iloc(0, be16(0), be16(9), place), "shorter than its content"},
		{"number of 9 bytes", iloc(0, be16(0x0090), be16(1), make([]byte, 99)), "8 bytes"},
		{"data beyond 64 bits", iloc(0, be16(0x8080), be16(1), be16(1), be16(0),
			bytes.Repeat([]byte{255}, 8), be16(1), bytes.Repeat([]byte{255}, 8)), "64 bits"},
		{"extents past the box", iloc(0, be16(0x4400), be16(1), be16(1), be16(0), be16(65535),
			make([]byte, 80)), "shorter than its content"},
		{"many extents", iloc(0, be16(0), be16(2), be16(1), be16(0), be16(65535), be16(2),
			be16(0), be16(2)), "references"},
	})
}
