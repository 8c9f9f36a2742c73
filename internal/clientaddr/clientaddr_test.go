package clientaddr

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func proxies(t testing.TB, list string) (p Proxies) {
	t.Helper()
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			addr := netip.MustParseAddr(text)
			network = netip.PrefixFrom(addr, addr.BitLen())
		}
		p = append(p, network)
	}
	return p
}

func remote(text string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(text), 4711))
}

func TestPeer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		proxies, remote string
		want            Peer
	}{
		{"", "198.51.100.1", Peer{Key: "198.51.100.1"}},
		{"", "::ffff:198.51.100.1", Peer{Key: "198.51.100.1"}},
		{"", "2001:db8:1:2:3:4:5:6", Peer{Key: "2001:db8:1:2::/64"}},
		{"", "127.0.0.1", Peer{Loopback: true}},
		{"", "::1", Peer{Loopback: true}},
		{"", "172.17.0.1", Peer{}}, // a network of containers hides its clients behind one address
		{"", "fd00::1", Peer{}},
		{"", "fe80::1%eth0", Peer{}},
		{"192.0.2.7", "127.0.0.2", Peer{Key: "127.0.0.2", Loopback: true}},
		{"192.0.2.7", "172.17.0.1", Peer{Key: "172.17.0.1"}},
		{"127.0.0.1", "127.0.0.1", Peer{Proxy: true, Loopback: true}},
		{"172.16.0.0/12", "172.17.0.1", Peer{Proxy: true}},
		{"fe80::/10", "fe80::1%eth0", Peer{Proxy: true}},
	} {
		if got := proxies(t, c.proxies).Peer(remote(c.remote)); got != c.want {
			t.Errorf("%s, with %q trusted, is %+v, want %+v", c.remote, c.proxies, got, c.want)
		}
	}
	if got := (Proxies)(nil).Peer(&net.UnixAddr{Name: "x"}); got != (Peer{}) {
		t.Errorf("a connection without an address is %+v", got)
	}
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	p := proxies(t, "127.0.0.1,10.0.0.0/8")
	for _, c := range []struct {
		name   string
		remote string
		header []string
		want   string
	}{
		{"no header", "127.0.0.1", nil, ""},
		{"one", "127.0.0.1", []string{"X-Forwarded-For", "198.51.100.1"}, "198.51.100.1"},
		{"not of a proxy", "198.51.100.9", []string{"X-Forwarded-For", "203.0.113.1"}, "198.51.100.9"},
		{"what the client wrote is left of it", "127.0.0.1",
			[]string{"X-Forwarded-For", "203.0.113.1, 198.51.100.1"}, "198.51.100.1"},
		{"a separate line", "127.0.0.1", []string{"X-Forwarded-For", "203.0.113.1",
			"X-Forwarded-For", "198.51.100.1 ,10.1.1.1"}, "198.51.100.1"},
		{"two proxies", "127.0.0.1",
			[]string{"X-Forwarded-For", "203.0.113.1,198.51.100.1,10.2.2.2"}, "198.51.100.1"},
		{"only proxies", "127.0.0.1", []string{"X-Forwarded-For", "10.1.1.1,10.2.2.2"}, "10.1.1.1"},
		{"an address that the proxy does not know", "127.0.0.1",
			[]string{"X-Forwarded-For", "203.0.113.1,unknown,10.2.2.2"}, "10.2.2.2"},
		{"nothing that can be read", "127.0.0.1", []string{"X-Forwarded-For", "203.0.113.1,_x"}, ""},
		{"empty elements", "127.0.0.1", []string{"X-Forwarded-For", "198.51.100.1,, "}, "198.51.100.1"},
		{"ports", "127.0.0.1", []string{"X-Forwarded-For", "198.51.100.1:65000"}, "198.51.100.1"},
		{"IPv6", "127.0.0.1", []string{"X-Forwarded-For", "2001:db8::9"}, "2001:db8::/64"},
		{"IPv6 with a port", "127.0.0.1", []string{"X-Forwarded-For", "[2001:db8::9]:8"},
			"2001:db8::/64"},
		{"IPv4 as IPv6", "127.0.0.1", []string{"X-Forwarded-For", "::ffff:198.51.100.1"},
			"198.51.100.1"},
		{"Forwarded", "127.0.0.1", []string{"Forwarded",
			`for=203.0.113.1, For="[2001:db8:cafe::17]:4711";proto=https;by=10.0.0.1,for=10.3.3.3`},
			"2001:db8:cafe::/64"},
		{"a comma in quotes", "127.0.0.1", []string{"Forwarded",
			`for=203.0.113.1;host="a,for=203.0.113.2", for=198.51.100.1;host="b,for=203.0.113.3"`},
			"198.51.100.1"},
		{"Forwarded that hides", "127.0.0.1", []string{"Forwarded", `for=203.0.113.1, for=_secret`}, ""},
		{"both", "127.0.0.1", []string{"X-Forwarded-For", "198.51.100.1", "Forwarded",
			"for=203.0.113.1"}, "198.51.100.1"},
	} {
		ctx := With(context.Background(), p.Peer(remote(c.remote)))
		r, err := http.NewRequestWithContext(ctx, "GET", "/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.header); i += 2 {
			r.Header.Add(c.header[i], c.header[i+1])
		}
		if got := Of(p.Identify(r).Context()); got != c.want {
			t.Errorf("%s: the client is %q, want %q", c.name, got, c.want)
		}
	}
	r, err := http.NewRequest("GET", "/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if p.Identify(r) != r || Of(r.Context()) != "" {
		t.Error("a request of no connection has a client")
	}
}

// The client is the address that the proxy has added, whatever text is left of it.
func FuzzForwarded(f *testing.F) {
	p := proxies(f, "127.0.0.1,10.0.0.0/8")
	for _, seed := range []string{"", "203.0.113.1", `"`, `for="[`, `for="a\",b"`, ",,;=,", "::ffff:",
		"[::1%25x]:1", "10.0.0.1,unknown", `host="x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		for name, added := range map[string]string{
			"X-Forwarded-For": "198.51.100.1", "Forwarded": `for="198.51.100.1:80";host="a,b"`,
		} {
			proxy := strings.ReplaceAll(added, "198.51.100.1", "10.9.9.9")
			for _, h := range []http.Header{
				{name: {sent + "," + added}}, {name: {sent, added}}, {name: {sent, added + ", " + proxy}},
			} {
				if name == "X-Forwarded-For" {
					h.Set("Forwarded", sent)
				}
				if got := p.forwarded(h); got != "198.51.100.1" {
					t.Fatalf("%v names the client %q", h, got)
				}
			}
		}
		_ = p.forwarded(http.Header{"X-Forwarded-For": {sent}})
		_ = p.forwarded(http.Header{"Forwarded": {sent}})
	})
}
