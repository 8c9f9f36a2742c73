// Package clientaddr returns the address of a request's client, as a key for limits on connections,
// cache misses and wrong tokens. The key is never logged.
//
// The address is that of the connection. When the connection comes from a trusted proxy, it is the
// rightmost address in X-Forwarded-For, or else in Forwarded, that is not a trusted proxy: the
// sender of the request can write any text left of it. IPv6 clients count by /64, because each
// of them has that many addresses.
//
// The key is "" if clients cannot be distinguished: without trusted proxies, a connection from this
// machine or from a private network comes from a proxy or from the operator.
package clientaddr

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of trusted proxies, whose headers name the clients.
type Proxies []netip.Prefix

// trusts reports whether an address, as plain returns it, is a trusted proxy's.
func (p Proxies) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(p, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// A Peer is the other end of a connection.
type Peer struct {
	Key      string // of the client, "" for none
	Proxy    bool   // a trusted proxy: each request may have another client
	Loopback bool
}

// Peer returns the other end of a connection.
func (p Proxies) Peer(remote net.Addr) Peer {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return Peer{}
	}
	addr := plain(tcp.AddrPort().Addr())
	peer := Peer{Loopback: addr.IsLoopback(), Proxy: p.trusts(addr)}
	unknown := len(p) == 0 && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
	if !peer.Proxy && !unknown {
		peer.Key = key(addr)
	}
	return peer
}

// plain returns an address without zone, and IPv4 addresses in their short form, for comparisons.
func plain(addr netip.Addr) netip.Addr { return addr.WithZone("").Unmap() }

// key returns the key of an address; "" for the zero address.
func key(addr netip.Addr) string {
	switch {
	case !addr.IsValid():
		return ""
	case addr.Is6():
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}

type contextKey struct{}

// With returns a context that holds the peer of a connection.
func With(ctx context.Context, peer Peer) context.Context {
	return context.WithValue(ctx, contextKey{}, peer)
}

// Of returns the key of the client in a context, "" for none.
func Of(ctx context.Context) string {
	peer, _ := ctx.Value(contextKey{}).(Peer)
	return peer.Key
}

// Identify returns the request with its client in its context. The connection's context must come
// from With. Only a request of a trusted proxy is copied.
func (p Proxies) Identify(r *http.Request) *http.Request {
	peer, _ := r.Context().Value(contextKey{}).(Peer)
	if !peer.Proxy {
		return r
	}
	peer.Key = p.forwarded(r.Header)
	return r.WithContext(With(r.Context(), peer))
}

// forwarded returns the key of the client that a trusted proxy names, "" if it names no client.
func (p Proxies) forwarded(h http.Header) string {
	hops, parse := h.Values("X-Forwarded-For"), parseHop
	if len(hops) == 0 {
		hops, parse = h.Values("Forwarded"), parseForwarded
	}
	// The address nearest to the client so far. It is the client's if all addresses up to the end, or up to an
	// invalid one, belong to proxies.
	var nearest netip.Addr
	for i := len(hops) - 1; i >= 0; i-- {
		line := hops[i]
		for more := true; more; {
			var hop string
			line, hop, more = lastElement(line)
			if strings.TrimSpace(hop) == "" {
				continue // empty elements of a list are skipped
			}
			addr, ok := parse(hop)
			if !ok {
				return key(nearest)
			}
			if nearest = addr; !p.trusts(addr) {
				return key(addr)
			}
		}
	}
	return key(nearest)
}

// lastElement splits a list at its last comma outside of quotes. more says that an element is left.
func lastElement(line string) (rest, last string, more bool) {
	quoted := false
	for i := len(line) - 1; i >= 0; i-- {
		switch {
		case line[i] == '"' && (i == 0 || line[i-1] != '\\'):
			quoted = !quoted
		case line[i] == ',' && !quoted:
			return line[:i], line[i+1:], true
		}
	}
	return "", line, false
}

// parseForwarded returns the address that the parameter "for" of an element of Forwarded names.
func parseForwarded(element string) (netip.Addr, bool) {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(name), "for") {
			return parseHop(strings.Trim(strings.TrimSpace(value), `"`))
		}
	}
	return netip.Addr{}, false
}

// parseHop reads an address, with a port or without: 192.0.2.7, 192.0.2.7:80, 2001:db8::1,
// [2001:db8::1] or [2001:db8::1]:80.
func parseHop(text string) (netip.Addr, bool) {
	text = strings.TrimSpace(text)
	if at, err := netip.ParseAddrPort(text); err == nil {
		return plain(at.Addr()), true
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	addr, err := netip.ParseAddr(text)
	return plain(addr), err == nil
}
