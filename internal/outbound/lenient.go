package outbound

import "strings"

// asBrowsersRead mends what package url refuses in a URL that browsers open: blanks and line breaks
// around it, tabs and line breaks in it, a blank in its query, and a percent sign that begins no
// escape, which servers take for itself.
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
	b.WriteString(address[:path]) // in a host or a login an escape must be whole
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
