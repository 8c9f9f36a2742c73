package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// AllowFlag is the flag that opens networks; refusals name it.
const AllowFlag = "-outbound-allow"

var (
	errNotPublic = errors.New("outbound: not a public address")
	errPort      = errors.New("outbound: not a port of the web")
	errOwn       = errors.New("outbound: this server itself")
)

// A guard says where connections may lead: to public addresses at ports 80 and 443, and to any port
// of the networks that the operator has opened.
type guard struct {
	open   []netip.Prefix
	public *ssrf.Guardian
}

func newGuard(open []netip.Prefix) *guard {
	return &guard{open: open, public: ssrf.New()}
}

// control is a net.Dialer's Control. It sees the address that is about to be connected, when
// nothing can change it any more: whatever was written in the URL, and whatever a name resolved to before.
func (g *guard) control(network, address string, raw syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotPublic, err)
	}
	if g.isOpen(to.Addr()) {
		return nil
	}
	if err := g.public.SafeAddr(to.Addr()); err != nil {
		return fmt.Errorf("%w: %w", errNotPublic, err)
	}
	if err := g.public.Safe(network, address, raw); err != nil {
		return fmt.Errorf("%w: %w", errPort, err)
	}
	return nil
}

// controlOwn is control for a host of this server itself.
func (g *guard) controlOwn(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !g.isOpen(to.Addr()) {
		return errOwn
	}
	return nil
}

func (g *guard) isOpen(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	for _, network := range g.open {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// ParseNetworks reads the list of networks that AllowFlag holds.
func ParseNetworks(list string) ([]netip.Prefix, error) { return ParseFlag(AllowFlag, list) }

// ParseFlag reads the list of networks that a flag holds, such as "10.1.0.0/16,fd00::/8"; a single
// address is a network of one.
func ParseFlag(flag, list string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for text := range strings.SplitSeq(list, ",") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		network, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a network: it should be like 10.1.0.0/16, "+
				"fd00::/8 or 192.0.2.7", flag, text)
		}
		networks = append(networks, network)
	}
	return networks, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, errors.Join(err, errNotPublic)
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, err
	}
	// Addresses are compared as IPv4 where they are such.
	if addr := network.Addr(); addr.Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}
