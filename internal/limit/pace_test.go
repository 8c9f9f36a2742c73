package limit

import (
	"testing"
	"time"
)

// A reader takes 64 KiB at a time, at some speed, until a deadline has passed or it has all.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		rate, size  int64
		least, most int64 // seconds until the end
		whole       bool
	}{
		{"2 KB/s of 8 MiB", 2 << 10, 8 << 20, 30, 70, false},
		{"16 KiB/s of 8 MiB", 16 << 10, 8 << 20, 110, 130, false},
		{"16 KiB/s of 1 MiB", 16 << 10, 1 << 20, 64, 64, true},
		{"33 KiB/s of 10 MiB", 33 << 10, 10 << 20, 300, 320, true},
		{"2 KiB/s of a short one", 2 << 10, 60 << 10, 30, 30, true},
		{"1 GiB/s of 1 TiB", 1 << 30, 1 << 40, 1023, 1024, true},
	} {
		began, piece := time.Unix(0, 0), max(64<<10, c.size>>14)
		now, sent := began, int64(0)
		for sent < c.size {
			n := min(piece, c.size-sent)
			deadline := Readers.Deadline(began, now, sent+n)
			next := now.Add(time.Duration(n*1e9/c.rate) * time.Nanosecond)
			if next.After(deadline) {
				now = deadline
				break
			}
			now, sent = next, sent+n
		}
		took := int64(now.Sub(began) / time.Second)
		if whole := sent == c.size; whole != c.whole || took < c.least || took > c.most {
			t.Errorf("%s: ended after %d s with %d bytes, want %d to %d s, whole %v",
				c.name, took, sent, c.least, c.most, c.whole)
		}
	}
}
