package imagefile

// stripGIF writes header, global colour table, loop extensions, and each image with the graphic
// control that governs it.
func stripGIF(c *copier) error {
	g, err := openGIF(c.w)
	if err != nil {
		return err
	}
	c.copy(0, g.pos)
	var control []byte // content of the last graphic control that has met no image yet
	for c.err == nil {
		b, err := g.next()
		if err != nil {
			return err
		}
		switch {
		case b.kind == gifTrailer:
			c.put(gifTrailer)
			if b.end < c.w.size {
				c.removed.add(RemovedTrailing)
			}
			return nil
		case b.kind == gifImage:
			if control != nil {
				c.put(gifExtension, gifControl, byte(len(control)))
				c.put(control...)
				c.put(0)
				control = nil
			}
			c.copy(b.start, b.end)
		case b.label == gifControl:
			control, err = gifControlContent(c.w, b, control)
		case b.label == gifApplication:
			err = stripGIFLoop(c, b)
		default:
			c.removed.add(RemovedText)
		}
		if err != nil {
			return err
		}
	}
	return nil // the caller checks c.err
}

// gifControlContent returns the four bytes of the graphic control in b. One that is too short is
// passed over, as decoders do, and the control before it stays in force.
func gifControlContent(w *window, b gifBlock, before []byte) ([]byte, error) {
	const length = 4 // flags, delay (16 bits), transparent colour
	head, err := w.at(b.start+2, 1)
	if err != nil || head[0] < length {
		return before, err
	}
	content, err := w.at(b.start+3, length)
	if err != nil {
		return before, err
	}
	return append([]byte(nil), content...), nil
}

// stripGIFLoop writes the loop count of the application extension in b, if it is one of the two
// that hold one: an identifier of 11 bytes, then a sub-block of 1 and the count in 16 bits. All
// others (XMP, ICC, EXIF, ...) are left out.
func stripGIFLoop(c *copier, b gifBlock) error {
	const (
		identifier = 11
		head       = 2 + 1 + identifier // introducer, label, length
		loop       = 1 + 3              // length, kind, count
	)
	if b.end-b.start < head+loop+1 {
		return nil
	}
	p, err := c.w.at(b.start, head+loop)
	if err != nil {
		return err
	}
	id := string(p[3:head])
	if p[2] != identifier || id != "NETSCAPE2.0" && id != "ANIMEXTS1.0" {
		if id == "XMP DataXMP" {
			c.removed.add(RemovedXMP)
		} else {
			c.removed.add(RemovedOther)
		}
		return nil
	}
	if p[head] < 3 || p[head+1]&7 != 1 {
		return nil
	}
	c.put(p[:head]...)
	c.put(3, 1, p[head+2], p[head+3], 0)
	return nil
}
