package limit

import "time"

// A Pace is the minimal speed of the reader of an answer, as deadlines of its writes: a piece may take
// Piece, and the whole may take Grace plus the time of its bytes at Rate. So the connection of a reader
// that stops or is too slow is closed, and the memory of the answer is released.
type Pace struct {
	Piece time.Duration // for each write
	Grace time.Duration // for the whole, whatever its size
	Rate  int64         // bytes a second of the whole beyond that
}

// Deadline returns the deadline of a write that begins now. began is the time at which the answer began; sent are
// the bytes of the answer up to the end of this write.
func (p Pace) Deadline(began, now time.Time, sent int64) time.Time {
	// In microseconds, so that no file is too large for the product.
	end := began.Add(p.Grace + time.Duration(sent*1e6/p.Rate)*time.Microsecond)
	if piece := now.Add(p.Piece); piece.Before(end) {
		return piece
	}
	return end
}

// Readers is the Pace of all readers of answers. A connection of 32 KiB/s is too slow to view pictures; a short
// answer has a minute on a slower one too.
var Readers = Pace{Piece: 30 * time.Second, Grace: time.Minute, Rate: 32 << 10}
