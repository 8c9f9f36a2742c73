package terminal

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// calendarPart is the beginning of a duration in weeks or days.
var calendarPart = regexp.MustCompile(`^([0-9]+)([wd])`)

// ParseDuration reads a duration with the units of Go and, before these, whole weeks and days of 24 hours: 2w, 90d,
// 1d12h, 36h, 10m, 30s, 500ms.
func ParseDuration(text string) (time.Duration, error) {
	const day = 24 * time.Hour
	total, rest := time.Duration(0), text
	for {
		part := calendarPart.FindStringSubmatch(rest)
		if part == nil {
			break
		}
		size := day
		if part[2] == "w" {
			size = 7 * day
		}
		n, err := strconv.ParseInt(part[1], 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/size) {
			return 0, fmt.Errorf("%q is too long: the longest is 292 years", text)
		}
		total += time.Duration(n) * size
		rest = strings.TrimPrefix(rest, part[0])
	}
	if rest == "" && text != "" {
		return total, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d > 0 && total > math.MaxInt64-d || total > 0 && strings.HasPrefix(rest, "-") {
		return 0, fmt.Errorf("%q is not a duration: it should be like 90d, 2w, 1d12h, 36h, 10m or 30s", text)
	}
	return total + d, nil
}
