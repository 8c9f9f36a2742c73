package imagefile

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	xmpPacket  = "http://ns.adobe.com/xap/1.0/\x00"
	hdrgmSpace = "http://ns.adobe.com/hdr-gain-map/1.0/"
)

// millionths rounds a number. ok is false if it is over any bound of a Gain.
func millionths(v float64) (n int32, ok bool) {
	n64 := math.Round(v * million)
	if !(math.Abs(n64) <= math.MaxInt32) {
		return 0, false
	}
	return int32(n64), true
}

// hdrgmNames are the names of Gain.numbers in XMP, and their defaults.
var hdrgmNames = [5]struct {
	name     string
	fallback string
}{{"GainMapMin", "0"}, {"GainMapMax", ""}, {"Gamma", "1"}, {"OffsetSDR", "0.015625"}, {"OffsetHDR", "0.015625"}}

// xmpGain reads a Gain from XMP, as Adobe and Google write it. A number is an attribute or an element; one for each
// colour is a list in an element.
func xmpGain(b []byte) (g Gain, ok bool) {
	values := hdrgmValues(b)
	if len(values["Version"]) == 0 || strings.EqualFold(first(values["BaseRenditionIsHDR"]), "true") {
		return g, false
	}
	r := rationals{ok: true}
	number := func(text string) int32 {
		v, err := strconv.ParseFloat(text, 64)
		r.ok = r.ok && err == nil
		return r.millionths(v)
	}
	for i, n := range g.numbers() {
		texts := values[hdrgmNames[i].name]
		if len(texts) == 0 {
			texts = []string{hdrgmNames[i].fallback}
		}
		if len(texts) != 1 && len(texts) != 3 {
			return g, false
		}
		for colour := range n {
			n[colour] = number(texts[colour%len(texts)])
		}
	}
	g.FullHeadroom = number(first(values["HDRCapacityMax"]))
	if low := first(values["HDRCapacityMin"]); low != "" {
		g.PictureHeadroom = number(low)
	}
	return g, r.ok && g.valid()
}

func first(texts []string) string {
	if len(texts) == 0 {
		return ""
	}
	return texts[0]
}

// maxHdrgmValues bounds the values of a name: one for each colour.
const maxHdrgmValues = 3

// hdrgmValues returns the values in the name space of gain maps, by name. It stops at a fault in the XMP.
func hdrgmValues(b []byte) map[string][]string {
	values := map[string][]string{}
	add := func(name, value string) {
		if value = strings.TrimSpace(value); value != "" && len(values[name]) <= maxHdrgmValues {
			values[name] = append(values[name], value)
		}
	}
	var element string // in which the reader is
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if err != nil {
			return values
		}
		switch t := token.(type) {
		case xml.StartElement:
			for _, a := range t.Attr {
				if a.Name.Space == hdrgmSpace {
					add(a.Name.Local, a.Value)
				}
			}
			if t.Name.Space == hdrgmSpace {
				element = t.Name.Local
			}
		case xml.CharData:
			if element != "" {
				add(element, string(t))
			}
		case xml.EndElement:
			if t.Name.Space == hdrgmSpace {
				element = ""
			}
		}
	}
}

// appSegment returns a segment with the given content.
func appSegment(marker byte, parts ...string) []byte {
	content := strings.Join(parts, "")
	head := binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(2+len(content)))
	return append(head, content...)
}

const (
	xmpHead = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">` +
		`<rdf:Description rdf:about="" xmlns:hdrgm="` + hdrgmSpace + `" hdrgm:Version="1.0"`
	xmpTail = `</rdf:Description></rdf:RDF></x:xmpmeta>`
)

// segments returns the segments of a gain map that hold its Gain, in XMP and in the form of ISO 21496-1.
func (g Gain) segments() []byte {
	var attributes, elements strings.Builder
	decimal := func(n int32) string { return strconv.FormatFloat(float64(n)/million, 'f', -1, 64) }
	for i, n := range g.numbers() {
		name := hdrgmNames[i].name
		if n[0] == n[1] && n[0] == n[2] {
			fmt.Fprintf(&attributes, ` hdrgm:%s="%s"`, name, decimal(n[0]))
			continue
		}
		fmt.Fprintf(&elements, "<hdrgm:%s><rdf:Seq><rdf:li>%s</rdf:li><rdf:li>%s</rdf:li><rdf:li>%s</rdf:li></rdf:Seq>"+
			"</hdrgm:%s>", name, decimal(n[0]), decimal(n[1]), decimal(n[2]), name)
	}
	fmt.Fprintf(&attributes, ` hdrgm:HDRCapacityMin="%s" hdrgm:HDRCapacityMax="%s" hdrgm:BaseRenditionIsHDR="False">`,
		decimal(g.PictureHeadroom), decimal(g.FullHeadroom))
	xmp := appSegment(jpegAPP1, xmpPacket, xmpHead, attributes.String(), elements.String(), xmpTail)
	return append(xmp, appSegment(jpegAPP2, isoGainPrefix, string(g.iso()))...)
}

// iso returns a Gain in the form that isoGain reads.
func (g *Gain) iso() []byte {
	var flags byte
	colours := 1
	if g.OwnColours || !g.grey() {
		flags, colours = isoColours, 3
	}
	if !g.OwnColours {
		flags |= isoBaseColours
	}
	b := []byte{0, 0, 0, 0, flags}
	number := func(n int32) {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(n)), million)
	}
	number(g.PictureHeadroom)
	number(g.FullHeadroom)
	for colour := range colours {
		for _, n := range g.numbers() {
			number(n[colour])
		}
	}
	return b
}

// directorySegments returns the segments of a picture of size bytes, in which they are at the offset at, that say that
// a gain map of mapSize bytes follows it: in XMP, in the form of ISO 21496-1, and in MPF. Their length depends on
// mapSize only.
func directorySegments(at, size, mapSize int64) []byte {
	const item = `<rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" Item:Semantic=`
	out := appSegment(jpegAPP1, xmpPacket, xmpHead,
		` xmlns:Container="http://ns.google.com/photos/1.0/container/"`,
		` xmlns:Item="http://ns.google.com/photos/1.0/container/item/"><Container:Directory><rdf:Seq>`,
		item, `"Primary"/></rdf:li>`, item, fmt.Sprintf(`"GainMap" Item:Length="%d"/></rdf:li>`, mapSize),
		`</rdf:Seq></Container:Directory>`, xmpTail)
	out = append(out, appSegment(jpegAPP2, isoGainPrefix, "\x00\x00\x00\x00")...)
	tiff := at + int64(len(out)) + 4 + int64(len(mpfPrefix)) // where the offsets of MPF count from
	return append(out, appSegment(jpegAPP2, mpfPrefix, string(mpf(size, size-tiff, mapSize)))...)
}

// mpf returns the TIFF structure of an MPF segment for a picture of size bytes, and one of mapSize bytes at an offset.
func mpf(size, offset, mapSize int64) []byte {
	const pictures, primary = 2, 0x030000 // the primary picture, of a type that is not defined
	be := binary.BigEndian
	b := []byte("MM\x00\x2a\x00\x00\x00\x08\x00\x03")
	entry := func(tag, kind uint16, count uint32, value []byte) {
		b = be.AppendUint32(be.AppendUint16(be.AppendUint16(b, tag), kind), count)
		b = append(b, value...)
	}
	entry(0xb000, 7, 4, []byte("0100"))
	entry(0xb001, 4, 1, []byte{0, 0, 0, pictures})
	behind := uint32(len(b) + 12 + 4)
	entry(tagMPEntry, 7, pictures*mpEntryBytes, be.AppendUint32(nil, behind))
	b = append(b, 0, 0, 0, 0) // no further directory
	for _, one := range [pictures][3]int64{{primary, size, 0}, {0, mapSize, offset}} {
		for _, n := range one {
			b = be.AppendUint32(b, uint32(n))
		}
		b = append(b, 0, 0, 0, 0)
	}
	return b
}
