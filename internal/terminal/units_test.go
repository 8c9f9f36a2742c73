package terminal

import (
	"math"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1<<20 - 1: "1.0 MiB", 1<<20 - 60: "1023.9 KiB",
		12_897_485: "12.3 MiB", 1 << 40: "1.0 TiB", math.MaxInt64: "8.0 EiB", -5: "-5 B",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d bytes are written %q, want %q", n, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -12: "-12",
		math.MinInt64: "-9,223,372,036,854,775,808",
	} {
		if got := Number(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
	if got := Count(1, "image", "images") + ", " + Count(2000, "image", "images"); got != "1 image, 2,000 images" {
		t.Error(got)
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "now", 999 * time.Millisecond: "now", time.Second: "1 second ago", 59 * time.Second: "59 seconds ago",
		time.Minute: "1 minute ago", time.Hour: "1 hour ago", 47 * time.Hour: "47 hours ago",
		48 * time.Hour: "2 days ago", 59 * day: "59 days ago", 60 * day: "2 months ago", 719 * day: "23 months ago",
		720 * day: "1 year ago", 7200 * day: "19 years ago",
		-3 * time.Hour: "in 3 hours", -time.Second: "in 1 second",
	} {
		if got := Ago(now.Add(-ago), now); got != want {
			t.Errorf("%v before now is written %q, want %q", ago, got, want)
		}
	}
	if got := Ago(time.Time{}, now); got != "never" {
		t.Errorf("the zero time is written %q", got)
	}
}
