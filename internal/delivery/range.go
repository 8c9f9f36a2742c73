package delivery

import (
	"net/http"
	"strconv"
	"strings"
)

// maxRanges bounds the ranges of an answer: each has a header of its own. Who asks for more is sent
// the whole, as HTTP allows.
const maxRanges = 10

// keepRange leaves a request its Range header only if it asks for bytes in a form that has a
// meaning. What asks in another unit, or for nonsense, gets the whole, as the standard has it: a
// client that can use a part can use the whole, but not a refusal.
func keepRange(h http.Header) {
	asked, ok := h["Range"]
	if !ok {
		return
	}
	unit, ranges, _ := strings.Cut(asked[0], "=")
	if !strings.EqualFold(strings.TrimSpace(unit), "bytes") || len(asked) > 1 {
		delete(h, "Range")
		return
	}
	var plain []string
	for spec := range strings.SplitSeq(ranges, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue
		}
		first, last, ok := strings.Cut(spec, "-")
		from, fromOK := position(first)
		to, toOK := position(last)
		if !ok || !fromOK || !toOK || first == "" && last == "" ||
			first != "" && last != "" && from > to {
			delete(h, "Range")
			return
		}
		plain = append(plain, plainPosition(first, from)+"-"+plainPosition(last, to))
	}
	if plain == nil || len(plain) > maxRanges {
		delete(h, "Range")
		return
	}
	h["Range"] = []string{"bytes=" + strings.Join(plain, ",")}
}

// farPosition stands for every position that is farther: no picture is so long.
const farPosition = 1 << 60

// position reads digits; none are 0.
func position(digits string) (n int64, ok bool) {
	if strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	if digits == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > farPosition {
		n = farPosition
	}
	return n, true
}

func plainPosition(digits string, n int64) string {
	if digits == "" {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
