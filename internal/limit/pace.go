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

// Deadline returns when a write must have ended that begins now; sent are the bytes of the answer up
// to the end of this write, began is when the answer began.
func (p Pace) Deadline(began, now time.Time, sent int64) time.Time {
	// In microseconds, so that no file is too large for the product.
	end := began.Add(p.Grace + time.Duration(sent*1e6/p.Rate)*time.Microsecond)
	if piece := now.Add(p.Piece); piece.Before(end) {
		return piece
	}
	return end
}

// Readers is the pace that all readers of answers must keep. A line of 32 KiB/s is slower than any
// on which one would look at pictures; a short answer has its minute on a worse one too.
var Readers = Pace{Piece: 30 * time.Second, Grace: time.Minute, Rate: 32 << 10}
