package terminal

import (
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"90d": 90 * day, "2w": 14 * day, "1w2d": 9 * day, "1d12h": 36 * time.Hour, "0": 0, "0s": 0, "0d": 0,
		"36h": 36 * time.Hour, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond, "1.5h": 90 * time.Minute,
		"106751d": 106751 * day, "-5s": -5 * time.Second, "1d2d": 3 * day,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"3days": "90d", "": "90d", "d": "90d", "12": "90d", "1.5d": "90d", "-1d": "90d", "1d-5s": "90d",
		"1h2d": "90d", "1 d": "90d", "106752d": "292 years", "15251w": "292 years", "106751d23h59m": "90d",
		"99999999999999999999d": "292 years", "soon": "90d",
	} {
		if _, err := ParseDuration(text); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("%q: the error is %v, want one with %q", text, err, want)
		}
	}
}
