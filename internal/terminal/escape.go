package terminal

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Texts of other servers, clients and backups are printed to a terminal through Visible only: otherwise
// they could clear the screen, change the title, or show a name backwards.

// Visible returns text in which each control character, line break and invisible character is escaped
// as in JSON: \u001b, \u202e.
func Visible(s string) string { return escape(s, "") }

// VisibleLines is Visible without escaping line breaks.
func VisibleLines(s string) string { return escape(s, "\n") }

func escape(s, keep string) string {
	if !strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || !strconv.IsPrint(r) && !strings.ContainsRune(keep, r)
	}) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch high, low := utf16.EncodeRune(r); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case strconv.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteString(s[:size])
		case high != utf8.RuneError:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		s = s[size:]
	}
	return b.String()
}

// Show prints lines of visible text to a terminal or file.
func Show(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, VisibleLines(fmt.Sprintf(format, args...))) // the error cannot be reported
}

// ShowLine prints one line, with line breaks escaped.
func ShowLine(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, Visible(fmt.Sprintf(format, args...))+"\n") // the error cannot be reported
}
