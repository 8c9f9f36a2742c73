package httpframe

import (
	"errors"
	"net/http/httptest"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// trickle is a reader of rate bytes a second, behind a connection with deadlines.
type trickle struct {
	*httptest.ResponseRecorder
	rate     int
	deadline time.Time
}

func (c *trickle) SetWriteDeadline(t time.Time) error {
	c.deadline = t
	return nil
}

func (c *trickle) Write(p []byte) (int, error) {
	time.Sleep(time.Duration(len(p)) * time.Second / time.Duration(c.rate))
	if time.Now().After(c.deadline) {
		return 0, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

// A reader has half a minute for each piece, and for the whole a minute and 32 KiB/s.
func TestReadersKeepAPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		rate, size int
		whole      bool
	}{
		{"stands still", 1, 64 << 10, false}, {"trickles", 3 << 10, 8 << 20, false},
		{"is too slow", 20 << 10, 8 << 20, false}, {"is slow, a short answer", 4 << 10, 200 << 10, true},
		{"keeps it", 33 << 10, 30 << 20, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := New(&trickle{ResponseRecorder: httptest.NewRecorder(), rate: c.rate},
				httptest.NewRequest("GET", "/", nil))
			w.WriteHeader(200)
			var sent int
			var err error
			for err == nil && sent < c.size { // as a list is written
				var n int
				n, err = w.Write(make([]byte, min(100_000, c.size-sent)))
				sent += n
			}
			if c.whole != (err == nil) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a reader that %s: %d bytes of %d, %v", c.name, sent, c.size, err)
			}
		})
	}
}
