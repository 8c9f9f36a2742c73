// Package accept reads the headers by which clients say what they accept: Accept, Accept-Encoding and Accept-Language
// (RFC 9110, section 12.5).
package accept

import (
	"iter"
	"strconv"
	"strings"
)

// maxBytes bounds a header. A longer one is ignored.
const maxBytes = 4096

// Names reports whether the lines of a header name a media type or a coding with a weight above zero. Ranges like
// image/* and */* do not count: clients also send them for formats that they do not support.
func Names(lines []string, want string) bool {
	for name, weight := range Items(lines) {
		if weight > 0 && strings.EqualFold(name, want) {
			return true
		}
	}
	return false
}

// Items returns the items of the lines of a header in their order, without parameters, each with its weight: from 0 to
// 1, 1 without a weight, 0 for an invalid one.
func Items(lines []string) iter.Seq2[string, float64] {
	return func(yield func(string, float64) bool) {
		header := ""
		if len(lines) > 0 {
			header = lines[0]
		}
		if len(lines) > 1 {
			header = strings.Join(lines, ",")
		}
		if len(header) > maxBytes {
			return
		}
		for item := range splitUnquoted(header, ',') {
			name, weight, first := "", 1.0, true
			for part := range splitUnquoted(item, ';') {
				if first {
					name, first = strings.TrimSpace(part), false
				} else if key, value, _ := strings.Cut(part, "="); strings.EqualFold(strings.TrimSpace(key), "q") {
					weight = parseWeight(strings.TrimSpace(value))
					break
				}
			}
			if !yield(name, weight) {
				return
			}
		}
	}
}

// parseWeight returns a weight, 0 for an invalid one. Its grammar has no sign, exponent or infinity.
func parseWeight(text string) float64 {
	whole, fraction, _ := strings.Cut(text, ".")
	if whole == "" || strings.Trim(whole+fraction, "0123456789") != "" {
		return 0
	}
	weight, err := strconv.ParseFloat(text, 64)
	if err != nil || weight > 1 {
		return 0
	}
	return weight
}

// splitUnquoted returns the parts of s between separators outside of quoted strings. There is always one part.
func splitUnquoted(s string, separator byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		quoted, start := false, 0
		for i := 0; i < len(s); i++ {
			switch {
			case s[i] == '"':
				quoted = !quoted
			case s[i] == '\\' && quoted:
				i++
			case s[i] == separator && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
