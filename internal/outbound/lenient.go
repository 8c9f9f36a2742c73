package outbound

import "strings"

// asBrowsersRead rewrites URLs that browsers open and package url refuses: it removes blanks and line
// breaks around the URL and tabs and line breaks in it, and escapes blanks in its path and query, and percent
// signs that begin no escape.
func asBrowsersRead(address string) string {
	address = strings.TrimFunc(address, func(r rune) bool { return r <= ' ' })
	address = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(address)
	host := 0
	if i := strings.Index(address, "//"); i >= 0 && !strings.ContainsAny(address[:i], "/?#") {
		host = i + len("//") // else it is a Location without a host
	}
	path := strings.IndexAny(address[host:], "/?#")
	if path < 0 {
		return address
	}
	path += host
	var b strings.Builder
	b.WriteString(address[:path]) // in a host or a login every escape must be valid
	for i := path; i < len(address); i++ {
		switch {
		case address[i] == ' ':
			b.WriteString("%20")
		case address[i] == '%' && (i+2 >= len(address) || !isHex(address[i+1]) || !isHex(address[i+2])):
			b.WriteString("%25")
		default:
			b.WriteByte(address[i])
		}
	}
	return b.String()
}

func isHex(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }
