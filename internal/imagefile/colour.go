package imagefile

import (
	"encoding/binary"
	"io"
)

// A Colour is the colour space that a file states other than by a profile. The zero Colour is sRGB.
type Colour struct {
	// Primaries are the chromaticities x, y of red, green, blue and white. All zero: those of sRGB.
	Primaries [8]float64
	Transfer  Transfer
	// Gamma is the exponent from values to light; used with TransferGamma only.
	Gamma float64
	// Narrow: the values of a grey picture are from 16 to 235 instead of 0 to 255. Decoders widen colour pictures
	// themselves.
	Narrow bool
	// Coded: this Colour takes precedence over a profile.
	Coded bool
}

// A Transfer is a curve from values to light.
type Transfer int

// The curves.
const (
	TransferSRGB Transfer = iota
	TransferGamma
	TransferPQ
	TransferHLG
)

// ReadColour reads the Colour of a picture whose format ReadHeader has found. It ignores invalid information,
// because the picture is shown without it. Errors are those of r.
func ReadColour(r io.ReaderAt, size int64, f Format) (Colour, error) {
	var c Colour
	var err error
	switch f {
	case PNG:
		c, err = pngColour(newWindow(r, size))
	case AVIF, HEIC:
		c, err = heifColour(newWindow(r, size))
	}
	if err != nil && !isMalformed(err) {
		return Colour{}, err
	}
	return c, nil
}

// codedPrimaries are the chromaticities of ITU-T H.273, table 2, other than those of sRGB.
var codedPrimaries = map[int][8]float64{
	4:  {0.67, 0.33, 0.21, 0.71, 0.14, 0.08, 0.310, 0.316},
	5:  {0.64, 0.33, 0.29, 0.60, 0.15, 0.06, 0.3127, 0.3290},
	6:  {0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290},
	7:  {0.630, 0.340, 0.310, 0.595, 0.155, 0.070, 0.3127, 0.3290},
	8:  {0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316},
	9:  {0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290},
	11: {0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351},
	12: {0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290},
	22: {0.630, 0.340, 0.295, 0.605, 0.155, 0.077, 0.3127, 0.3290},
}

// coded sets a Colour by the numbers of ITU-T H.273.
func (c *Colour) coded(primaries, transfer int) {
	c.Primaries = codedPrimaries[primaries]
	c.Transfer, c.Gamma = TransferSRGB, 0
	switch transfer {
	case 4:
		c.gamma(2.2)
	case 5:
		c.gamma(2.8)
	case 8:
		c.gamma(1)
	case 16:
		c.Transfer = TransferPQ
	case 18:
		c.Transfer = TransferHLG
	}
}

func (c *Colour) gamma(exponent float64) { c.Transfer, c.Gamma = TransferGamma, exponent }

// pngColour reads the chunks cICP, sRGB, gAMA and cHRM, in this order of precedence.
func pngColour(w *window) (Colour, error) {
	var c Colour
	var srgb, gamma bool
	for pos := int64(8); ; {
		k, err := nextPNGChunk(w, pos)
		if err != nil || k.kind == "IDAT" || k.kind == "IEND" {
			if !c.Coded && (srgb || !gamma) { // as in browsers, cHRM alone is ignored
				c = Colour{}
			}
			return c, err
		}
		srgb, gamma = srgb || k.kind == "sRGB", gamma || k.kind == "gAMA"
		if err := c.pngChunk(w, k); err != nil {
			return c, err
		}
		pos = k.body + k.length + 4
	}
}

// pngChunk reads one chunk.
func (c *Colour) pngChunk(w *window, k pngChunk) error {
	lengths := map[string]int{"cICP": 4, "gAMA": 4, "cHRM": 32}
	n, ok := lengths[k.kind]
	if !ok || k.length != int64(n) {
		return nil
	}
	b, err := w.at(k.body, n)
	if err != nil {
		return err
	}
	switch {
	case k.kind == "cICP" && b[2] == 0: // RGB
		c.Coded = true
		c.coded(int(b[0]), int(b[1]))
		if t := b[1]; t == 1 || t == 6 || t == 14 || t == 15 {
			c.gamma(2.4) // as browsers do for PNG; AVIF with these they show by the curve of sRGB
		}
	case k.kind == "gAMA" && !c.Coded:
		c.pngGamma(binary.BigEndian.Uint32(b))
	case k.kind == "cHRM" && !c.Coded:
		c.pngPrimaries(b)
	}
	return nil
}

// pngGamma reads the content of a gAMA chunk: 100,000 times the exponent from light to values. Encoders of sRGB
// that do not support the chunk sRGB write about 45,455.
func (c *Colour) pngGamma(v uint32) {
	switch {
	case v > 45_000 && v < 46_000:
		c.Transfer = TransferSRGB
	case v >= 10_000 && v <= 1_000_000:
		c.gamma(100_000 / float64(v))
	}
}

// pngPrimaries reads the content of a cHRM chunk: white, red, green and blue, 100,000 times.
func (c *Colour) pngPrimaries(b []byte) {
	var v [8]float64
	for i := range v {
		v[i] = float64(binary.BigEndian.Uint32(b[4*i:])) / 100_000
		if v[i] > 1 {
			return
		}
	}
	c.Primaries = [8]float64{v[2], v[3], v[4], v[5], v[6], v[7], v[0], v[1]}
}

// heifColour reads the colr property of type nclx of the main picture, or of its first part.
func heifColour(w *window) (Colour, error) {
	t := newHEIFTables(w)
	ftyp, err := t.next(0, w.size)
	if err == nil {
		err = t.file(ftyp.end)
	}
	if err != nil {
		return Colour{}, err
	}
	var c Colour
	var grey, coded, profile bool
	id := t.primary
	for range maxHEIFNesting {
		it := t.items[id]
		if it == nil {
			break
		}
		for _, i := range it.properties {
			p, err := t.propertyAt(i)
			if err != nil {
				return Colour{}, err
			}
			f := &heifFields{w: w, pos: p.body, end: p.end}
			switch p.kind {
			case "colr":
				if kind := f.text(4); kind == "nclx" && !coded {
					coded = true
					primaries, transfer := int(f.uint(2)), int(f.uint(2))
					f.skip(2) // the matrix: decoders apply it
					c.coded(primaries, transfer)
					c.Narrow = f.uint(1)&0x80 == 0
				} else if kind == "prof" || kind == "rICC" {
					profile = true
				}
			case "av1C":
				f.skip(2)
				grey = f.uint(1)&0x10 != 0
			case "hvcC":
				f.skip(16)
				grey = f.uint(1)&3 == 0
			}
			if f.err != nil {
				return Colour{}, f.err
			}
		}
		if len(it.derived) == 0 {
			break
		}
		id = it.derived[0]
	}
	narrow := c.Narrow && coded && grey
	if profile {
		c = Colour{}
	}
	c.Narrow = narrow
	return c, nil
}
