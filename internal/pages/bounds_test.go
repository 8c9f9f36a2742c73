package pages

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"calotype/internal/cfapi"
)

func TestLimiter(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := newLimiter(2, 3)
	l.now = func() time.Time { return now }
	taken := func() (n int) {
		for l.take() == nil {
			n++
		}
		return n
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {400 * time.Millisecond, 0}, {100 * time.Millisecond, 1}, {time.Hour, 3}} {
		now = now.Add(tt.after)
		if got := taken(); got != tt.want {
			t.Errorf("after %v: %d were let through, want %d", tt.after, got, tt.want)
		}
	}
	var refusal *cfapi.Error
	if err := l.take(); !errors.As(err, &refusal) || refusal.RetryAfter != time.Second/2 {
		t.Errorf("refused with %+v", err)
	}
}

func TestRecent(t *testing.T) {
	t.Parallel()
	var d recent
	if d.has("") {
		t.Error("nothing is remembered at first")
	}
	for i := range 2*maxRecent + 5 {
		d.add(fmt.Sprint(i))
	}
	for i, want := range map[int]bool{
		0: false, maxRecent + 4: false, maxRecent + 5: true, 2*maxRecent + 4: true,
	} {
		if d.has(fmt.Sprint(i)) != want {
			t.Errorf("%d: remembered %v", i, !want)
		}
	}
	if len(d.set) != maxRecent || len(d.ring) != maxRecent {
		t.Errorf("%d and %d are remembered", len(d.set), len(d.ring))
	}
}
