package imagefile

import "encoding/binary"

// stripWebP writes the file twice, the first time to learn the sizes that stand before the data.
func stripWebP(c *copier) error {
	c.dry = true
	if err := stripWebPChunks(c); err != nil {
		return err
	}
	size := c.count
	c.dry, c.count = false, 0
	if size > 1<<32-2-webpFileHeader {
		return malformed("the WebP is too large")
	}
	c.put([]byte("RIFF")...)
	c.put(binary.LittleEndian.AppendUint32(nil, uint32(size+4))...)
	c.put([]byte("WEBP")...)
	return stripWebPChunks(c)
}

// stripWebPChunks writes what stands behind the file header.
func stripWebPChunks(c *copier) error {
	r, err := openWebP(c.w)
	if err != nil {
		return err
	}
	if r.limit < c.w.size {
		c.removed.add(RemovedTrailing)
	}
	first, _, err := r.next()
	if err != nil {
		return err
	}
	if first.kind != "VP8X" {
		c.chunk(first)
		return nil
	}
	s := webpStripper{c: c}
	if err := s.vp8x(r, first); err != nil {
		return err
	}
	return s.rest(r)
}

// chunk writes a chunk of the file unchanged, with a new padding byte.
func (c *copier) chunk(k webpChunk) {
	c.chunkHead(k.kind, k.length)
	c.copy(k.body, k.end())
	c.pad(k.length)
}

func (c *copier) chunkHead(kind string, length int64) {
	c.put([]byte(kind)...)
	c.put(binary.LittleEndian.AppendUint32(nil, uint32(length))...)
}

func (c *copier) pad(length int64) {
	if length&1 == 1 {
		c.put(0)
	}
}

// A webpStripper is the state of writing the extended form.
type webpStripper struct {
	c        *copier
	animated bool
	anim     bool // the ANIM chunk was written
	alpha    bool // the alpha plane of a still was written
}

// vp8x writes the VP8X chunk, its flags true of what follows, and the colour profile, which must
// come next.
func (s *webpStripper) vp8x(r webpReader, first webpChunk) error {
	profile, found, err := webpProfile(r)
	if err != nil {
		return err
	}
	b, err := s.c.w.at(first.body, webpVP8X)
	if err != nil {
		return err
	}
	head := [webpVP8X]byte(b)
	found = found && head[0]&webpICC != 0
	head[0] &= webpAnimation | webpAlpha
	s.animated = head[0]&webpAnimation != 0
	if found {
		head[0] |= webpICC
	}
	if len(s.c.exif) > 0 {
		head[0] |= webpEXIF
	}
	head[1], head[2], head[3] = 0, 0, 0 // reserved
	s.c.chunkHead("VP8X", webpVP8X)
	s.c.put(head[:]...)
	if found {
		s.c.chunk(profile)
	}
	return nil
}

// webpProfile finds the first colour profile before the pictures.
func webpProfile(r webpReader) (webpChunk, bool, error) {
	count := 0
	r.chunks = &count // these are counted again by who reads on
	for {
		k, more, err := r.next()
		if err != nil || !more {
			return webpChunk{}, false, err
		}
		switch k.kind {
		case "ICCP":
			return k, true, nil
		case "ANMF", "ALPH", "VP8 ", "VP8L":
			return webpChunk{}, false, nil
		}
	}
}

// rest writes the pictures.
func (s *webpStripper) rest(r webpReader) error {
	for s.c.err == nil {
		k, more, err := r.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		switch k.kind {
		case "ANIM":
			if s.animated && !s.anim {
				s.anim = true
				s.c.chunkHead("ANIM", webpANIM)
				s.c.copy(k.body, k.body+webpANIM)
			}
		case "ANMF":
			err = s.frame(r.inside(k, webpANMF), k)
		case "ALPH":
			if !s.alpha {
				s.alpha = true
				s.c.chunk(k)
			}
		case "VP8 ", "VP8L":
			s.c.chunk(k)
		case "XMP ":
			s.c.removed.add(RemovedXMP)
		case "EXIF", "ICCP": // written elsewhere
		default:
			s.c.removed.add(RemovedOther)
		}
		if err != nil {
			return err
		}
	}
	if len(s.c.exif) > 0 {
		s.c.chunkHead("EXIF", int64(len(s.c.exif)))
		s.c.put(s.c.exif...)
		s.c.pad(int64(len(s.c.exif)))
	}
	return nil
}

// frame writes a frame with its alpha plane and its picture alone.
func (s *webpStripper) frame(inner webpReader, k webpChunk) error {
	var parts []webpChunk
	length := int64(webpANMF)
	for len(parts) == 0 || parts[len(parts)-1].kind == "ALPH" {
		p, more, err := inner.next()
		if err != nil {
			return err
		}
		if !more {
			return malformed("a frame of the WebP holds no picture")
		}
		switch {
		case p.kind == "VP8 ", p.kind == "VP8L", p.kind == "ALPH" && len(parts) == 0:
			parts = append(parts, p)
			length += webpChunkHeader + p.length + p.length&1
		}
	}
	s.c.chunkHead("ANMF", length)
	s.c.copy(k.body, k.body+webpANMF)
	for _, p := range parts {
		s.c.chunk(p)
	}
	return nil
}

// orientationTIFF returns an EXIF block that holds an orientation and nothing else.
func orientationTIFF(orientation int) []byte {
	return []byte{
		'I', 'I', 0x2a, 0, 8, 0, 0, 0, // byte order; the directory is at 8
		1, 0, // one entry
		0x12, 0x01, 3, 0, 1, 0, 0, 0, byte(orientation), 0, 0, 0, // a single SHORT
		0, 0, 0, 0, // no further directory
	}
}
