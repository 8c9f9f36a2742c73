package outbound

import (
	"net"
	"net/netip"
	"strings"
)

// Check returns, without any network request, an *Error if no request to a URL can ever be sent: the error
// that Post would return each time. Nil means that a request may succeed: the addresses of a name are
// checked at each connection.
func Check(c Config, address string) error {
	to, err := parse(address)
	if err != nil {
		return err
	}
	host, port := to.Hostname(), portOf(to.URL)
	g := newGuard(c.Allow)
	switch addr, notAddr := netip.ParseAddr(host); {
	case notAddr == nil:
		err = g.control(networkOf(addr), net.JoinHostPort(host, port), nil)
	case isLocalhost(host):
		// One of its two addresses is enough.
		if err = g.control("tcp4", net.JoinHostPort("127.0.0.1", port), nil); err != nil &&
			g.control("tcp6", net.JoinHostPort("::1", port), nil) == nil {
			err = nil
		}
	case c.owns(host) && len(c.Allow) == 0:
		err = errOwn
	case port != "80" && port != "443" && len(c.Allow) == 0:
		err = errPort
	}
	if err != nil {
		return reason(host, err)
	}
	return nil
}

func networkOf(addr netip.Addr) string {
	if addr.Unmap().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

// isLocalhost reports whether a name always means this machine.
func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
