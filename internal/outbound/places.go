package outbound

import (
	"fmt"
	"net/url"
	"strings"
)

// Places are hosts, each with the beginning of its paths, whose content may be requested. The zero value permits no
// URL.
type Places []place

type place struct {
	host string // in lower case, with a port unless it is the scheme's
	path string // escaped, without a final slash; "" for every path
}

// ParsePlaces parses a list with commas between its items, such as "shop.example.com,cdn.example.net/products". An
// item with a port is for this port only, another one for the ports of http and https. flag is the name of the flag
// for the message of the error, which has no Kind.
func ParsePlaces(flag, list string) (Places, error) {
	var all Places
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		u, err := url.Parse("//" + text)
		if err != nil || strings.Trim(u.Hostname(), ".") == "" || u.User != nil || u.RawQuery != "" ||
			u.Fragment != "" || strings.ContainsAny(u.Host, "*@ ") || strings.HasSuffix(u.Host, ":") || hasDots(u) {
			return nil, fmt.Errorf("%s: %q is not a host: it should be like images.example.com or "+
				"images.example.com/products, without a scheme and without *", flag, text)
		}
		all = append(all, place{PlainAuthority(u), strings.TrimRight(u.EscapedPath(), "/")})
	}
	return all, nil
}

// Permit reports whether a URL is in one of the places. A path with "." or ".." as a segment, also an escaped one, is
// in none of them: a server could leave the path of the place by it.
func (p Places) Permit(u *url.URL) bool {
	if u.Scheme != "http" && u.Scheme != "https" || hasDots(u) {
		return false
	}
	host, path := PlainAuthority(u), u.EscapedPath()
	full := host
	if host == hostname(u) {
		full += map[string]string{"http": ":80", "https": ":443"}[u.Scheme]
	}
	for _, one := range p {
		inside := one.path == "" || path == one.path || strings.HasPrefix(path, one.path+"/")
		if inside && (one.host == host || one.host == full) {
			return true
		}
	}
	return false
}

// PlainAuthority returns the host of a URL for comparisons: in lower case, without a final dot and without the port of
// its scheme.
func PlainAuthority(u *url.URL) string {
	host := hostname(u)
	port := u.Port()
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return host
	}
	return host + ":" + port
}

// hostname returns the host of a URL in lower case, without its port and a final dot, an IPv6 address in brackets.
func hostname(u *url.URL) string {
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host
}

// hasDots reports whether a segment of the path is "." or "..", however escaped and with either slash, or may be.
func hasDots(u *url.URL) bool {
	path := u.EscapedPath()
	for range 3 { // some servers unescape twice
		for _, segment := range strings.FieldsFunc(path, func(c rune) bool { return c == '/' || c == '\\' }) {
			name, _, _ := strings.Cut(segment, ";") // Java's servers cut parameters
			if name == "." || name == ".." {
				return true
			}
		}
		plain, err := url.PathUnescape(path)
		if err != nil {
			return true // a server may unescape the rest
		}
		path = plain
	}
	return false
}
