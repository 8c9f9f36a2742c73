package e2e

import (
	"bytes"
	"context"
	endian "encoding/binary" // binary is the program under test
	"net/http"
	"testing"
	"time"
)

// TestScanBomb uploads a small, valid JPEG that is under every limit of size, but whose pixels are
// refined in 2,646 scans: libjpeg needs about 17 s for it. Like any file it must be answered after ten seconds of a
// processor.
func TestScanBomb(t *testing.T) {
	s := newServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), uploadTime)
	defer cancel()
	body, kind := fileForm(t, "bomb.jpg", scanBomb(6000))
	started := time.Now()
	a, err := send(ctx, "POST", s.createUploadURL().UploadURL, body, "Content-Type", kind)
	if err != nil {
		t.Fatalf("no answer in %v: %v", uploadTime, err)
	}
	t.Logf("status %d after %v: %.200s", a.status, time.Since(started), a.body)
	if a.status != http.StatusOK && a.status != http.StatusUnprocessableEntity {
		t.Errorf("status %d: %.300s", a.status, a.body)
	}
	good := post(t, s.createUploadURL().UploadURL, "good.jpg", photo(t, 400, 300, 1))
	if good.status != http.StatusOK {
		t.Errorf("after it, a good file: status %d: %s", good.status, good.body)
	}
}

// scanBomb returns a grey progressive JPEG, three components of side x side: for each component
// one scan with the mean of each block, and for each of its 63 other coefficients 14 scans, a bit
// each, in which all blocks are empty.
func scanBomb(side int) []byte {
	var b bytes.Buffer
	segment := func(marker byte, payload ...byte) {
		b.Write([]byte{0xff, marker})
		b.Write(endian.BigEndian.AppendUint16(nil, uint16(len(payload)+2)))
		b.Write(payload)
	}
	table := func(class, symbol byte) { // one symbol, whose code is a 0
		segment(0xc4, append([]byte{class, 1, 15: 0, 16: 0}, symbol)...)
	}
	scan := func(component, coefficient, bits byte, data []byte) {
		segment(0xda, 1, component, 0, coefficient, coefficient, bits)
		b.Write(data)
	}
	blocks := (side + 7) / 8 * ((side + 7) / 8)
	b.Write([]byte{0xff, 0xd8})
	segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{16}, 64)...)...)
	size := endian.BigEndian.AppendUint16(nil, uint16(side))
	segment(0xc2, append(append(append([]byte{8}, size...), size...),
		3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)...)
	table(0x00, 0) // no difference to the block before
	means := padded(make([]byte, blocks))
	for component := byte(1); component <= 3; component++ {
		scan(component, 0, 0, means)
	}
	// Runs of 2^14 to 2^15-1 empty blocks, of which the last goes beyond the picture's end.
	table(0x10, 0xe0)
	var runs []byte
	for left := blocks; left > 0; left -= 1<<15 - 1 {
		runs = append(runs, 0)
		runs = append(runs, bytes.Repeat([]byte{1}, 14)...)
	}
	empty := padded(runs)
	for coefficient := byte(1); coefficient < 64; coefficient++ {
		for low := byte(13); low < 14; low-- {
			high := low + 1
			if low == 13 {
				high = 0
			}
			for component := byte(1); component <= 3; component++ {
				scan(component, coefficient, high<<4|low, empty)
			}
		}
	}
	b.Write([]byte{0xff, 0xd9})
	return b.Bytes()
}

// padded packs bits into the bytes of a scan: filled up with ones, a zero after each 0xff.
func padded(bits []byte) (packed []byte) {
	for i := 0; i < len(bits); i += 8 {
		var one byte
		for j := range 8 {
			one <<= 1
			if i+j >= len(bits) || bits[i+j] == 1 {
				one |= 1
			}
		}
		if packed = append(packed, one); one == 0xff {
			packed = append(packed, 0)
		}
	}
	return packed
}
