package imagefiletest

import "encoding/binary"

// An UltraHDR is an Ultra HDR JPEG in parts, each as one of the writers of such files writes it.
type UltraHDR struct {
	Picture, Map []byte                 // JPEGs
	XMP          string                 // of the map: the attributes of its description, and its elements after '>'
	ISO          []byte                 // of the map, in the form of ISO 21496-1
	MPF          binary.AppendByteOrder // of the list of pictures; nil for none
	Between      []byte                 // bytes between the picture and the map
}

const xmpOf = `<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF ` +
	`xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" ` +
	`xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" `

func xmpSegment(rest string) []byte {
	return JPEGSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+xmpOf+rest+
		`</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>`))
}

func isoSegment(content []byte) []byte {
	return JPEGSegment(0xe2, append([]byte("urn:iso:std:iso:ts:21496:-1\x00"), content...))
}

// Bytes returns the file.
func (u UltraHDR) Bytes() []byte {
	var head, headOfMap []byte
	if u.XMP != "" {
		head, headOfMap = xmpSegment(">"), xmpSegment(u.XMP)
	}
	if u.ISO != nil {
		head, headOfMap = append(head, isoSegment(make([]byte, 4))...), append(headOfMap, isoSegment(u.ISO)...)
	}
	gainMap := Join(u.Map[:2], headOfMap, u.Map[2:])
	if u.MPF == nil {
		return Join(u.Picture[:2], head, u.Picture[2:], u.Between, gainMap)
	}
	tiff := 2 + len(head) + 4 + 4 // behind SOI, the segments, the marker and length of MPF, and its name
	size := len(u.Picture) + len(head) + 4 + 4 + mpfBytes
	mpf := u.mpf(size, size+len(u.Between)-tiff, len(gainMap))
	head = append(head, JPEGSegment(0xe2, append([]byte("MPF\x00"), mpf...))...)
	return Join(u.Picture[:2], head, u.Picture[2:], u.Between, gainMap)
}

// mpfBytes is the size of a list of two pictures.
const mpfBytes = 8 + 2 + 3*12 + 4 + 2*16

// mpf lists the picture and, at an offset from the start of the list, the map.
func (u UltraHDR) mpf(size, offset, mapSize int) []byte {
	b := []byte("II\x2a\x00")
	if u.MPF == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00\x2a")
	}
	numbers := func(n ...int) {
		for _, v := range n {
			b = u.MPF.AppendUint32(b, uint32(v))
		}
	}
	entry := func(tag, kind uint16, count int) {
		b = u.MPF.AppendUint16(u.MPF.AppendUint16(b, tag), kind)
		numbers(count)
	}
	numbers(8)
	b = u.MPF.AppendUint16(b, 3)
	entry(0xb000, 7, 4)
	b = append(b, "0100"...)
	entry(0xb001, 4, 1)
	numbers(2)
	entry(0xb002, 7, 2*16)
	numbers(mpfBytes-2*16, 0)
	numbers(0x20030000, size, 0, 0)
	numbers(0, mapSize, offset, 0)
	return b
}
