package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"code.dny.dev/ssrf"
)

// allowFlag is the flag that opens networks; refusals name it.
const allowFlag = "-outbound-allow"

var (
	errNotPublic = errors.New("outbound: not a public address")
	errPort      = errors.New("outbound: the port is neither 80 nor 443")
	errOwn       = errors.New("outbound: this server itself")
)

// An ssrfGuard permits connections to public addresses at ports 80 and 443, and to any port of the
// networks that the operator has opened. It prevents server-side request forgery.
type ssrfGuard struct {
	open   []netip.Prefix
	public *ssrf.Guardian
}

func newGuard(open []netip.Prefix) *ssrfGuard {
	return &ssrfGuard{open: open, public: ssrf.New()}
}

// control is a net.Dialer's Control. It gets the address right before the connection, so neither the
// text of the URL nor an earlier result of a name can bypass it.
func (g *ssrfGuard) control(network, address string, raw syscall.RawConn) error {
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

// controlOwn is control for a public host of this server.
func (g *ssrfGuard) controlOwn(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !g.isOpen(to.Addr()) {
		return errOwn
	}
	return nil
}

func (g *ssrfGuard) isOpen(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	return slices.ContainsFunc(g.open, func(network netip.Prefix) bool { return network.Contains(addr) })
}

// ParseNetworks is ParseFlag for the flag -outbound-allow.
func ParseNetworks(list string) ([]netip.Prefix, error) { return ParseFlag(allowFlag, list) }

// ParseFlag parses a list of networks with commas between them, such as "10.1.0.0/16,fd00::/8"; an address is a
// network of one address. flag is the name of the flag for the message of the error, which has no Kind.
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
	// IPv4 addresses in IPv6 form are compared as IPv4.
	if addr := network.Addr(); addr.Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}
