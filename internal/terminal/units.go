package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var sizeUnits = []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

// Bytes writes a number of bytes for people: 512 B, 12.3 MiB.
func Bytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	size, unit := float64(n)/1024, 0
	for size >= 1023.95 && unit < len(sizeUnits)-1 { // otherwise it would be written 1024.0
		size /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %s", size, sizeUnits[unit])
}

// Count writes a number of things for people: 1 image, 12,345 images.
func Count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Number(n) + " " + many
}

// Number writes a number for people, with commas: 12,345.
func Number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var parts []string
	for len(digits) > 3 {
		parts = append([]string{digits[len(digits)-3:]}, parts...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, parts...), ",")
}

var timeUnits = []struct {
	name string
	size time.Duration
	most time.Duration // of times that are written in this unit
}{
	{"second", time.Second, time.Minute},
	{"minute", time.Minute, time.Hour},
	{"hour", time.Hour, 2 * day},
	{"day", day, 60 * day},
	{"month", 30 * day, 720 * day},
	{"year", 365 * day, 1<<63 - 1},
}

const day = 24 * time.Hour

// Ago writes a time for people, seen from now: 4 days ago, in 3 hours; never for the zero time.
func Ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	distance := now.Sub(t).Abs()
	if distance < time.Second {
		return "now"
	}
	for _, unit := range timeUnits {
		if distance >= unit.most {
			continue
		}
		text := Count(int64(distance/unit.size), unit.name, unit.name+"s")
		if t.After(now) {
			return "in " + text
		}
		return text + " ago"
	}
	return "now"
}

// YesNo writes a property for people.
func YesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
